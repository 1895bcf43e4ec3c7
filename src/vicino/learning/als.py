"""Alternating least squares over all cells of a sparse matrix of weights.

Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets": factors x of rows and y of columns minimise

    Σ over all cells (1 + alpha · w) (p - x·y)² + λ (Σ |x|² + Σ |y|²),    p = 1 where w > 0, else 0

With the columns held fixed each row is a small linear system, and the other way round. The cells that are 0 are never visited:
together they are YᵀY. Rows do not wait for each other, so that any number of threads finds the same factors to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.learning.bounds import require_members, require_offsets
from vicino.progress import track

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["SOLVERS", "factorise"]

Float32 = NDArray[np.float32]

SOLVERS = ("cg", "cholesky")

_STEPS = 3  # of conjugate gradients: from the factors of the last turn on, more change little
_BLOCK = 2048  # cells and rows together that a thread takes at a time


def factorise(
    matrix: csr_array,
    factors: int,
    *,
    regularization: float = 10.0,
    alpha: float = 10.0,
    iterations: int = 15,
    solver: str = "cg",
    threads: int = 1,
    seed: int = 0,
    label: str = "learning factors",
) -> tuple[Float32, Float32]:
    """Factors of the rows (n, `factors`) and of the columns (m, `factors`) of an (n, m) matrix of positive weights.

    A turn (`iterations` of them) solves all rows, then all columns. `solver` "cholesky" solves each system wholly, in float64, at
    factors² a cell; "cg" goes on from the factors of the last turn by three steps of conjugate gradients, at factors a cell.
    `regularization` is λ. Rows and columns without weights get zeros. Raises EmptyInput for a matrix without weights, UnknownName
    for another solver, InputError for weights and parameters that cannot be.

    >>> from scipy.sparse import csr_array
    >>> rows, columns = factorise(csr_array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), 2, regularization=0.1)
    >>> (rows @ columns.T).round().tolist()
    [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    from threadpoolctl import threadpool_limits

    _require_sound(matrix, factors, regularization, alpha, iterations, threads)
    if solver not in SOLVERS:
        raise UnknownName.among(solver, SOLVERS, kind="solver")
    by_row = matrix.tocsr()
    by_column = by_row.T.tocsr()
    random = np.random.default_rng(seed)
    rows, columns = (random.normal(0, 0.01, (n, factors)).astype(np.float32) for n in by_row.shape)
    for found, each in ((rows, by_row), (columns, by_column)):
        found[np.diff(each.indptr) == 0] = 0
    halves = [_Half(each, alpha, regularization, solver, threads) for each in (by_row, by_column)]
    with np.errstate(over="ignore", invalid="ignore"), threadpool_limits(1):  # threads take blocks; none shares a product
        for _ in track(range(iterations), label, unit="turns"):
            halves[0].solve(columns, rows)
            halves[1].solve(rows, columns)
    if not (np.isfinite(rows).all() and np.isfinite(columns).all()):
        raise InputError("the factors grew past all bounds", mend="give a larger regularization or a smaller alpha")
    return rows, columns


class _Half:
    """One half of a turn: all rows of one matrix against factors that stand still."""

    def __init__(self, matrix: Any, alpha: float, regularization: float, solver: str, threads: int) -> None:
        self.starts, self.columns = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
        self.extra = (np.float32(alpha) * matrix.data).astype(np.float32)
        self.regularization, self.solver, self.threads = regularization, solver, threads
        work = self.starts + np.arange(len(self.starts))  # a row without cells takes its time too
        ends = np.searchsorted(work, np.arange(_BLOCK, work[-1] + _BLOCK, _BLOCK))
        self.bounds = np.unique([0, *ends.clip(max=len(work) - 1).tolist()])

    def solve(self, fixed: Float32, found: Float32) -> None:
        from vicino.learning import als_kernels as kernels

        exact = self.solver == "cholesky"
        wide: NDArray[Any] = fixed.astype(np.float64) if exact else fixed
        gram = wide.T @ wide
        gram[np.diag_indices_from(gram)] += self.regularization
        given = self.starts, self.columns, self.extra, fixed, gram, found

        def some(block: int) -> None:
            first, last = self.bounds[block : block + 2]
            if exact:
                kernels.cholesky(*given, first, last)
            else:
                kernels.conjugate_gradients(*given, first, last, _STEPS)

        _each(some, len(self.bounds) - 1, self.threads)


def _each(work: Callable[[int], None], n: int, threads: int) -> None:
    if threads == 1:
        for number in range(n):
            work(number)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(n)):
            pass


def _require_sound(matrix: csr_array, factors: int, regularization: float, alpha: float, iterations: int, threads: int) -> None:
    """Compiled code believes what it is given."""
    require_offsets(matrix.indptr, len(matrix.indices))
    require_members(matrix.indices, matrix.shape[1], "columns")
    if not matrix.nnz:
        raise EmptyInput("a matrix without weights", mend="give at least one cell that is not 0")
    if not (np.isfinite(matrix.data) & (matrix.data > 0)).all():
        raise InputError("weights that are negative, 0, NaN or infinite", mend="give finite numbers above 0")
    if min(factors, iterations, threads) < 1:
        raise InputError(
            f"factors={factors}, iterations={iterations} and threads={threads} must be at least 1",
            mend="give factors=64, iterations=15, threads=1",
        )
    if not (0 < regularization < np.inf and 0 < alpha < np.inf):
        raise InputError(
            f"regularization={regularization} and alpha={alpha} must be above 0", mend="give regularization=10, alpha=10"
        )
