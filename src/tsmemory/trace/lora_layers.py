"""What :mod:`tsmemory.trace.gates` does to peft's layers."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from tsmemory.trace.errors import TraceError

ADAPTER = "trace"
_ENCODER = "encoder."


@dataclass
class Opening:
    """How far each site is open; all layers of a model look at the same one.

    Attributes:
        gates: Shape ``(n_sites,)``.
        mask: Multiplies the gates; shape ``(n_sites,)`` or ``(B, n_sites)``.
        effective: Stands in for the product, in one of the same shapes.
    """

    gates: nn.Parameter
    mask: torch.Tensor | None = None
    effective: torch.Tensor | None = None

    def of(self, number: int) -> torch.Tensor:
        """Effective gate of one site, for all rows or each. Shape ``()`` or ``(B,)``."""
        if self.effective is not None:
            return self.effective[..., number]
        gate = self.gates[number]
        return gate if self.mask is None else gate * self.mask[..., number]

    @contextmanager
    def holding(self, **changes: torch.Tensor) -> Iterator[None]:
        """Set ``mask`` or ``effective`` as long as the context lasts."""
        before = {name: getattr(self, name) for name in changes}
        vars(self).update(changes)
        try:
            yield
        finally:
            vars(self).update(before)


class GatedScaling(dict[str, Any]):
    """peft's ``scaling`` of one layer, formed at every look from the present gate and mask."""

    def __init__(self, opening: Opening, number: int, alpha: float, row_axis: int) -> None:
        """Look at one site of an opening, whose rows are counted by an axis of its input."""
        super().__init__({ADAPTER: alpha})
        self.opening = opening
        self.number = number
        self.alpha = alpha
        self.row_axis = row_axis

    def __getitem__(self, name: str) -> torch.Tensor:
        """Factor of ``B A x``: a scalar, or one for each row, shaped to fit ``(B, N, D)``."""
        factor = self.alpha * self.opening.of(self.number)
        if factor.ndim == 0:
            return factor
        return factor[:, None, None] if self.row_axis == 0 else factor[None, :, None]


def ranks_of(sites: Iterable[str], rank: int | Mapping[str, int]) -> dict[str, int]:
    """Rank of each site, in the order of the sites.

    Args:
        sites: Their names.
        rank: One rank for all, or one for each name.

    Raises:
        TraceError: No site, ranks of other sites, or a rank below 1.
    """
    names = list(sites)
    if not names:
        raise TraceError("no site to adapt: give at least one of the model's layers")
    ranks = dict.fromkeys(names, rank) if isinstance(rank, int) else dict(rank)
    if set(ranks) != set(names):
        wrong = sorted(set(ranks) ^ set(names))
        raise TraceError(f"ranks and sites differ: {wrong[0]} is in one of them only")
    if low := [name for name in names if ranks[name] < 1]:
        raise TraceError(f"rank {ranks[low[0]]} of {low[0]} is not a positive number")
    return {name: ranks[name] for name in names}


def inject(model: nn.Module, ranks: Mapping[str, int]) -> None:
    """Wrap the named layers of the encoder in peft's LoRA layers.

    peft gets the encoder alone: it asks a whole model for its input embeddings, which
    Chronos-Bolt does not give. The names are one regular expression, which peft matches in full; a
    list would match by endings, too.

    Raises:
        TraceError: A model that has LoRA layers already.
    """
    encoder = model.get_submodule("encoder")
    if any(isinstance(module, LoraLayer) for module in encoder.modules()):
        raise TraceError("the model is adapted already: detach the other LoRA first")
    inner = {re.escape(name.removeprefix(_ENCODER)): rank for name, rank in ranks.items()}
    config = LoraConfig(target_modules="|".join(inner), rank_pattern=inner)
    # The first draws are peft's own, and are replaced.
    with torch.random.fork_rng(devices=[]):
        inject_adapter_in_model(config, encoder, adapter_name=ADAPTER)


def draw_matrices(layers: Iterable[Any], seed: int) -> None:
    """Draw the matrices ``A`` of all layers, the same on every device.

    They are float32 on a model of half the precision, too, so that small steps do not get lost.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        layer.lora_A[ADAPTER].float()
        layer.lora_B[ADAPTER].float()
        first = layer.lora_A[ADAPTER].weight
        with torch.no_grad():
            first.copy_(_drawn(first.shape[0], first.shape[1], generator))


def pad_matrices(layer: Any, rank: int, generator: torch.Generator) -> None:
    """Raise the rank of a layer by drawn rows of ``A`` and zero columns of ``B``."""
    for holder, axis in ((layer.lora_A[ADAPTER], 0), (layer.lora_B[ADAPTER], 1)):
        old = holder.weight
        more = rank - old.shape[axis]
        new = _drawn(more, old.shape[1], generator) if axis == 0 else torch.zeros(len(old), more)
        padded = torch.cat([old.detach(), new.to(old)], dim=axis)
        holder.weight = nn.Parameter(padded, requires_grad=old.requires_grad)
    layer.lora_A[ADAPTER].out_features = layer.lora_B[ADAPTER].in_features = rank
    layer.r[ADAPTER] = rank


def remove(model: nn.Module, names: Iterable[str]) -> None:
    """Put the wrapped layers back."""
    for name in names:
        above, _, last = name.rpartition(".")
        layer: Any = model.get_submodule(name)
        setattr(model.get_submodule(above), last, layer.get_base_layer())


def read_config(config: Mapping[str, Any]) -> tuple[dict[str, int], float, list[str]]:
    """Ranks by site, ratio ``alpha / r`` and closed sites, as they were saved.

    Raises:
        TraceError: Something is missing or no number.
    """
    try:
        ranks = {str(name): int(rank) for name, rank in config["ranks"].items()}
        return ranks, float(config["alpha"]), [str(name) for name in config["closed"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TraceError(f"the LoRA's config is damaged ({error!r}); save it again") from error


def check_shapes(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that are not those that a LoRA consists of.

    Raises:
        TraceError: One is missing, left over or of another shape.
    """
    for name in sorted({*found, *wanted}):
        there, due = (
            tuple(each[name].shape) if name in each else "absent" for each in (found, wanted)
        )
        if there != due:
            raise TraceError(f"the LoRA's weights do not fit: {name} is {there}, expected {due}")


def _drawn(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """Rows of ``A`` as peft starts them: uniform within ``1 / sqrt(columns)``."""
    bound = 1 / math.sqrt(columns)
    return (2 * torch.rand(rows, columns, generator=generator) - 1) * bound
