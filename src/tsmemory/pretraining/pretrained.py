"""What pretraining makes: a network, what it was made from, and its model card."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting

from tsmemory.backbones.checkpoint import find_checkpoint, read_model
from tsmemory.pretraining.config import Dtype
from tsmemory.pretraining.model import count_parameters, save_model
from tsmemory.pretraining.recipe import describe_recipe
from tsmemory.pretraining.training import Trainer

LICENCE = "Apache-2.0"
TRAINING_DATA = "synthetic series only"
CARD = "README.md"
# Beside config.json, whose digest is the backbone's fingerprint: that must not tell of the clock.
RECORD = "training.json"


@dataclass(frozen=True)
class TrainingRecord:
    """How a network came about.

    Attributes:
        recipe: Sizes, corpus, optimizer and training.
        parameters: Numbers that were learnt.
        steps: Steps done.
        samples: Windows seen.
        seconds: Time that the steps took, checks not counted.
        hardware: What computed them, the last ones where it changed.
        versions: Of Python and of libraries, likewise.
    """

    recipe: dict[str, Any]
    parameters: int
    steps: int
    samples: int
    seconds: float
    hardware: str
    versions: dict[str, str]

    @classmethod
    def of(cls, trainer: Trainer) -> "TrainingRecord":
        """Describe a run that has just ended in this process."""
        config = trainer.config
        return cls(
            recipe=describe_recipe(trainer.model_config, trainer.corpus, trainer.optimizer, config),
            parameters=count_parameters(trainer.model),
            steps=trainer.step,
            samples=trainer.step * config.batch,
            seconds=trainer.seconds,
            hardware=trainer.hardware,
            versions=trainer.versions,
        )


@dataclass(frozen=True)
class PretrainedBackbone:
    """A network in a folder that ``load_backbone`` reads.

    Attributes:
        model: The network, in float32.
        name: What reports call it.
        record: How it came about.
        dtype: In which its weights are stored.
        card: Model card, written beside the weights; ``None`` for none.
    """

    model: ChronosBoltModelForForecasting
    name: str
    record: TrainingRecord
    dtype: Dtype = "float32"
    card: str | None = None

    def summary(self) -> dict[str, Any]:
        """Sizes and cost, for the catalog's preview."""
        record = asdict(self.record)
        del record["recipe"]
        return {"name": self.name, "dtype": self.dtype, **record}

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json``, ``model.safetensors``, the record and perhaps the card."""
        about = {
            "name": self.name,
            "licence": LICENCE,
            "pretraining_data": TRAINING_DATA,
            "pretraining_datasets": [],
            "stored_as": self.dtype,
        }
        save_model(self.model, folder, about, self.dtype)
        text = json.dumps(asdict(self.record), indent=2)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")
        if self.card is not None:
            (folder / CARD).write_text(self.card, encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: Path) -> "PretrainedBackbone":
        """Read what :meth:`save_pretrained` wrote; the network is on the CPU.

        Raises:
            BackboneError: The folder does not hold it, or it is damaged.
        """
        checkpoint = find_checkpoint(folder)
        checkpoint.expect("chronos_bolt")
        about = checkpoint.settings["tsmemory"]
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        card = folder / CARD
        return cls(
            model=read_model(checkpoint, ChronosBoltModelForForecasting, torch.float32).eval(),
            name=about["name"],
            record=TrainingRecord(**record),
            dtype=about["stored_as"],
            card=card.read_text(encoding="utf-8") if card.is_file() else None,
        )
