"""Triplets: an anchor must be nearer to its own kind than to another, by a margin.

    loss = mean of  max(0, d(anchor, positive) - d(anchor, negative) + margin)

Schroff, Kalenichenko and Philbin 2015, "FaceNet"; Hermans, Beyer and Leibe 2017, "In defense of the triplet loss".
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from vicino.errors import DimensionMismatch, UnknownName

__all__ = ["batch_triplets", "triplet"]

Distance = Literal["cosine", "euclidean"]
Mining = Literal["all", "hard", "semi-hard"]


def triplet(
    anchors: Tensor, positives: Tensor, negatives: Tensor, *, margin: float = 0.2, distance: Distance = "cosine"
) -> Tensor:
    """Triplets that are given, row by row, each (b, d). Cosine distance is 1 - cosine. Raises DimensionMismatch, UnknownName.

    >>> anchor = torch.tensor([[1.0, 0.0]])
    >>> float(triplet(anchor, anchor, -anchor)), float(triplet(anchor, anchor, anchor))
    (0.0, 0.20000000298023224)
    """
    if not (anchors.shape == positives.shape == negatives.shape) or anchors.ndim != 2:
        shapes = ", ".join(str(tuple(each.shape)) for each in (anchors, positives, negatives))
        raise DimensionMismatch(f"triplets of shapes {shapes}", mend="give (b, d) three times")
    if _of(distance) == "cosine":
        near, far = (1 - functional.cosine_similarity(anchors, other) for other in (positives, negatives))
    else:
        near, far = (_root((anchors - other).square().sum(-1)) for other in (positives, negatives))
    return functional.relu(near - far + margin).mean()


def batch_triplets(
    vectors: Tensor, labels: Tensor, *, margin: float = 0.2, distance: Distance = "cosine", mining: Mining = "semi-hard"
) -> Tensor:
    """All triplets that a labelled batch holds, or those worth learning from: (b, d), (b,) -> ().

    "all" is the mean over the triplets that break the margin; "hard", for each anchor that has both, its farthest positive with
    its nearest negative; "semi-hard", for each pair of a kind, the nearest negative that is farther than the positive, and where
    there is none the farthest negative of all. A batch without a triplet gives 0, with gradients of 0.

    Raises DimensionMismatch, UnknownName.
    """
    if vectors.ndim != 2 or labels.shape != vectors.shape[:1]:
        shapes = f"{tuple(vectors.shape)} and {tuple(labels.shape)}"
        raise DimensionMismatch(f"vectors and labels of shapes {shapes}", mend="give (b, d) and (b,)")
    if mining not in _MINING:
        raise UnknownName.among(str(mining), _MINING, kind="way to mine triplets")
    distances = _distances(vectors, distance)
    same = labels[:, None] == labels[None, :]
    alike = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return _MINING[mining](distances, alike, ~same, margin)


def _all(distances: Tensor, alike: Tensor, other: Tensor, margin: float) -> Tensor:
    losses = functional.relu(distances[:, :, None] - distances[:, None, :] + margin)  # anchor, positive, negative
    losses = losses * (alike[:, :, None] & other[:, None, :])
    return losses.sum() / (losses > 0).sum().clamp(min=1)


def _hard(distances: Tensor, alike: Tensor, other: Tensor, margin: float) -> Tensor:
    farthest = distances.masked_fill(~alike, -torch.inf).max(dim=1).values
    nearest = distances.masked_fill(~other, torch.inf).min(dim=1).values
    there = alike.any(dim=1) & other.any(dim=1)
    return _mean(functional.relu(farthest[there] - nearest[there] + margin), distances)


def _semi_hard(distances: Tensor, alike: Tensor, other: Tensor, margin: float) -> Tensor:
    anchor, positive = torch.nonzero(alike & other.any(dim=1)[:, None], as_tuple=True)
    near = distances[anchor, positive]
    row, negative = distances[anchor], other[anchor]
    beyond = row.masked_fill(~(negative & (row > near[:, None])), torch.inf).min(dim=1).values
    farthest = row.masked_fill(~negative, -torch.inf).max(dim=1).values
    return _mean(functional.relu(near - torch.where(beyond.isinf(), farthest, beyond) + margin), distances)


_MINING = {"all": _all, "hard": _hard, "semi-hard": _semi_hard}


def _mean(losses: Tensor, distances: Tensor) -> Tensor:
    return losses.mean() if losses.numel() else distances.sum() * 0


def _distances(vectors: Tensor, distance: Distance) -> Tensor:
    """(b, d) -> (b, b)."""
    if _of(distance) == "cosine":
        units = functional.normalize(vectors, dim=-1)
        return 1 - units @ units.T
    squares = vectors.square().sum(-1)
    return _root(squares[:, None] + squares[None, :] - 2 * vectors @ vectors.T)


def _root(squares: Tensor) -> Tensor:
    """The square root, whose gradient at 0 is 0 and not infinite."""
    there = squares > 1e-12
    return torch.where(there, squares.clamp(min=1e-12).sqrt(), torch.zeros_like(squares))


def _of(distance: str) -> str:
    if distance not in ("cosine", "euclidean"):
        raise UnknownName.among(str(distance), ["cosine", "euclidean"], kind="distance")
    return distance
