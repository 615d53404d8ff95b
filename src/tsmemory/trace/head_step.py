"""How far a head may step away from the backbone's own forecast (METHOD 1.7, 2.3).

A ridge that is best on the mean of validation follows its farthest excursion. So each stretch of
time has a veto, as it has on the memory's weights: the step from the backbone's median to the
head's is cut, block by block, to the shortest that any stretch wants by least squares. Stretches
are validation, and those of training time seen by ridges that were not fitted on them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from tsmemory.memory.fusion_windows import by_block
from tsmemory.memory.location_fit import Stretch, steadied

_BLOCK = 24  # steps that share a cut
_SHRINKAGE = 0.5  # of a block's cut towards that of all blocks together


class Seen(NamedTuple):
    """Windows of one stretch, with forecasts of a head that was not fitted on them.

    Attributes:
        targets: In the instance-normalised unit, NaN where unknown. Shape ``(n, H)``.
        weights: Squared scale of each window. Shape ``(n,)``.
        own: The head's part of the median. Shape ``(n, H)``.
        native: The backbone's median. Shape ``(n, H)``.
    """

    targets: torch.Tensor
    weights: torch.Tensor
    own: torch.Tensor
    native: torch.Tensor

    def residuals(self, kept: torch.Tensor, skip: float) -> torch.Tensor:
        """What is left when only a share of the step is taken. Shape ``(n, H)``."""
        return self.targets - self.native - kept * self._step(skip)

    def stretch(self, skip: float, emphasis: torch.Tensor) -> Stretch:
        """Sums that tell how long a step these windows want."""
        gap, step = self.targets - self.native, self._step(skip)
        weights = self.weights[:, None].double() * ~gap.isnan() * emphasis
        gap = gap.nan_to_num()
        gram = by_block((weights * step.square()).sum(dim=0).cpu(), _BLOCK)
        moment = by_block((weights * step * gap).sum(dim=0).cpu(), _BLOCK)
        none = np.zeros_like(gram)  # the place of the long-run level, which is no candidate here
        return Stretch(np.array([[gram, none], [none, none]]), np.array([moment, none]))

    def _step(self, skip: float) -> torch.Tensor:
        return self.own + (skip - 1) * self.native


def kept_share(
    seen: Sequence[Seen], skip: float, emphasis: torch.Tensor, known: torch.Tensor
) -> torch.Tensor:
    """The share of the step away from the backbone that no stretch speaks against.

    Args:
        seen: One for each stretch; fewer than three cannot tell, and nothing is cut.
        skip: Share of the backbone's forecast that the head was solved beside.
        emphasis: What each step counts. Shape ``(H,)``.
        known: Where the backbone forecasts at all; elsewhere nothing is cut. Shape ``(H,)``.

    Returns:
        In [0, 1]. Shape ``(H,)``.
    """
    stretches = [part.stretch(skip, emphasis * known) for part in seen]
    whole = np.array([[1.0], [0.0]]).repeat(-(-len(known) // _BLOCK), axis=1)
    cut = torch.from_numpy(steadied(stretches, whole, _SHRINKAGE)[0]).to(emphasis)
    return torch.where(known, cut.repeat_interleave(_BLOCK)[: len(known)], 1.0)
