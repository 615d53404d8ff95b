"""Rounds in which sites are scored, closed and reopened while training goes on (METHOD 2.2)."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tsmemory.trace.config import TraceConfig
from tsmemory.trace.dsic import Batch, SiteScores, score_sites
from tsmemory.trace.examples import Examples
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.model import TraceModel
from tsmemory.trace.objective import horizon_weights, row_losses
from tsmemory.trace.selection import (
    keep_schedule,
    magnitude_k,
    random_k,
    redistribute_rank,
    select,
)

Choice = Literal["importance", "random", "magnitude"]


class Rounds:
    """When sites are closed, and by what.

    All choices close sites at the same steps, so that rows differ in the choice and nothing else.

    Attributes:
        last: Step of the last round.
        lines: For each round and site ``round, step, site, layer, kind, score, standard_error,
            open``; without scores where none are taken.
        seconds: What scoring took.
    """

    def __init__(
        self,
        model: TraceModel,
        scoring: Examples,
        choice: Choice,
        config: TraceConfig,
        rng: np.random.Generator,
    ) -> None:
        """Plan the rounds.

        Args:
            model: The model whose sites are chosen, with LoRA on all of them.
            scoring: Scoring part of validation.
            choice: By importance, at random, or by the size of what an adapter adds.
            config: How sites are scored, and how many stay when.
            rng: Draws masks and random choices.
        """
        self._model = model
        self._scoring = scoring.fit_to(model).at_most(config.scoring.windows)
        self._choice = choice
        self._config = config
        self._rng = rng
        selection = config.selection
        self.last = selection.last_round
        self.lines: list[dict[str, Any]] = []
        self.seconds = 0.0

    def hold(self, lora: GatedLora, step: int) -> bool:
        """Hold the round that is due after a step, if one is.

        Args:
            lora: The adapter, changed in place.
            step: Steps done.

        Returns:
            Whether its weights are new ones, since ranks have grown.
        """
        plan = self._config.selection
        number, rest = divmod(step - plan.warmup_steps, plan.round_steps)
        if rest or not 0 <= number < plan.rounds:
            return False
        keep = keep_schedule(plan.rounds, len(lora.sites), plan.kept_share)[number]
        scores = self._scores(lora) if self._choice == "importance" else None
        kept = self._chosen(lora, scores, keep)
        budget = lora.parameter_count(open_only=False)
        lora.close(name for name in lora.names if name not in kept)
        lora.reopen(kept)
        self._note(lora, scores, number + 1, step)
        if number + 1 < plan.rounds or not plan.redistribute:
            return False
        sites = [site for site in lora.sites if site.name in kept]
        rank = self._config.lora.rank
        lora.grow(redistribute_rank(sites, budget, rank=rank), seed=int(self._rng.integers(2**31)))
        return True

    def _chosen(self, lora: GatedLora, scores: SiteScores | None, keep: int) -> tuple[str, ...]:
        if scores is not None:
            return select(scores, keep)
        if self._choice == "magnitude":
            return magnitude_k(lora, keep)
        return random_k(lora.open_names, keep, self._rng)

    def _scores(self, lora: GatedLora) -> SiteScores:
        config, model = self._config.scoring, self._model
        weights = horizon_weights(self._scoring.horizons).to(model.device)

        def loss_of_rows(batch: Batch) -> Tensor:
            contexts, targets = batch
            return row_losses(
                model(contexts),
                targets,
                levels=model.levels,
                weights=weights,
                loss=self._scoring.loss,
            )

        batches = [batch.tensors(model.device) for batch in self._scoring.batches()]
        with torch.enable_grad():
            scores = score_sites(
                lora,
                loss_of_rows,
                batches,
                estimator=config.estimator,
                passes=config.passes,
                score=config.score,
                weighting=config.weighting,
                masks=config.masks,
                generator=self._rng,
            )
        self.seconds += scores.seconds
        return scores

    def _note(self, lora: GatedLora, scores: SiteScores | None, number: int, step: int) -> None:
        """Add the round's lines."""
        nothing = np.full(len(lora.sites), np.nan)
        found = (nothing, nothing) if scores is None else (scores.score, scores.standard_error)
        still_open = set(lora.open_names)
        for site, score, error in zip(lora.sites, *found, strict=True):
            self.lines.append(
                {
                    "round": number,
                    "step": step,
                    "site": site.name,
                    "layer": site.layer,
                    "kind": site.kind,
                    "score": float(score),
                    "standard_error": float(error),
                    "open": site.name in still_open,
                }
            )
