"""Where LoRA can be put: the linear layers of a T5-style encoder, by their exact names."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from tsmemory.trace.errors import TraceError

_ENCODER = re.compile(r"encoder\.block\.(\d+)\.layer\.\d+\.(?:\w+\.)*(q|k|v|o|wi|wi_\d|wo)")


@dataclass(frozen=True)
class Site:
    """A linear layer that LoRA can adapt.

    Attributes:
        name: Full name of the module in the model.
        layer: Number of the encoder's block, from 0.
        kind: ``q``, ``k``, ``v`` and ``o`` of self-attention; ``wi`` (``wi_0``, ``wi_1`` where it
            is gated) and ``wo`` of the feed-forward layer; ``group_v`` and ``group_o`` of the
            attention across series in Chronos-2.
        in_features: Width of its input.
        out_features: Width of its output.
        row_axis: Axis of its input that counts the rows of the batch.
    """

    name: str
    layer: int
    kind: str
    in_features: int
    out_features: int
    row_axis: int = 0

    def parameters(self, rank: int) -> int:
        """Weights of its two LoRA matrices, without the gate."""
        return rank * (self.in_features + self.out_features)


def lora_sites(model: nn.Module) -> tuple[Site, ...]:
    """Find the linear layers of the encoder (METHOD, section 2.1).

    The attention across series in Chronos-2 offers its values and outputs alone: every row is a
    group of its own, so that its queries and keys have nothing to choose between.

    Args:
        model: A torch model of the Chronos-Bolt or Chronos-2 kind, without LoRA.

    Returns:
        The sites, in the model's order.

    Raises:
        TraceError: A model without such an encoder, or one that is adapted already.
    """
    modules = dict(model.named_modules())
    sites = []
    for name, module in modules.items():
        found = _ENCODER.fullmatch(name)
        if found is None:
            continue
        if not isinstance(module, nn.Linear):
            raise TraceError(f"{name} is adapted already: detach the other LoRA first")
        across = _is_across_series(modules, name)
        if across and found[2] in ("q", "k"):
            continue
        sites.append(
            Site(
                name=name,
                layer=int(found[1]),
                kind=f"group_{found[2]}" if across else found[2],
                in_features=module.in_features,
                out_features=module.out_features,
                # That attention swaps time and batch before its linear layers.
                row_axis=1 if across else 0,
            )
        )
    if not sites:
        raise TraceError(
            f"{type(model).__name__} has no T5-style encoder that LoRA could adapt: TRACE works on "
            "backbones of the kinds chronos_bolt and chronos2"
        )
    return tuple(sites)


def sites_named(sites: Iterable[Site], names: Iterable[str]) -> tuple[Site, ...]:
    """Pick sites by their names, in the order of the names.

    Raises:
        TraceError: A name that none of the sites has.
    """
    known = {site.name: site for site in sites}
    wanted = list(names)
    if strange := [name for name in wanted if name not in known]:
        raise TraceError(f"the model has no layer {strange[0]!r} that LoRA could adapt")
    return tuple(known[name] for name in wanted)


def _is_across_series(modules: dict[str, nn.Module], name: str) -> bool:
    """Whether a layer belongs to the attention of Chronos-2 that looks across the batch."""
    parts = name.split(".")
    above = (".".join(parts[:end]) for end in range(1, len(parts)))
    return any(type(modules[each]).__name__ == "GroupSelfAttention" for each in above)
