"""Tuned parameters in the place of configured ones, where ``use_tuned`` asks for them.

They take their place before a run is planned, so that every step, fingerprint and table sees the
parameters that it is made with, and nothing has to know where they come from. Precedence: what is
given on the command line, what was tuned, what is configured.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.config import AbstractConfigLoader

from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.indexing.params import BackboneParams
from tsmemory.pipelines.tuning.rows import merged
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.runs.errors import ParameterError

USES = {"distillation": "tuned_gates", "trace": "tuned_mask"}  # dataset by block of parameters
logger = logging.getLogger(__name__)


def tied_to(windowing: WindowingParams, backbone: BackboneParams) -> dict[str, Any]:
    """What tuned parameters are of no use without: lengths, and the backbone.

    Args:
        windowing: Lengths.
        backbone: Which backbone.

    Returns:
        JSON-like values by the parameters' paths.
    """
    return {
        "windowing.context_length": windowing.context_length,
        "windowing.horizons": list(windowing.horizons),
        "backbone.name": backbone.name,
        "backbone.revision": backbone.revision,
        "backbone.quantile_levels": list(backbone.quantile_levels),
    }


def use_tuned(loader: AbstractConfigLoader, project: Path) -> bool:
    """Put tuned parameters between the configured ones and those of the command line.

    Args:
        loader: The project's configuration, valid as it is; its runtime parameters are replaced.
        project: Folder of the project.

    Returns:
        Whether any were asked for.

    Raises:
        ParameterError: There are none, or only some for other lengths or another backbone.
    """
    parameters = loader["parameters"]
    asked = [block for block in USES if (parameters.get(block) or {}).get("use_tuned") is True]
    if not asked:
        return False
    here = tied_to(
        WindowingParams.model_validate(parameters["windowing"]),
        BackboneParams.model_validate(parameters["backbone"]),
    )
    catalog, given = loader["catalog"], dict(loader.runtime_params or {})
    overrides: dict[str, Any] = {}
    for block in asked:
        tuned = _read(block, project / catalog[USES[block]]["filepath"], here)
        overrides = merged(overrides, tuned["overrides"])
        overrides = merged(overrides, {block: {"tuned_by": tuned["study"]}})
        logger.info("%s: %s, study %s", block, tuned["says"], tuned["study"])
    loader.runtime_params = merged(overrides, given)
    return True


def _read(block: str, folder: Path, here: Mapping[str, Any]) -> dict[str, Any]:
    """The latest version of tuned parameters that fits."""
    files = sorted(folder.glob(f"*/{folder.name}"), reverse=True)
    found: list[dict[str, Any]] = [json.loads(file.read_text("utf-8")) for file in files]
    versions = [tuned for tuned in found if tuned["study"]]
    if not versions:
        raise ParameterError(
            f"{block}.use_tuned = true: nothing has been tuned for this domain yet ({folder} does "
            "not exist); run `kedro run --pipelines tuning` first, with the same --env and "
            "--params but for use_tuned"
        )
    for tuned in versions:
        if tuned["tied_to"] == here:
            return tuned
    latest = versions[0]["tied_to"]
    changes = [
        f"{name} was {latest.get(name)}, now {value}"
        for name, value in here.items()
        if latest.get(name) != value
    ]
    raise ParameterError(
        f"{block}.use_tuned = true: what was tuned is for other settings ({'; '.join(changes)}); "
        "run `kedro run --pipelines tuning` anew, with the same --env and --params but for "
        "use_tuned"
    )


def refuse_tuned(block: str, used: bool) -> None:
    """Refuse to tune what is already tuned.

    Args:
        block: Of parameters.
        used: Its ``use_tuned``.

    Raises:
        ParameterError: It is asked for.
    """
    if used:
        raise ParameterError(
            f"{block}.use_tuned = true: a study begins with what is configured, and is compared "
            f"with it; run the pipeline tuning with {block}.use_tuned = false"
        )


def refuse_other_profiles(distillation: DistillationParams) -> None:
    """Refuse to tune what the gates study does not imitate.

    Args:
        distillation: As it is configured.

    Raises:
        ParameterError: The paper profile, or its targets.
    """
    for name, wanted in (("profile", "default"), ("targets", "teacher")):
        given = getattr(distillation, name)
        if given != wanted:
            raise ParameterError(
                f"distillation.{name} = {given}: the gates study imitates the default profile and "
                f"tunes the teacher as it is configured; run the pipeline tuning with "
                f"distillation.{name} = {wanted}"
            )
