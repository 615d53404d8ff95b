"""What each part of the memory is worth: the same windows with one part changed (METHOD 1.8)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.evaluation.leaderboard import REFERENCE, SKILL_METRICS, Origins
from tsmemory.evaluation.scores import MethodScores
from tsmemory.metrics import WindowScores

DEFAULT = "default"
VALUES = ("mse", "mae", "crps", "coverage_80")
_SKILL = "crps"  # of the table's skill columns: it judges median and spread
_SUMS = tuple(field.name for field in fields(WindowScores) if field.name != "horizons")


@dataclass(frozen=True)
class RowFacts:
    """What is told of a row beside its scores.

    Attributes:
        note: What was changed.
        horizons: Horizons that it forecasts.
        seeds: Training seeds behind it; 0 where nothing is trained.
        kept: Seeds whose trained part passed the guard; the others stayed where training began.
        parameters: Trained parameters.
        seconds: What it took to train and fuse, all seeds together; NaN where nothing is trained.
    """

    note: str
    horizons: tuple[int, ...]
    seeds: int
    kept: int
    parameters: int
    seconds: float


@dataclass(frozen=True)
class AblationScores:
    """Scores of all rows on the same test windows, the frozen backbone's among them.

    Attributes:
        scores: Scores by row; 0 everywhere at horizons that a row does not forecast.
        facts: The rest, by row.
    """

    scores: MethodScores
    facts: dict[str, RowFacts]

    @classmethod
    def join(
        cls, known: MethodScores, rows: Mapping[str, tuple[MethodScores, RowFacts]]
    ) -> "AblationScores":
        """Put the rows beside the frozen backbone.

        Args:
            known: Scores of the frozen backbone, at all horizons.
            rows: Of each row, scores of the same windows under its own name, and facts.

        Returns:
            All of them, at all horizons.

        Raises:
            ValueError: A row was scored on other windows.
        """
        frozen = RowFacts("the backbone as it is", known.horizons, 0, 0, 0, float("nan"))
        methods, below = {REFERENCE: known.methods[REFERENCE]}, {REFERENCE: known.below[REFERENCE]}
        facts = {REFERENCE: frozen}
        for name, (scores, about) in rows.items():
            if not np.array_equal(scores.origin_time, known.origin_time):
                raise ValueError(f"row {name!r} was scored on other windows than the rest")
            places = [known.horizons.index(horizon) for horizon in scores.horizons]
            methods[name] = _spread_out(scores.methods[name], known.horizons, places)
            below[name] = np.full_like(known.below[REFERENCE], np.nan)
            below[name][places] = scores.below[name]
            facts[name] = about
        return cls(
            MethodScores(
                methods=methods,
                seeds={name: max(about.seeds, 1) for name, about in facts.items()},
                below=below,
                levels=known.levels,
                row=known.row,
                origin_time=known.origin_time,
                stride=known.stride,
            ),
            facts,
        )

    def summary(self) -> dict[str, Any]:
        """Rows with what is told of them, for the catalog's preview."""
        return {
            "windows": len(self.scores.row),
            "rows": {name: asdict(about) for name, about in self.facts.items()},
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``facts.json`` and what :class:`MethodScores` writes."""
        self.scores.save_pretrained(folder)
        facts = {name: asdict(about) for name, about in self.facts.items()}
        (folder / "facts.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: Path) -> "AblationScores":
        """Read what :meth:`save_pretrained` wrote."""
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        return cls(
            MethodScores.from_pretrained(folder),
            {
                name: RowFacts(**about | {"horizons": tuple(about["horizons"])})
                for name, about in facts.items()
            },
        )


def _spread_out(scores: WindowScores, horizons: tuple[int, ...], places: list[int]) -> WindowScores:
    """The same sums at the places of their horizons among more of them, 0 at the others."""
    sums = {name: np.zeros((len(scores), len(horizons))) for name in _SUMS}
    for name, values in sums.items():
        values[:, places] = getattr(scores, name)
    return WindowScores(horizons, **sums)


def pack_row(scores: MethodScores, facts: RowFacts) -> dict[str, np.ndarray]:
    """A row as plain arrays, to be kept by a shard cache; :func:`unpack_row` reads them."""
    ((name, windows),) = scores.methods.items()
    about = {f"about/{key}": np.array(value) for key, value in asdict(facts).items()}
    return {
        **about,
        **{f"sums/{key}": getattr(windows, key) for key in _SUMS},
        "name": np.array(name),
        "below": scores.below[name],
        "levels": np.array(scores.levels),
        "row": scores.row,
        "origin_time": scores.origin_time,
        "stride": np.array(scores.stride),
    }


def unpack_row(arrays: Mapping[str, np.ndarray]) -> tuple[MethodScores, RowFacts]:
    """Read what :func:`pack_row` gave."""
    values = {field.name: arrays[f"about/{field.name}"].tolist() for field in fields(RowFacts)}
    facts = RowFacts(**values | {"horizons": tuple(values["horizons"])})
    name = str(arrays["name"])
    sums = {key: arrays[f"sums/{key}"] for key in _SUMS}
    scores = MethodScores(
        methods={name: WindowScores(facts.horizons, **sums)},
        seeds={name: facts.seeds},
        below={name: arrays["below"]},
        levels=tuple(arrays["levels"].tolist()),
        row=arrays["row"],
        origin_time=arrays["origin_time"],
        stride=int(arrays["stride"]),
    )
    return scores, facts


def tabulate_ablation(
    ablation: AblationScores, *, samples: int, level: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One line for each row and horizon, and all its skills.

    Intervals are those of the leaderboard; see
    :func:`tsmemory.evaluation.leaderboard.build_leaderboard`.

    Args:
        ablation: The scores.
        samples: Bootstrap samples.
        level: Probability of the intervals.
        rng: Draws the bootstrap.

    Returns:
        Table ``row, horizon, mse, mae, crps, coverage_80``, CRPS skill against the default and the
        frozen backbone with their intervals, ``seeds, kept, parameters, seconds, note``; and table
        ``row, horizon, reference, metric, skill, low, high``.
    """
    skill = pd.DataFrame(_skill_lines(ablation, samples, level, rng))
    known = {
        (line["row"], line["horizon"], line["reference"]): line
        for line in skill[skill["metric"] == _SKILL].to_dict("records")
    }
    lines = []
    for name, about in ablation.facts.items():
        for horizon in about.horizons:
            number = ablation.scores.horizons.index(horizon)
            values = ablation.scores.methods[name].metrics(number)
            line: dict[str, Any] = {"row": name, "horizon": horizon}
            line |= {metric: values[metric] for metric in VALUES}
            for reference in (DEFAULT, REFERENCE):
                found = known.get((name, horizon, reference), {})
                for column in ("skill", "low", "high"):
                    line[f"{column}_vs_{reference}"] = found.get(column, float("nan"))
            lines.append(
                line
                | {
                    "seeds": about.seeds,
                    "kept": about.kept,
                    "parameters": about.parameters,
                    "seconds": about.seconds,
                    "note": about.note,
                }
            )
    return pd.DataFrame(lines), skill


def _skill_lines(
    ablation: AblationScores, samples: int, level: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Skill of each row against the default and the frozen backbone, in every metric."""
    scores, lines = ablation.scores, []
    for number, horizon in enumerate(scores.horizons):
        origins = Origins.draw(scores, number, samples, rng)
        rows = [name for name, about in ablation.facts.items() if horizon in about.horizons]
        for reference in (DEFAULT, REFERENCE):
            for name in rows if reference in rows else ():
                if name == reference:
                    continue
                for metric in SKILL_METRICS:
                    skill, low, high = origins.skill(scores, name, reference, metric, level)
                    lines.append(
                        {
                            "row": name,
                            "horizon": horizon,
                            "reference": reference,
                            "metric": metric,
                            "skill": skill,
                            "low": low,
                            "high": high,
                        }
                    )
    return lines
