"""How weights move: optimizers, learning-rate schedule and weight averaging."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tsmemory.pretraining.config import OptimizerConfig
from tsmemory.scaleout.large_batch import UpdateRule, Weights, build_optimizers, warming


def make_optimizers(model: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Sort the parameters by what they are and give each group its optimizer.

    Raises:
        ScaleoutError: LARS or LAMB without the library that has them.
    """
    betas = config.beta1, config.beta2
    blocks, matrices, rest = [], [], []
    for name, weight in model.named_parameters():
        if weight.ndim < 2 or "shared" in name or "relative_attention_bias" in name:
            rest.append(weight)
        elif config.kind == "muon" and ".block." in name:
            blocks.append(weight)
        else:
            matrices.append(weight)
    if config.kind in ("lars", "lamb"):
        sorted_ = Weights.of(model, plain=rest)
        rule = UpdateRule(
            config.kind, config.learning_rate, config.weight_decay, betas, config.adamw_rate
        )
        return build_optimizers(sorted_, rule)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas)
    if not blocks:
        return [adamw]
    muon = torch.optim.Muon(
        blocks,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return [adamw, muon]


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Rate at a step: rising, level, then falling in a straight line to 0.

    The level part does not depend on ``steps``, so that a run may be prolonged before it falls.
    """
    return config.learning_rate * min(warming(step, config.warmup), _falling(step, steps, config))


def is_level(step: int, steps: int, config: OptimizerConfig) -> bool:
    """Whether the rates of all steps before this one are those of any longer run as well."""
    # The rate of a run without end only rises and the other only falls: the last step decides.
    rising = min(1.0, step / max(config.warmup, 1))
    return step == 0 or _falling(step - 1, steps, config) >= rising


def _falling(step: int, steps: int, config: OptimizerConfig) -> float:
    return (steps - step) / max(config.decay * steps, 1)


class WeightAverage:
    """Exponential moving average of a model's parameters."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: w.detach().clone() for name, w in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model; faster in the first steps, when the past says little."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        current = [w.detach() for _, w in model.named_parameters()]
        torch._foreach_lerp_(list(self.weights.values()), current, share)

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Take the average over from a checkpoint."""
        for name, weight in self.weights.items():
            weight.copy_(weights[name])

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights with the average; a second call undoes the first."""
        for name, weight in model.named_parameters():
            kept: Tensor = weight.detach().clone()
            weight.copy_(self.weights[name])
            self.weights[name].copy_(kept)
