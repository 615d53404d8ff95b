"""Masks as a search problem: two objectives, loss on validation and parameters (METHOD 2.5)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tsmemory.trace.bench import Bench
from tsmemory.trace.errors import TraceError
from tsmemory.trace.examples import Examples
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.model import TraceModel
from tsmemory.trace.rounds import Rounds
from tsmemory.trace.selection import by_kind, random_k
from tsmemory.tuning.masks.config import MaskStudyConfig
from tsmemory.tuning.masks.early import bench_fingerprint, plain_bench
from tsmemory.tuning.masks.supernet import (
    Arrays,
    restore_supernet,
    study_bench,
    supernet_state,
    train_supernet,
)

if TYPE_CHECKING:
    import optuna

Mask = tuple[bool, ...]

_USUAL = ("q", "v")  # kinds of sites that LoRA is usually put on


class MaskProblem:
    """Which sites carry LoRA, looked at on a supernet that was trained once.

    A trial is forward passes over the same windows of the earlier part of validation, so that its
    value has no noise of its own; a mask that was tried before costs nothing. It can be sent to
    other processes, which rebuild the supernet from its weights.

    Attributes:
        bench: The bench of the study; its windows end before the later part of validation.
        config: Sizes of the study.
        seed: Of the supernet and of the random mask.
        names: Names of the sites, in the order of a mask.
    """

    def __init__(self, bench: Bench, config: MaskStudyConfig, seed: int) -> None:
        """Name what is searched; the supernet is trained when it is first needed.

        Args:
            bench: What TRACE is made on.
            config: Sizes of the study.
            seed: Of the supernet and of the random mask.
        """
        self.bench = study_bench(bench, config)
        self.config = config
        self.seed = seed
        self._selection = bench.windows.selection
        self._model: TraceModel | None = None
        self._seeds: dict[str, Mask] | None = None
        self._known: dict[Mask, tuple[float, int]] = {}

    def prepare(self, state: Mapping[str, Any] | None = None) -> Arrays:
        """Train the supernet, or take one that was trained.

        Args:
            state: What an earlier call gave, for the same bench, settings and seed.

        Returns:
            The supernet as plain arrays.

        Raises:
            TraceError: A state of another model.
        """
        if state is not None:
            self._take(restore_supernet(self.bench, state))
        return supernet_state(self.model)

    @property
    def model(self) -> TraceModel:
        """The supernet, trained at first use."""
        if self._model is None:
            rng = np.random.default_rng(self.seed)
            self._take(train_supernet(self.bench, self.config, rng))
        assert self._model is not None
        return self._model

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sites."""
        return self._lora.names

    @property
    def later(self) -> Examples:
        """The later part of validation, which no trial sees."""
        return self.bench.examples(self._selection, self.bench.config.head)

    @property
    def _lora(self) -> GatedLora:
        assert self.model.lora is not None
        return self.model.lora

    def fingerprint(self) -> str:
        """Digest of all that a trial's value depends on, but for the code."""
        return bench_fingerprint(self.bench, self.config, self.seed)

    def seeds(self) -> dict[str, Mask]:
        """Masks that a search begins with, by a name for people.

        All sites and none; the query and value projections, where the backbone has them; as many
        sites as TRACE would keep, by their importance (Gated DSIC on the supernet), and as many at
        random; and the most important quarter and three quarters, so that sizes are spread.
        """
        if self._seeds is None:
            ranked = self._ranked()
            total = len(self.names)
            keep = max(1, round(self.bench.config.selection.kept_share * total))
            rng = np.random.default_rng([self.seed, total])
            self._seeds = {
                "all_on": self.mask(self.names),
                "all_off": self.mask([]),
                **self._of_usual_kinds(),
                "dsic": self.mask(ranked[:keep]),
                "random_k": self.mask(random_k(self.names, keep, rng)),
                "dsic_quarter": self.mask(ranked[: max(1, total // 4)]),
                "dsic_three_quarters": self.mask(ranked[: max(1, 3 * total // 4)]),
            }
        return dict(self._seeds)

    def settings(self) -> dict[str, dict[str, bool]]:
        """The masks of :meth:`seeds` as parameters of trials that are to be enqueued."""
        return {
            name: dict(zip(self.names, mask, strict=True)) for name, mask in self.seeds().items()
        }

    def suggest(self, trial: "optuna.Trial") -> Mask:
        """Draw a mask: one bit for each site, under the site's name."""
        return tuple(bool(trial.suggest_categorical(n, [False, True])) for n in self.names)

    def mask(self, open_names: Iterable[str]) -> Mask:
        """The mask that opens some sites.

        Raises:
            TraceError: A name that no site has.
        """
        opened = set(open_names)
        if strange := sorted(opened - set(self.names)):
            raise TraceError(f"{strange[0]!r} is not a site of the supernet; see its names")
        return tuple(name in opened for name in self.names)

    def mask_of(self, params: Mapping[str, Any]) -> Mask:
        """The mask that a trial's parameters stand for."""
        return tuple(bool(params[name]) for name in self.names)

    def open_names(self, mask: Mask) -> list[str]:
        """Names of the sites that a mask opens, as ``run_arm`` takes them."""
        return [name for name, opened in zip(self.names, mask, strict=True) if opened]

    def title(self, mask: Mask) -> str:
        """Name of a mask that the search begins with; empty for others."""
        return next((name for name, seeded in self.seeds().items() if seeded == mask), "")

    def score(self, mask: Mask) -> tuple[float, int]:
        """Both objectives of a mask.

        Args:
            mask: Which sites are open.

        Returns:
            Loss of TRACE's training on the earlier part of validation, in train z units, as a mean
            over horizons; and the number of LoRA weights, gates included.
        """
        if mask not in self._known:
            self._lora.keep_only(self.open_names(mask))
            loss = float(self._windows.mean_losses(self.model).sum())
            self._known[mask] = loss, self._lora.parameter_count()
        return self._known[mask]

    def objective(self, trial: "optuna.Trial") -> Sequence[float]:
        """What a study minimises: :meth:`score` of a drawn mask."""
        return self.score(self.suggest(trial))

    def parameters(self, mask: Mask) -> int:
        """Number of LoRA weights under a mask, gates included."""
        rank = self.bench.config.lora.rank
        pairs = zip(self._lora.sites, mask, strict=True)
        return sum(site.parameters(rank) + 1 for site, opened in pairs if opened)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send settings and weights, not torch modules."""
        plain = plain_bench(self.bench, self._selection)
        state = None if self._model is None else supernet_state(self._model)
        return _rebuilt, (plain, self.config, self.seed, state, self._seeds)

    def _take(self, model: TraceModel) -> None:
        self._model = model
        self._known = {}
        head = self.bench.config.head
        examples = self.bench.examples(self.bench.windows.scoring, head)
        self._windows = examples.fit_to(model).at_most(self.config.windows)

    def _ranked(self) -> list[str]:
        """Names of the sites, the most important first (Gated DSIC on the supernet)."""
        config = self.bench.config
        rng = np.random.default_rng([self.seed, 1])
        rounds = Rounds(self.model, self._windows, "importance", config, rng)
        with torch.random.fork_rng(devices=[]):
            rounds.hold(self._lora, config.selection.warmup_steps)
        score = {line["site"]: line["score"] for line in rounds.lines}
        return sorted(score, key=lambda name: -score[name])

    def _of_usual_kinds(self) -> dict[str, Mask]:
        kinds = {site.kind for site in self._lora.sites}
        if not kinds.issuperset(_USUAL):
            return {}
        return {"qv": self.mask(by_kind(self._lora.sites, _USUAL))}


def bits_of(mask: Mask) -> str:
    """A mask as a string of 0 and 1, in the order of the sites."""
    return "".join(str(int(opened)) for opened in mask)


def _rebuilt(
    bench: Bench,
    config: MaskStudyConfig,
    seed: int,
    state: Arrays | None,
    seeds: dict[str, Mask] | None,
) -> MaskProblem:
    """What :meth:`MaskProblem.__reduce__` has taken apart."""
    problem = MaskProblem(bench, config, seed)
    if state is not None:
        problem.prepare(state)
    problem._seeds = seeds
    return problem
