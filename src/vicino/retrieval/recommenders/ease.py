"""EASE: each item told by all others, by one linear map in closed form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.interactions import Interactions
from vicino.errors import InputError, InputTooLarge
from vicino.progress import task
from vicino.retrieval.recommenders.base import Float32, Recommender, Rows, weighted

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["EASE", "LARGEST"]

LARGEST = 50_000  # rows of the matrix that is inverted

_CELLS = 1 << 22  # of a block of a dense product

Matrix = NDArray[np.float64]


class EASE(Recommender):
    """Scores X B, where B has no diagonal and makes X B as like X as a penalty of `regularization` lets it.

    With P the inverse of XᵀX + λI, B is I - P diag(P)⁻¹ (Steck 2019, "Embarrassingly shallow autoencoders for sparse data").
    Where there are fewer users than items, P is never made: with K the inverse of XXᵀ + λI it is (I - XᵀKX) / λ, so that only
    the smaller of the two matrices is inverted. Beyond 50,000 users and items both, or where that takes more memory than there
    is, `fit` raises InputTooLarge.

    >>> seen = Interactions.of(["ann", "ann", "bob", "bob", "eve"], ["tea", "figs", "tea", "figs", "tea"])
    >>> EASE(regularization=1.0).fit(seen).recommend("eve", 1).ids.tolist()
    [['figs']]
    """

    family = "ease"
    grid = (
        *({"regularization": value} for value in (20.0, 50.0, 100.0, 200.0, 500.0)),
        *({"regularization": value, "weighting": "log"} for value in (500.0, 1000.0, 2000.0, 5000.0)),
    )

    def __init__(self, *, regularization: float = 200.0, weighting: str = "binary") -> None:
        self.regularization = regularization
        self.weighting = weighting

    def _fit(self, interactions: Interactions) -> None:  # noqa: ARG002 - the history says it all
        if not 0 < self.regularization < np.inf:
            raise InputError(f"regularization={self.regularization} cannot be", mend="give a number above 0, such as 200")
        smaller = min(self.history_.shape)
        if smaller > LARGEST or 12 * smaller**2 > _memory():
            raise InputTooLarge(
                f"EASE inverts a matrix of {smaller:,} rows, which takes {12e-9 * smaller**2:,.1f} GB; {LARGEST:,} rows are its "
                f"limit, and {_memory() / 1e9:,.1f} GB this machine's",
                mend="choose als, item-knn or two-tower, or leave out items that few users met",
            )
        met = weighted(self.history_, self.weighting)
        with task("inverting", total=1, unit="matrices") as work:
            if self.history_.shape[0] < self.history_.shape[1]:
                kernel = _inverse(met, self.regularization)
                told = _quadratic(kernel, met)
                self.inverse_: Float32 = kernel.astype(np.float32)
                self.diagonal_: Float32 = ((1 - told) / self.regularization).astype(np.float32)
            else:
                inverse = _inverse(met.T.tocsr(), self.regularization)
                self.inverse_, self.diagonal_ = inverse.astype(np.float32), np.diag(inverse).astype(np.float32)
            work.advance()

    def _scores(self, rows: Rows) -> Float32:
        met = weighted(self.history_, self.weighting)
        own = met[rows]
        mapped = own @ self.inverse_ if len(self.inverse_) == len(self.items_) else self.inverse_[rows] @ met  # X P = K X
        return np.asarray(own.toarray() - mapped / self.diagonal_, np.float32)

    def _similar(self, row: int) -> Float32:
        """Row `row` of B: what having met it tells of each other item."""
        if len(self.inverse_) == len(self.items_):
            inverse = self.inverse_[row]
        else:
            met = weighted(self.history_, self.weighting)
            inverse = -((met[:, [row]].toarray().T @ self.inverse_) @ met)[0] / np.float32(self.regularization)
        return np.asarray(-inverse / self.diagonal_, np.float32)

    def _arrays(self) -> dict[str, Any]:
        return {"inverse": self.inverse_, "diagonal": self.diagonal_}

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        self.inverse_, self.diagonal_ = arrays["inverse"], arrays["diagonal"]


def _memory() -> float:
    """The bytes of memory that this machine has; plenty where it does not say."""
    names = getattr(os, "sysconf_names", {})
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if "SC_PHYS_PAGES" in names else float("inf")


def _quadratic(kernel: Matrix, met: csr_array) -> NDArray[np.float64]:
    """xᵀKx of each column x, some rows of K at a time."""
    told = np.zeros(met.shape[1])
    block = max(1, _CELLS // met.shape[1])
    for start in range(0, len(kernel), block):
        some = slice(start, start + block)
        told += np.asarray(met[some].multiply(kernel[some] @ met).sum(axis=0)).ravel()
    return told


def _inverse(left: csr_array, regularization: float) -> Matrix:
    """(L Lᵀ + λI)⁻¹ of a sparse matrix L, by Cholesky; there is one dense matrix only, and all is done in its place."""
    from scipy.linalg import lapack

    n = left.shape[0]
    dense: Matrix = np.empty((n, n), order="F")
    right = left.T.tocsr()
    step = max(1, _CELLS // n)
    for start in range(0, n, step):
        dense[start : start + step] = (left[start : start + step] @ right).toarray()
    dense[np.diag_indices(n)] += regularization
    dense, failed = lapack.dpotrf(dense, lower=1, clean=0, overwrite_a=1)
    if not failed:
        dense, failed = lapack.dpotri(dense, lower=1, overwrite_c=1)
    if failed:
        raise InputError("the matrix cannot be inverted", mend="give a larger regularization, or weighting=binary")
    for start in range(0, n, step):  # only the lower half is written
        end = start + step
        dense[start:end, start:end] = np.tril(dense[start:end, start:end]) + np.tril(dense[start:end, start:end], -1).T
        dense[start:end, end:] = dense[end:, start:end].T
    return dense
