"""Vectors laid flat: two dimensions for the eye, and how much of the nearness of the vectors is left there.

Rows are NumPy arrays or SciPy CSR, (n, d); distances are Euclidean (divide rows by their lengths first where cosines count).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.errors import InputError, MissingExtra
from vicino.learning.spectral import truncated_svd
from vicino.vectors import distances, top_k

__all__ = ["PERPLEXITY", "K", "Near", "can_tsne", "directions", "nearest", "neighbours_kept", "pca", "tsne"]

K = 10  # neighbours that count as near
PERPLEXITY = 30.0

_CELLS = 1 << 23  # distances held at a time: 64 MB in float64
_SMALL = 1 << 22  # numbers: sparse rows of fewer become dense
_SQUARE = 1024  # dimensions whose covariance is quickly taken apart
_REDUCED = 50  # dimensions in which neighbours are searched approximately
_ROUNDING = 1e-6  # relative: distances that differ by less are equal
_FEWEST = 5  # points of which t-SNE says more than nothing
_TOLD = 50  # steps of t-SNE between two signs of progress
_STEPS = 250, 500  # of t-SNE: with exaggerated attraction first, then without

Float32 = NDArray[np.float32]
Near = tuple[NDArray[np.int64], Float32]  # the rows of each row's neighbours, nearest first, and how far they are: (n, k) each


def pca(rows: Any, dim: int = 2) -> Float32:
    """The `dim` directions in which rows differ most: (n, d) -> (n, dim) coordinates, their mean at 0 (Pearson 1901).

    Directions that the rows do not have are columns of zeros. The same rows give the same coordinates.

    >>> abs(pca(np.array([[3.0, 0], [-3, 0], [0, 1], [0, -1]]))).tolist()
    [[3.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    from sklearn.decomposition import PCA

    n, d = rows.shape
    flat = np.zeros((n, dim), dtype=np.float32)
    if hasattr(rows, "toarray") and (n * d < _SMALL or min(n, d) <= dim):
        rows = rows.toarray()
    if n > 1 and not _all_equal(rows):
        found = min(dim, n, d)
        flat[:, :found] = PCA(found, random_state=0).fit_transform(rows)
    return flat


def directions(rows: Float32, dim: int = 2) -> tuple[Float32, Float32]:
    """The mean (d,) of dense rows (n, d), and as columns (d, dim) the directions in which they differ most, as `pca` finds them.

    So what was learnt from some rows lays out others too: `(rows - mean) @ directions`. Directions that the rows do not have are
    zeros. scikit-learn, whose import takes a second, is not wanted for up to 1024 dimensions.

    >>> mean, axes = directions(np.array([[3, 1], [-3, 1], [0, 2], [0, 0]], np.float32))
    >>> mean.tolist(), abs(axes).round(6).tolist()
    ([0.0, 1.0], [[1.0, 0.0], [0.0, 1.0]])
    """
    n, d = rows.shape
    mean, axes = rows.mean(axis=0, dtype=np.float64), np.zeros((d, dim), dtype=np.float32)
    if n > 1 and not _all_equal(rows):
        centred = rows - mean
        found = np.linalg.eigh(centred.T @ centred)[1][:, ::-1] if d <= _SQUARE else truncated_svd(centred, dim)[0]
        found = found[:, : min(dim, n - 1)]
        found = found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])  # which the solvers leave open
        axes[:, : found.shape[1]] = found
    return mean.astype(np.float32), axes


def can_tsne() -> bool:
    """Whether openTSNE, the extra `map`, is installed."""
    from importlib.util import find_spec

    return find_spec("openTSNE") is not None


def tsne(rows: Any, *, near: Near | None = None, perplexity: float = PERPLEXITY, seed: int = 0) -> Float32:
    """t-SNE: (n, d) -> (n, 2), in which near rows are near; distances between far ones mean little (van der Maaten, Hinton 2008).

    It begins with the PCA, which keeps the large picture (Kobak and Berens 2019), and goes its own way for 750 steps (openTSNE:
    Poličar, Stražar and Zupan 2024). `near` is what `nearest` found for at least 3 * `perplexity` neighbours; without it they are
    searched approximately. `perplexity` is about how many neighbours count, fewer where there are few rows.

    Raises MissingExtra without openTSNE, InputError for fewer than five rows, and for rows that are all equal.
    """
    n = rows.shape[0]
    start = pca(rows)
    if n < _FEWEST or not start[:, 0].std() > 0:
        raise InputError(f"t-SNE lays out different vectors, at least {_FEWEST}", mend="draw these by PCA")
    if not can_tsne():
        raise MissingExtra.named("map", needed_by="t-SNE maps")
    from openTSNE import TSNE, affinity
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    perplexity = min(perplexity, (n - 1) / 3)
    with progress.task("Laying out by t-SNE", total=sum(_STEPS), unit="steps") as work:
        if near is None:
            data, index = pca(rows, min(_REDUCED, rows.shape[1])), None
        else:
            k = min(near[0].shape[1], int(3 * perplexity))
            data, index = None, PrecomputedNeighbors(near[0][:, :k], near[1][:, :k].astype(np.float64))
        weights = affinity.PerplexityBasedNN(data, perplexity, random_state=seed, knn_index=index)

        def advance(*_: object) -> None:
            work.advance(_TOLD)

        model = TSNE(
            early_exaggeration_iter=_STEPS[0], n_iter=_STEPS[1], random_state=seed, callbacks=advance, callbacks_every_iters=_TOLD
        )
        laid = model.fit(affinities=weights, initialization=start / start[:, 0].std() * 1e-4)
    return np.asarray(laid, dtype=np.float32)


def nearest(rows: Any, k: int) -> Near:
    """The k rows nearest to each row, itself left out, exactly: (n, min(k, n - 1)) rows and distances, ties to the earlier.

    >>> near, far = nearest(np.array([[0.0], [1.0], [5.0]]), k=1)
    >>> near.tolist(), far.tolist()
    ([[1], [0], [1]], [[1.0], [1.0], [4.0]])
    """
    n = rows.shape[0]
    k = min(k, n - 1)
    found, far = np.empty((n, k), dtype=np.int64), np.empty((n, k), dtype=np.float32)
    with progress.task("Finding neighbours", total=n, unit="items") as work:
        for part in _blocks(np.arange(n), n) if k else ():
            found[part], scores = top_k(-_to_all(rows, part), k)
            far[part] = -scores
            work.advance(len(part))
    return found, far


def neighbours_kept(rows: Any, flat: Float32, k: int = K, *, sample: int = 1000, seed: int = 0) -> float | None:
    """How many of the k points nearest in the plane are among the k nearest vectors: a share, 0 to 1, the mean over points.

    (n, d) rows and their (n, 2) coordinates. Counted exactly, against all, for `sample` points by chance; a vector as far as
    the k-th nearest counts as near. By chance it would be k / (n - 1). k is at most n - 2; None for fewer than three points.

    >>> neighbours_kept(np.eye(4), np.zeros((4, 2), np.float32)), neighbours_kept(np.eye(2), np.eye(2, dtype=np.float32))
    (1.0, None)
    """
    n = rows.shape[0]
    k = min(k, n - 2)
    if k < 1:
        return None
    asked = np.sort(np.random.default_rng(seed).permutation(n)[:sample])
    kept = 0
    for part in _blocks(asked, n):
        far = _to_all(rows, part)
        border = np.partition(far, k - 1, axis=1)[:, k - 1, None]
        shown = top_k(-_to_all(flat, part), k)[0]
        kept += int((np.take_along_axis(far, shown, axis=1) <= border * (1 + _ROUNDING) + _ROUNDING).sum())
    return kept / (k * len(asked))


def _all_equal(rows: Any) -> bool:
    if hasattr(rows, "toarray"):
        return bool((abs(rows - rows[[0] * rows.shape[0]]).max()) == 0)
    return bool((rows == rows[0]).all())


def _blocks(asked: NDArray[np.int64], n: int) -> Iterator[NDArray[np.int64]]:
    step = max(1, _CELLS // max(1, n))
    return (asked[begin : begin + step] for begin in range(0, len(asked), step))


def _to_all(rows: Any, part: NDArray[np.int64]) -> Float32:
    """From some rows to all, (m, n); a row is infinitely far from itself."""
    far = distances(rows[part], rows)
    far[np.arange(len(part)), part] = np.inf
    return far
