"""Spectral maps: the few directions that carry most of a matrix.

`truncated_svd` is scikit-learn's randomised solver (Halko, Martinsson and Tropp 2011, "Finding structure with randomness"),
with signs fixed so that the same matrix gives the same map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["truncated_svd"]

_ROUNDING = 1e-6  # of the largest singular value: what float32 cannot tell from nothing


def truncated_svd(
    matrix: csr_array | NDArray[Any], rank: int, *, iterations: int = 4, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The `rank` leading right singular vectors of an (n, m) matrix, as columns (m, r), and its singular values (r,).

    r is min(rank, n, m), or fewer: directions that the matrix does not have, whose singular value is only rounding, are left
    out, since they would be noise in the vector of anything new.

    >>> vectors, values = truncated_svd(np.diag([3.0, 2.0, 1.0]), rank=2)
    >>> values.round(4).tolist(), abs(vectors.round(4)).tolist()
    ([3.0, 2.0], [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    """
    from sklearn.utils.extmath import randomized_svd

    rank = min(rank, *matrix.shape)
    _, values, right = randomized_svd(matrix, rank, n_iter=iterations, random_state=seed, flip_sign=False)
    found = values > _ROUNDING * values.max(initial=0)
    values, right = values[found], right[found]
    peaks = np.abs(right).argmax(axis=1)
    signs = np.sign(right[np.arange(len(right)), peaks])[:, None]
    return np.ascontiguousarray((right * signs).T, dtype=np.float32), values.astype(np.float32)
