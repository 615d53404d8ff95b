"""What a row trains beside its head: nothing, gated LoRA, AdaLoRA, or the whole encoder."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from peft import AdaLoraConfig, AdaLoraModel
from torch import Tensor, nn

from tsmemory.trace.config import FineTuningConfig, LoraConfig, SelectionConfig
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.rounds import Rounds
from tsmemory.trace.sites import Site

Group = dict[str, Any]  # params, rate and decay of a group of weights

_ENCODER = "encoder."


class Adapter:
    """Nothing is adapted: the head alone learns.

    Attributes:
        settled: Step from which on the adapter's sites stay the same.
        open_names: Names of the sites that are adapted now.
    """

    settled = 0
    open_names: tuple[str, ...] = ()

    def groups(self, config: FineTuningConfig) -> list[Group]:
        """The weights to train, each with its rate and decay."""
        return []

    def penalty(self) -> Tensor | None:
        """What is added to the training loss."""
        return None

    def after_step(self, step: int) -> bool:
        """Look at a step's weights and gradients; whether the weights are new ones now."""
        return False

    def parameter_count(self) -> int:
        """Number of weights that it trains and keeps."""
        return 0

    def finish(self) -> None:
        """Merge into the encoder what was learnt."""


class LoraAdapter(Adapter):
    """Gated LoRA, on sites that may be chosen in rounds.

    Attributes:
        lora: The gated LoRA.
        rounds: How sites are chosen; ``None`` keeps them all.
    """

    def __init__(self, lora: GatedLora, rounds: Rounds | None = None) -> None:
        self.lora = lora
        self.rounds = rounds
        self.settled = 0 if rounds is None else rounds.last

    @property
    def open_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the open sites."""
        return self.lora.open_names

    def groups(self, config: FineTuningConfig) -> list[Group]:
        """Matrices of all sites, closed ones included: they may come back; and the gates."""
        matrices = self.lora.matrices(open_only=False)
        return [
            {"params": matrices, "rate": config.lora_rate, "decay": config.weight_decay},
            {"params": [self.lora.gates], "rate": config.gate_rate, "decay": 0.0},
        ]

    def after_step(self, step: int) -> bool:
        """Hold the round that is due; the last one may give closed sites' rank to open ones."""
        return self.rounds is not None and self.rounds.hold(self.lora, step)

    def parameter_count(self) -> int:
        """Matrices and gates of the open sites."""
        return self.lora.parameter_count()

    def finish(self) -> None:
        """Merge the open sites."""
        self.lora.merge()


class AdaLora(Adapter):
    """AdaLoRA (Zhang et al., 2023) as peft has it: ranks fall to a budget by their importance.

    It starts with twice the rank and ends, on average, with the rank of plain LoRA; the budget
    falls while other rows close sites.
    """

    def __init__(
        self,
        model: nn.Module,
        sites: Sequence[Site],
        lora: LoraConfig,
        selection: SelectionConfig,
        steps: int,
    ) -> None:
        """Put AdaLoRA into a model's encoder.

        Args:
            model: The model; frozen before.
            sites: Layers that are adapted.
            lora: Rank that is left in the end, and alpha / r.
            selection: When the budget falls.
            steps: Training steps.
        """
        last = max(selection.last_round, 2)  # the first step has no importance to go by
        self.settled = last + 1  # that step masks ranks for good
        self._sites = tuple(sites)
        names = [re.escape(site.name.removeprefix(_ENCODER)) for site in sites]
        config = AdaLoraConfig(
            target_modules="|".join(names),
            init_r=2 * lora.rank,
            target_r=lora.rank,
            lora_alpha=round(2 * lora.rank * lora.alpha_ratio),
            tinit=selection.warmup_steps // 2,
            tfinal=max(steps - last, 0),
            deltaT=max(selection.round_steps // 4, 1),
            total_step=max(steps, 1),
        )
        self._tuner = AdaLoraModel(model.get_submodule("encoder"), config, "default")
        self._weights = [w for w in model.parameters() if w.requires_grad]

    def groups(self, config: FineTuningConfig) -> list[Group]:
        """The matrices and singular values of all sites."""
        decay = config.weight_decay
        return [{"params": self._weights, "rate": config.lora_rate, "decay": decay}]

    def penalty(self) -> Tensor:
        """Distance of the matrices from orthogonal ones, as in peft's own forward pass."""
        config = self._tuner.peft_config["default"]
        found = []
        for name, weight in self._tuner.model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                product = weight @ weight.T if "lora_A" in name else weight.T @ weight
                eye = torch.eye(len(product), device=product.device)
                found.append(torch.linalg.norm(product - eye))
        return float(config.orth_reg_weight) * torch.stack(found).mean()

    def after_step(self, step: int) -> bool:
        """Lower the budget and mask the least important ranks."""
        self._tuner.update_and_allocate(step)
        return False

    @property
    def open_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the sites with a rank left."""
        return tuple(site.name for site, rank in self._ranks() if rank)

    def parameter_count(self) -> int:
        """Matrices and singular values of the ranks that are left."""
        return sum(site.parameters(rank) + rank for site, rank in self._ranks())

    def finish(self) -> None:
        """Merge, and leave plain layers."""
        self._kept = self._ranks()
        self._tuner.merge_and_unload()

    def _ranks(self) -> list[tuple[Site, int]]:
        """Rank of each site that is not masked."""
        if hasattr(self, "_kept"):
            return self._kept
        pattern = self._tuner.peft_config["default"].rank_pattern or {}
        ranks = {name.removesuffix(".lora_E.default"): sum(kept) for name, kept in pattern.items()}
        whole = self._tuner.peft_config["default"].init_r
        found = []
        for site in self._sites:
            inner = site.name.removeprefix(_ENCODER)
            hits = [rank for name, rank in ranks.items() if name.endswith(inner)]
            found.append((site, hits[0] if hits else whole))
        return found


class WholeEncoder(Adapter):
    """Full fine-tuning: every weight between the context and the head."""

    def __init__(self, model: Any, *, native: bool) -> None:
        """Unfreeze the weights.

        Args:
            model: The model.
            native: Whether its own head is used, which then learns as well.
        """
        parts = [model] if native else [model.encoder, model.input_patch_embedding]
        weights = {id(w): w for part in parts for w in part.parameters()}
        self._weights = [weight.requires_grad_(True) for weight in weights.values()]

    def groups(self, config: FineTuningConfig) -> list[Group]:
        """All weights."""
        decay = config.weight_decay
        return [{"params": self._weights, "rate": config.full_rate, "decay": decay}]

    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(weight.numel() for weight in self._weights)
