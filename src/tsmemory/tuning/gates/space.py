"""The search space of the gates study: wide enough for every domain, the default always inside."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tsmemory.memory.config import GateConfig
from tsmemory.tuning.gates.settings import GateSettings

if TYPE_CHECKING:
    import optuna

Choice = str | int | float | bool | None

KS = (5, 10, 20, 50, 100)
BLOCKS = (12, 24, 48, 96)
_OBJECTIVE = ("gamma", "margin", "align", "delta", "anchor")
_SHARE = "untrusted_share"


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    Attributes:
        low: Lower end.
        high: Upper end.
        log: Whether ratios count and not differences.
    """

    low: float
    high: float
    log: bool = False

    def around(self, value: float) -> "Range":
        """The same, widened to hold a value; what is to hold 0 counts differences."""
        log = self.log and value > 0
        return Range(min(self.low if log else 0.0, value), max(self.high, value), log)


_RANGES = {
    "temperature": Range(0.02, 1.0, log=True),
    _SHARE: Range(0.0, 0.9),
    "gamma": Range(0.0, 2.0),
    "margin": Range(0.0, 0.2),
    "align": Range(0.01, 10.0, log=True),
    "delta": Range(0.0, 2.0),
    "anchor": Range(0.001, 10.0, log=True),
    "shrinkage": Range(0.0, 1.0),
    "training_weight": Range(0.0, 4.0),
}
_SWITCHES = ("last_value", "seasonal_naive", "long_run", "residuals")


@dataclass(frozen=True)
class GateSpace:
    """Parameters of a trial.

    The confidence threshold is tuned as the share of training windows whose teacher is not trusted:
    a confidence means another thing for every K and temperature, a share does not.

    Attributes:
        choices: Parameters with a few values.
        ranges: Parameters that are numbers.
        default: The parameters of the default setting.
    """

    choices: Mapping[str, tuple[Choice, ...]]
    ranges: Mapping[str, Range]
    default: dict[str, Any]

    @classmethod
    def around(
        cls,
        default: GateSettings,
        *,
        untrusted_share: float,
        key_kinds: Sequence[str],
        ks: Sequence[int],
        longest: int,
        by_channel: bool,
        gates: Mapping[str, Sequence[float]],
    ) -> "GateSpace":
        """The space for a domain.

        Args:
            default: The setting as it is configured.
            untrusted_share: Share of training windows that its confidence threshold leaves out.
            key_kinds: Key kinds that can be had.
            ks: Numbers of neighbours that can be had.
            longest: The longest horizon; no block is longer.
            by_channel: Whether there are several channels.
            gates: Thresholds of the input gate by name.

        Returns:
            The space, with every value of the default in it.
        """
        fusion = default.fusion
        own: dict[str, Any] = {
            "key_kind": default.key_kind,
            "k": default.k,
            "block": fusion.block,
            "groups": fusion.groups,
            **{name: getattr(fusion, name) for name in _SWITCHES},
            **asdict(fusion.gate),
        }
        choices: dict[str, Sequence[Choice]] = {
            "key_kind": key_kinds,
            "k": sorted({*ks, default.k}),
            "block": sorted({*(b for b in BLOCKS if b <= longest), fusion.block}),
            "groups": ("none", "channel") if by_channel else (fusion.groups,),
            **dict.fromkeys(_SWITCHES, (False, True)),
            **{name: (None, *values) for name, values in gates.items()},
        }
        numbers = {
            "temperature": default.temperature,
            _SHARE: untrusted_share,
            **{name: getattr(default.objective, name) for name in _OBJECTIVE},
            "shrinkage": fusion.shrinkage,
            "training_weight": fusion.training_weight,
        }
        whole = {n: tuple(dict.fromkeys([*values, own[n]])) for n, values in choices.items()}
        ranges = {name: _RANGES[name].around(float(value)) for name, value in numbers.items()}
        return cls(whole, ranges, {**own, **{n: float(v) for n, v in numbers.items()}})

    def suggest(self, trial: "optuna.Trial") -> dict[str, Any]:
        """Ask for every parameter.

        Args:
            trial: Anything with Optuna's ``suggest_categorical`` and ``suggest_float``.
        """
        chosen: dict[str, Any] = {
            name: trial.suggest_categorical(name, values) for name, values in self.choices.items()
        }
        for name, within in self.ranges.items():
            chosen[name] = trial.suggest_float(name, within.low, within.high, log=within.log)
        return chosen

    def to_json(self) -> dict[str, Any]:
        """Plain values, to be shown and to tell one space from another."""
        return {
            "choices": {name: list(values) for name, values in self.choices.items()},
            "ranges": {name: asdict(within) for name, within in self.ranges.items()},
            "default": self.default,
        }


def settings_from(values: Mapping[str, Any], default: GateSettings) -> GateSettings:
    """Settings of the parameters of a trial, numbers cut to three digits.

    The confidence threshold stays the default's; it follows once K and temperature are known.

    Args:
        values: What :meth:`GateSpace.suggest` returned.
        default: Gives what is not tuned.
    """
    number = {name: round_off(values[name]) for name in _RANGES}
    weights: dict[str, Any] = {name: number[name] for name in _OBJECTIVE}
    switches: dict[str, Any] = {name: bool(values[name]) for name in _SWITCHES}
    gate = GateConfig(**{name: values[name] for name in vars(default.fusion.gate)})
    return GateSettings(
        key_kind=values["key_kind"],
        k=int(values["k"]),
        temperature=number["temperature"],
        objective=replace(default.objective, **weights),
        fusion=replace(
            default.fusion,
            block=int(values["block"]),
            groups=values["groups"],
            shrinkage=number["shrinkage"],
            training_weight=number["training_weight"],
            gate=gate,
            **switches,
        ),
    )


def round_off(value: float) -> float:
    """Three significant digits: no more of a tuned number means anything."""
    return float(f"{value:.3g}")
