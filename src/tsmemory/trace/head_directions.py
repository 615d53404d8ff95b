"""Which features or directions of the patch tokens a narrow head reads (METHOD 2.3)."""

import torch

from tsmemory.trace.weighted_ridge import LinearMap


def regression_directions(flat: LinearMap, width: int, count: int) -> torch.Tensor:
    """The directions of the features, common to all patches, that a flat ridge uses most.

    They are the leading left singular vectors of the flat W, read as one map from D features to
    N * H outputs. W is what the penalty has left of each direction, so nothing need be whitened:
    directions of little variance, which the penalty holds down, come last.

    Args:
        flat: The flat ridge on features ``(n, N * D)``.
        width: D, features of a token.
        count: d'.

    Returns:
        Orthonormal directions, the most used first. Shape ``(d', D)``.
    """
    by_patch = flat.weight.double().view(-1, width, flat.weight.shape[1])
    used = torch.einsum("nah,nbh->ab", by_patch, by_patch)  # W W' over patches and steps
    _, vectors = torch.linalg.eigh(used)
    directions: torch.Tensor = vectors[:, -count:].flip(1).T.to(flat.weight)
    return directions


def varied_features(patches: torch.Tensor, weights: torch.Tensor, count: int) -> torch.Tensor:
    """The features with the largest variance, mean over the patches.

    Args:
        patches: Patch tokens of training windows. Shape ``(n, N, D)``.
        weights: What each window counts. Shape ``(n,)``.
        count: d'.

    Returns:
        Their indices, ascending. Shape ``(d',)``.
    """
    share = (weights / weights.sum())[:, None, None]
    centred = patches - (share * patches).sum(dim=0)
    variance = (share * centred.square()).sum(dim=0).mean(dim=0)
    return variance.topk(count).indices.sort().values
