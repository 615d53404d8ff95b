"""The adapted layers of a model as they stand: names, matrices, gates, and their saved form."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tsmemory.trace.errors import TraceError
from tsmemory.trace.lora_layers import ADAPTER, Opening, check_shapes
from tsmemory.trace.sites import Site


class GatedLayers:
    """LoRA layers with gates, and what is known of them; :class:`GatedLora` changes them.

    Attributes:
        model: The adapted model.
        sites: The adapted layers.
        alpha: Ratio ``alpha / r``, the same for all sites.
    """

    def __init__(self, model: nn.Module, sites: Sequence[Site], opening: Opening, alpha: float):
        """Hold what ``GatedLora.attach`` has put into a model."""
        self.model = model
        self.sites = tuple(sites)
        self.alpha = alpha
        self._opening = opening
        self._index = {site.name: number for number, site in enumerate(self.sites)}
        self._layers: dict[str, Any] = {
            site.name: model.get_submodule(site.name) for site in self.sites
        }
        self._closed: dict[str, float] = {}
        self._merged = False

    @property
    def gates(self) -> nn.Parameter:
        """The gates of all sites. Shape ``(n_sites,)``."""
        return self._opening.gates

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all sites."""
        return tuple(site.name for site in self.sites)

    @property
    def open_names(self) -> tuple[str, ...]:
        """Names of the sites that are not closed."""
        return tuple(name for name in self._index if name not in self._closed)

    @property
    def ranks(self) -> dict[str, int]:
        """Rank of each site."""
        return {name: int(layer.r[ADAPTER]) for name, layer in self._layers.items()}

    def matrices(self, *, open_only: bool = True) -> list[nn.Parameter]:
        """The LoRA matrices ``A (r, in)`` and ``B (out, r)``, site by site."""
        names = self.open_names if open_only else self.names
        return [weight for name in names for weight in self.pair(name)]

    def pair(self, name: str) -> tuple[nn.Parameter, nn.Parameter]:
        """The matrices ``A (r, in)`` and ``B (out, r)`` of a site."""
        layer = self._layers[name]
        return layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight

    def parameters(self) -> list[nn.Parameter]:
        """What can be trained: the matrices of open sites, and the gates."""
        return [*self.matrices(), self.gates]

    def parameter_count(self, *, open_only: bool = True) -> int:
        """Number of weights in the matrices and gates of the open sites, or of all."""
        names = self.open_names if open_only else self.names
        return sum(weight.numel() for weight in self.matrices(open_only=open_only)) + len(names)

    def config(self, *, open_only: bool = False) -> dict[str, Any]:
        """What ``GatedLora.from_config`` needs, for JSON; closed sites are left out on request."""
        names = self.open_names if open_only else self.names
        ranks = self.ranks
        return {
            "ranks": {name: ranks[name] for name in names},
            "alpha": self.alpha,
            "closed": [name for name in names if name in self._closed],
        }

    def gate(self, name: str) -> float:
        """Gate of a site; of a closed one, as it was when it was closed."""
        held = self._closed.get(name)
        return self.gates.detach()[self._index[name]].item() if held is None else held

    def state_dict(self, *, open_only: bool = False) -> dict[str, torch.Tensor]:
        """Copies of ``<site>.lora_A``, ``.lora_B`` and ``.gate``, of all sites or the open ones."""
        state = {}
        for name in self.open_names if open_only else self.names:
            first, second = self.pair(name)
            state[f"{name}.lora_A"] = first.detach().clone()
            state[f"{name}.lora_B"] = second.detach().clone()
            state[f"{name}.gate"] = torch.tensor([self.gate(name)], dtype=torch.float32)
        return state

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Set matrices and gates to what :meth:`state_dict` gave; what is closed stays closed.

        Raises:
            TraceError: Tensors that are missing, left over or of other shapes, or merged LoRA.
        """
        self._refuse_merged("loaded")
        check_shapes(state, self.state_dict())
        with torch.no_grad():
            for name, number in self._index.items():
                first, second = self.pair(name)
                first.copy_(state[f"{name}.lora_A"])
                second.copy_(state[f"{name}.lora_B"])
                self.gates[number] = state[f"{name}.gate"].item()
                if name in self._closed:
                    self._closed[name] = self.gates[number].item()

    def _known(self, names: Iterable[str]) -> list[str]:
        known = list(names)
        if strange := [name for name in known if name not in self._index]:
            raise TraceError(f"{strange[0]!r} is not an adapted layer; see the sites' names")
        return known

    def _refuse_merged(self, what: str) -> None:
        if self._merged:
            raise TraceError(f"LoRA that is merged cannot be {what}: unmerge it first")
