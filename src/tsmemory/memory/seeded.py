"""The adapters of all seeds, kept together."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.profiles import Adapter, build_adapter, config_from_json, config_to_json

_OUT_OF_FOLD = "out_of_fold.safetensors"


@dataclass(frozen=True)
class SeededAdapters:
    """One adapter for each training seed; the first is the one that is shipped.

    Attributes:
        adapters: Adapters by seed, in the order of the seeds.
        report: What distillation found for each seed.
        out_of_fold: What training windows say of the memory as it was rehearsed; ``None`` where
            nothing was, or nothing was learnt that helped.
    """

    adapters: dict[int, Adapter]
    report: dict[str, Any]
    out_of_fold: OutOfFold | None = None

    def evidence(self, seed: int, closed_form: ClosedForm) -> OutOfFold | None:
        """What out-of-fold training windows say of the memory of a seed."""
        if self.out_of_fold is not None and self.report[str(seed)]["trained_part_kept"]:
            return self.out_of_fold
        return closed_form.out_of_fold

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
            "out_of_fold": None if self.out_of_fold is None else self.out_of_fold.summary(),
        }
        if self.out_of_fold is not None:
            save_file(self.out_of_fold.tensors(), folder / _OUT_OF_FOLD)
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
        about = config["out_of_fold"]
        if about is None:
            return cls(adapters, config["report"])
        known = OutOfFold.from_tensors(about, load_file(folder / _OUT_OF_FOLD))
        return cls(adapters, config["report"], known)
