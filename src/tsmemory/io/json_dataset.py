"""JSON that is whole or absent."""

import json
import os
from pathlib import Path
from typing import Any

from kedro_datasets.json import JSONDataset


class AtomicJSONDataset(JSONDataset):  # type: ignore[misc]
    """Kedro's local ``JSONDataset`` (versions, preview), written in one step."""

    def save(self, data: Any) -> None:
        """Write beside the place and move there, so that a kill leaves no half of a file."""
        path = Path(self._get_save_path())
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.saving")
        partial.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, path)
        self._invalidate_cache()
