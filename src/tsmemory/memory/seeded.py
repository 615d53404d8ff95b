"""The adapters of all seeds, kept together."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from tsmemory.memory.profiles import Adapter, build_adapter, config_from_json, config_to_json


@dataclass(frozen=True)
class SeededAdapters:
    """One adapter for each training seed; the first is the one that is shipped.

    Attributes:
        adapters: Adapters by seed, in the order of the seeds.
        report: What distillation found for each seed.
    """

    adapters: dict[int, Adapter]
    report: dict[str, Any]

    @property
    def shipped(self) -> Adapter:
        """The adapter of the first seed."""
        return next(iter(self.adapters.values()))

    def summary(self) -> dict[str, Any]:
        """Sizes and training reports, for the catalog's preview."""
        return {
            "seeds": list(self.adapters),
            "adapter": self.shipped.describe(),
            "report": self.report,
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and one ``seed_<n>.safetensors`` for each seed."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "seeds": list(self.adapters),
            "adapter": config_to_json(self.shipped.config),
            "report": self.report,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        for seed, adapter in self.adapters.items():
            save_file(adapter.state_dict(), folder / f"seed_{seed}.safetensors")

    @classmethod
    def from_pretrained(cls, folder: Path) -> "SeededAdapters":
        """Read what :meth:`save_pretrained` wrote."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        adapters = {}
        for seed in config["seeds"]:
            adapter = build_adapter(config_from_json(config["adapter"]))
            adapter.load_state_dict(load_file(folder / f"seed_{seed}.safetensors"))
            adapters[int(seed)] = adapter.eval()
        return cls(adapters, config["report"])
