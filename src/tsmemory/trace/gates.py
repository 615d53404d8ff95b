"""LoRA with one gate for each adapted layer (TRACE, gated LoRA; METHOD, section 2.1).

``h = W0 x + g * (alpha / r) * B A x`` with ``g = 1`` at the start and ``B = 0``. The layers are
peft's; the gate stands in their ``scaling``, so that forward, merge and unmerge all respect it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import nn

from tsmemory.trace.errors import TraceError
from tsmemory.trace.gated_layers import GatedLayers
from tsmemory.trace.lora_layers import (
    GatedScaling,
    Opening,
    draw_matrices,
    inject,
    pad_matrices,
    ranks_of,
    read_config,
    remove,
)
from tsmemory.trace.sites import Site, lora_sites, sites_named

_GATES = "site_gates"


class GatedLora(GatedLayers):
    """Gated LoRA on some linear layers of a model's encoder, which it changes in place.

    A closed site is skipped in the forward pass and frozen, and comes back as it was. While the
    LoRA is merged, only forecasts are possible: nothing can be masked, closed or reopened.

    Attributes:
        model: The adapted model.
        sites: The adapted layers.
        alpha: Ratio ``alpha / r``, the same for all sites.
    """

    @classmethod
    def attach(
        cls,
        model: nn.Module,
        sites: Sequence[Site],
        *,
        rank: int | Mapping[str, int] = 2,
        alpha: float = 1.0,
        seed: int,
    ) -> Self:
        """Put gated LoRA into a model and freeze everything else in it.

        Args:
            model: The model; it answers as before until the matrices are trained.
            sites: Which of its layers, from :func:`lora_sites`.
            rank: Rank of all sites, or of each by its name.
            alpha: Ratio ``alpha / r``.
            seed: Of the matrices ``A``, drawn as peft does; ``B`` is zero.

        Returns:
            The adapter.

        Raises:
            TraceError: No site, a model that is adapted already, or a rank that does not fit.
        """
        ranks = ranks_of((site.name for site in sites), rank)
        model.requires_grad_(False)
        inject(model, ranks)
        where = next(model.parameters())
        gates = nn.Parameter(torch.ones(len(ranks), device=where.device))
        # A parameter of the model follows it to other devices.
        model.get_submodule("encoder").register_parameter(_GATES, gates)
        opening = Opening(gates)
        for number, site in enumerate(sites):
            layer: Any = model.get_submodule(site.name)
            layer.scaling = GatedScaling(opening, number, alpha, site.row_axis)
        gated = cls(model, sites, opening, alpha)
        draw_matrices(gated._layers.values(), seed)
        return gated

    @classmethod
    def from_config(cls, model: nn.Module, config: Mapping[str, Any]) -> Self:
        """Put LoRA as :meth:`config` describes into a plain model; the weights come after.

        Raises:
            TraceError: A model of other sizes or names, or a config that is not one.
        """
        ranks, alpha, closed = read_config(config)
        sites = sites_named(lora_sites(model), ranks)
        gated = cls.attach(model, sites, rank=ranks, alpha=alpha, seed=0)
        gated.close(closed)
        return gated

    @contextmanager
    def masked(self, mask: torch.Tensor) -> Iterator[None]:
        """Multiply the gates by a mask as long as the context lasts.

        Args:
            mask: Shape ``(n_sites,)`` for all rows, or ``(B, n_sites)`` with one mask for each row
                of the batches that are forecast inside. Gradients flow into a mask that asks.

        Raises:
            TraceError: A mask of another shape, or LoRA that is merged.
        """
        self._refuse_merged("masked")
        if mask.ndim not in (1, 2) or mask.shape[-1] != len(self.sites):
            raise TraceError(
                f"a mask of shape {tuple(mask.shape)} does not fit: it is ({len(self.sites)},) or "
                f"(rows, {len(self.sites)})"
            )
        with self._opening.holding(mask=mask.to(self.gates.device)):
            yield

    @contextmanager
    def effective(self, gates: torch.Tensor) -> Iterator[torch.Tensor]:
        """Let other numbers stand in for gates and mask as long as the context lasts.

        Args:
            gates: Shape ``(n_sites,)``, or ``(B, n_sites)`` with numbers for each row.

        Yields:
            A copy that asks for gradients: what a loss inside would change by.

        Raises:
            TraceError: LoRA that is merged.
        """
        self._refuse_merged("scored")
        leaf = gates.detach().to(self.gates.device, copy=True).requires_grad_()
        with self._opening.holding(effective=leaf):
            yield leaf

    def close(self, names: Iterable[str]) -> None:
        """Skip and freeze some sites; closing a closed one changes nothing.

        Raises:
            TraceError: An unknown name, or LoRA that is merged.
        """
        self._refuse_merged("closed")
        for name in self._known(names):
            self._layers[name].enable_adapters(False)
            for weight in self.pair(name):
                weight.grad = None
            # An optimizer with momentum goes on moving the whole vector of gates.
            self._closed[name] = self.gate(name)

    def reopen(self, names: Iterable[str]) -> None:
        """Bring closed sites back as they were.

        Raises:
            TraceError: An unknown name, or LoRA that is merged.
        """
        self._refuse_merged("reopened")
        for name in self._known(names):
            if name in self._closed:
                self._layers[name].enable_adapters(True)
                with torch.no_grad():
                    self.gates[self._index[name]] = self._closed.pop(name)

    def keep_only(self, names: Iterable[str]) -> None:
        """Open these sites and close all others.

        Raises:
            TraceError: An unknown name, or LoRA that is merged.
        """
        kept = self._known(names)
        self.reopen(kept)
        self.close(set(self.names) - set(kept))

    @contextmanager
    def all_open(self) -> Iterator[None]:
        """Open every site as long as the context lasts."""
        closed = [name for name in self.names if name in self._closed]
        self.reopen(closed)
        try:
            yield
        finally:
            self.close(closed)

    def grow(self, ranks: Mapping[str, int], *, seed: int) -> None:
        """Raise the ranks of some sites without changing what the model answers.

        New rows of ``A`` are drawn, new columns of ``B`` are zero. The matrices are new parameters:
        an optimizer has to be built after this.

        Args:
            ranks: New rank by site.
            seed: Of the new rows.

        Raises:
            TraceError: An unknown name, a rank below the present one, or LoRA that is merged.
        """
        self._refuse_merged("grown")
        self._known(ranks)
        now = self.ranks
        if low := [name for name, rank in ranks.items() if rank < now[name]]:
            raise TraceError(f"{low[0]} has rank {now[low[0]]} already; a rank can only grow")
        generator = torch.Generator().manual_seed(seed)
        for name in self.names:
            if ranks.get(name, now[name]) > now[name]:
                pad_matrices(self._layers[name], ranks[name], generator)

    def merge(self) -> None:
        """Add the open sites' LoRA to the weights that they adapt; forecasts stay the same."""
        self._refuse_merged("merged again")
        with torch.no_grad():
            for name in self.open_names:
                self._layers[name].merge()
        self._merged = True

    def unmerge(self) -> None:
        """Take the LoRA out of the weights again, up to rounding; plain where nothing is merged."""
        if not self._merged:
            return
        with torch.no_grad():
            for name in self.open_names:
                self._layers[name].unmerge()
        self._merged = False

    def detach(self) -> nn.Module:
        """Give the plain model back, frozen; this adapter cannot be used after."""
        self.unmerge()
        remove(self.model, self.names)
        del self.model.get_submodule("encoder")._parameters[_GATES]
        return self.model
