"""Turning vectors so that their first dimensions rank as all of them do.

A turn changes no product of vectors and no distance: it only decides what is lost where they are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vicino.errors import DimensionMismatch, InputError
from vicino.learning.losses.matryoshka import matryoshka
from vicino.learning.losses.regression import distil_scores
from vicino.vectors import normalise

__all__ = ["turn_to_front"]

_STEPS = 240
_AT_ONCE = 256  # pairs of a step, each of which ranks the others' right sides
_RATE = 3e-3  # of Adam, falling to zero

Float32 = NDArray[np.float32]


def turn_to_front(left: Float32, right: Float32, dims: Sequence[int], *, temperature: float = 0.05, seed: int = 0) -> Float32:
    """The turn (d, d), an orthogonal matrix, after which the first `dims` of `left @ turn` and `right @ turn` rank best.

    Rows of `left` and `right` (n, d) are pairs. It begins with the directions along which pairs agree most, and then learns that
    each of `dims` says the same of all right sides of a batch as all d say: the divergence of the softmaxes of cosines over
    `temperature`. Raises DimensionMismatch for sides of different shapes, and InputError for no pairs and impossible dims.

    >>> ups = np.array([[1, 0, 3], [-1, 0, 3], [1, 0, -3], [-1, 0, -3]], dtype=np.float32)
    >>> abs(turn_to_front(ups, ups, [1])[:, 0]).round(1).tolist()
    [0.0, 0.0, 1.0]
    """
    if left.shape != right.shape:
        raise DimensionMismatch(f"shapes {left.shape} and {right.shape} do not meet", mend="give a row of each for a pair")
    width = left.shape[1]
    if not len(left) or not dims or any(not 0 < dim <= width for dim in dims):
        raise InputError(f"{left.shape} vectors cannot be cut to {list(dims)}", mend=f"give pairs, and dims from 1 to {width}")
    agreeing = normalise(left).T @ normalise(right)
    axes = np.linalg.eigh((agreeing + agreeing.T).astype(np.float64))[1][:, ::-1].astype(np.float32)
    free = torch.from_numpy(axes.copy()).requires_grad_()
    adam = torch.optim.Adam([free], lr=_RATE)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1, 0, _STEPS)
    random = np.random.default_rng(seed)
    sides = [torch.from_numpy(np.ascontiguousarray(normalise(each))) for each in (left, right)]
    for _ in range(_STEPS):
        rows = torch.from_numpy(random.permutation(len(left))[:_AT_ONCE])
        asked, told = (each[rows] for each in sides)
        loss = partial(_divergence, whole=asked @ told.T, temperature=temperature)
        turn = torch.linalg.qr(free)[0]
        adam.zero_grad()
        matryoshka(loss, asked @ turn, told @ turn, dims=dims).backward()  # type: ignore[no-untyped-call]
        adam.step()
        falling.step()
    with torch.no_grad():
        return np.ascontiguousarray(torch.linalg.qr(free)[0].numpy())


def _divergence(asked: Tensor, told: Tensor, *, whole: Tensor, temperature: float) -> Tensor:
    """How far the cosines of cut vectors are from those of the whole."""
    cosines = functional.normalize(asked) @ functional.normalize(told).T
    return distil_scores(cosines / temperature, whole / temperature)
