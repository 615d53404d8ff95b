"""Recipes: everything that a pretraining run follows from, as one value."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from tsmemory.fingerprint import digest
from tsmemory.pretraining.config import (
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
    check_recipe,
)
from tsmemory.pretraining.corpus import CorpusConfig
from tsmemory.pretraining.errors import PretrainingError

_SHARES = ("families", "contexts")
# What the weights of a step do not depend on. The number of steps is among it: rates rise and stay
# the same way for any number, so that a run may be prolonged from before they fall. Ranks and
# micro-batches are too: they change the rounding alone, and a run may go on with others. Not so
# where ranks exchange less than all gradients: see `essence`.
_FREE = ("steps", "check_every", "held_out", "accumulate", "devices", "communication")

# Settings that came later, and what they were before: checkpoints from then are as good.
_LATER = {"base_batch": None, "beta1": 0.9, "beta2": 0.98, "adamw_rate": None}


def describe_recipe(
    model: ModelConfig, corpus: CorpusConfig, optimizer: OptimizerConfig, training: TrainingConfig
) -> dict[str, Any]:
    """Everything that a run follows from, as JSON-like values.

    Shares are lists of pairs, since their order decides what is drawn.
    """
    shares = {name: [list(pair) for pair in asdict(corpus)[name].items()] for name in _SHARES}
    return {
        "model": asdict(model),
        "corpus": {**asdict(corpus), **shares},
        "optimizer": asdict(optimizer),
        "training": asdict(training),
    }


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """Digest of a recipe without what the weights of a step do not depend on."""
    return digest(essence(recipe))


def essence(recipe: Mapping[str, Any], ranks: int | None = None) -> dict[str, Any]:
    """A recipe without what the weights of a step do not depend on.

    Args:
        recipe: Of :func:`describe_recipe`.
        ranks: That train; ``None`` takes the recipe's devices, which a launcher does not heed.
    """
    training = {n: value for n, value in recipe["training"].items() if n not in _FREE}
    training["device"] = torch.device(training["device"]).type
    communication = dict(recipe["training"]["communication"])
    del communication["timeout_minutes"]
    if communication["compression"] != "none" or communication["average_every"] > 1:
        number = recipe["training"]["devices"] if ranks is None else ranks
        training |= {"ranks": number, "communication": communication}
    if communication["average_every"] > 1:
        # Every check averages all weights, and micro-batches say which windows a rank learns from.
        training |= {name: recipe["training"][name] for name in ("check_every", "accumulate")}
    given = recipe["optimizer"]
    optimizer = {n: value for n, value in given.items() if _LATER.get(n, ...) != value}
    return {**recipe, "optimizer": optimizer, "training": training}


def refuse_misfits(model: ModelConfig, corpus: CorpusConfig, training: TrainingConfig) -> None:
    """Refuse settings that do not fit each other.

    Raises:
        PretrainingError: They do not.
    """
    try:
        check_recipe(
            model,
            training,
            families=corpus.families,
            contexts=corpus.contexts,
            chunk=corpus.chunk,
        )
        if corpus.horizon != model.horizon:
            raise ValueError(
                f"corpus.horizon must be model.horizon, got {corpus.horizon} and {model.horizon}"
            )
    except ValueError as error:
        raise PretrainingError(f"this cannot be pretrained: {error}") from error
