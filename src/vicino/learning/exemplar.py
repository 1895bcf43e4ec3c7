"""One against all: a linear classifier of a few positives against a whole collection, fitted when somebody asks.

Malisiewicz, Gupta and Efros 2011, "Ensemble of exemplar-SVMs for object detection and beyond": a linear SVM for each example,
everything else being negative. Hariharan, Malik and Ramanan 2012, "Discriminative decorrelation for clustering and
classification": for a squared loss it has a closed form, the positive minus the mean, decorrelated by the covariance of
everything, which is counted once.

The SVM is that of LIBLINEAR (Fan et al. 2008) and of scikit-learn's `LinearSVC`, with the intercept among the weights::

    ½ |w|² + ½ b² + Σ cᵢ max(0, 1 - yᵢ (w·xᵢ + b))²

Its minimum is found by Newton's method over the active set, the rows inside their margin (Keerthi and DeCoste 2005, "A modified
finite Newton method for fast solution of large scale linear SVMs"): the Hessian I + 2 Σ cᵢ xᵢ xᵢᵀ over them is never made, but
multiplied with, in conjugate gradients preconditioned by the second moments of everything; a step goes to the exact minimum on
its line. A problem over a sample gives the beginning.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, EmptyInput, InputError
from vicino.learning.isotropy import Affine
from vicino.vectors import as_vectors

__all__ = ["SVM", "Moments", "lda", "svm"]

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int = NDArray[np.int64]

_SAMPLE = 4096  # rows of the problem that gives the beginning; from eight times as many on it is worth it
_STEPS = 60
_NOTHING = 1e-6  # of the pull of the positives: weights that are less are none, as where both sides are the same
_LEAST = 1e-6  # of shrinkage: fewer vectors than dimensions leave a covariance singular
_PROMISED = 1e-3  # the residual that is promised; the solver goes on to `tol`

log = logging.getLogger(__name__)


class Moments(NamedTuple):
    """What is counted of (n, d) vectors once: `n`, their `mean` (d,) and `second` moment, the mean of x xᵀ (d, d)."""

    n: int
    mean: Float
    second: Float

    @classmethod
    def of(cls, vectors: ArrayLike, *, block: int = 1 << 14) -> Moments:
        """Counted in float64 from float32 products of blocks. Raises EmptyInput, InvalidVectors.

        >>> Moments.of([[1.0, 0.0], [3.0, 0.0]]).mean.tolist()
        [2.0, 0.0]
        """
        rows = as_vectors(vectors)
        if not len(rows):
            raise EmptyInput("there are no vectors to count", mend="give at least one")
        total, second = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
        for begin in range(0, len(rows), block):
            part = rows[begin : begin + block]
            total += part.sum(axis=0, dtype=np.float64)
            second += part.T @ part
        return cls(len(rows), total / len(rows), second / len(rows))

    def covariance(self, shrinkage: float) -> Float:
        """The covariance (d, d), a share of it replaced by its mean variance on the diagonal. Raises InputError.

        Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices".
        """
        if not 0 <= shrinkage <= 1:
            raise InputError(f"shrinkage is {shrinkage}", mend="give a number from 0 to 1, such as 0.1")
        spread = self.second - np.outer(self.mean, self.mean)
        variance = float(np.trace(spread)) / len(spread) or 1.0
        ridge: Float = max(shrinkage, _LEAST) * variance * np.eye(len(spread))
        return (1 - shrinkage) * spread + ridge


def lda(moments: Moments, *, shrinkage: float = 0.1) -> Affine:
    """The map from positives (p, d) to the weights (p, d) of each by itself, Σ⁻¹ (x - mean): Fisher's discriminant.

    Raises InputError for a `shrinkage` that cannot be.

    >>> weigh = lda(Moments.of([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.1], [0.0, -0.1]]), shrinkage=0.0)
    >>> weigh([[1.0, 1.0]]).round().tolist()
    [[2.0, 200.0]]
    """
    turn = np.linalg.inv(moments.covariance(shrinkage))
    return Affine(moments.mean.astype(np.float32), ((turn + turn.T) / 2).astype(np.float32))


@dataclass(frozen=True, eq=False)
class SVM:
    """A fitted machine: a row scores `weights` (d,) · x + `intercept`.

    `active` are the negatives' rows inside the margin, `duals` (active,) how much each pulls: weights = Σ positives' duals · x -
    Σ duals · x. `pulls` (p,) are the positives' duals. `residual` is |gradient| / |weights|, how far from the optimum it is.
    """

    weights: Float
    intercept: float
    active: Int
    duals: Float
    pulls: Float
    residual: float
    steps: int


def svm(
    vectors: Float32,
    positives: ArrayLike,
    *,
    C: float = 0.1,
    balanced: bool = True,
    without: Int | None = None,
    moments: Moments | None = None,
    tol: float = 1e-4,
) -> SVM:
    """Fit `positives` (p, d) against `vectors` (n, d), the rows `without` left out; LinearSVC's squared hinge, L2.

    `balanced` weighs both sides alike (scikit-learn's class_weight: C · all / (2 · of the class)), else every row weighs C.
    `moments` of the vectors, where they are known, are not counted again. Raises InputError, EmptyInput, DimensionMismatch,
    InvalidVectors.

    >>> found = svm(np.array([[1.0, 0.0], [0.9, 0.1]], np.float32), [[0.0, 1.0]], C=1.0)
    >>> bool(found.weights[1] > found.weights[0]), found.residual < 1e-3
    (True, True)
    """
    if not (C > 0 and np.isfinite(C)):
        raise InputError(f"C is {C!r}", mend="give a number above 0, such as 0.1")
    held = np.ascontiguousarray(as_vectors(vectors))
    asked = _of_width(positives, held.shape[1]).astype(np.float64)
    rows = np.arange(len(held))
    if without is not None and len(without):
        rows = np.setdiff1d(rows, without)
    if not len(asked) or not len(rows):
        raise EmptyInput("an SVM wants something on either side", mend="give at least one positive, and other rows than those")
    n, p = len(rows), len(asked)
    costs = (C * (n + p) / (2 * p), C * (n + p) / (2 * n)) if balanced else (C, C)
    problem = _Problem(held, rows, asked, *costs, moments or Moments.of(held))
    begin = np.zeros(held.shape[1] + 1)
    if n >= 8 * _SAMPLE:
        some = np.sort(np.random.default_rng(0).choice(rows, _SAMPLE, replace=False))
        small = _Problem(held[some], np.arange(_SAMPLE), asked, costs[0], costs[1] * n / _SAMPLE, problem.moments)
        begin = small.solve(begin, 1e-2).z
    return problem.solve(begin, tol).machine()


class _State(NamedTuple):
    """Where the solver is: `z` (d + 1,) weights and intercept, the `margins` of the negatives (n,) and positives (p,)."""

    problem: _Problem
    z: Float
    margins: Float
    theirs: Float
    residual: float
    steps: int

    def machine(self) -> SVM:
        problem = self.problem
        inside = self.margins > -1
        duals = 2 * problem.less * (1 + self.margins[inside])
        pulls = 2 * problem.more * np.maximum(0, 1 - self.theirs)
        return SVM(self.z[:-1], float(self.z[-1]), problem.rows[inside], duals, pulls, self.residual, self.steps)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Negatives `vectors[rows]` of cost `less` each, `positives` of cost `more` each."""

    vectors: Float32
    rows: Int
    positives: Float
    more: float
    less: float
    moments: Moments

    def solve(self, z: Float, tol: float) -> _State:
        margins, theirs = self._margins(z)
        moved = False  # since margins were made of z itself: each step adds to them, which costs one product instead of two
        for step in range(_STEPS + 1):
            gradient, inside, pull = self._gradient(z, margins, theirs)
            residual = float(np.linalg.norm(gradient)) / max(float(np.linalg.norm(z)), _NOTHING * pull)
            if residual <= tol and moved:
                margins, theirs = self._margins(z)
                moved = False
                continue
            if residual <= tol or step == _STEPS:
                break
            direction = self._direction(gradient, self.rows[inside], theirs < 1, enough=min(0.1, residual))
            along, along_theirs = self._margins(direction)
            far = self._line(z, direction, margins, along, theirs, along_theirs)
            z, margins, theirs = z + far * direction, margins + far * along, theirs + far * along_theirs
            moved = True
        if residual > max(tol, _PROMISED):
            log.warning("an SVM ended %.1e from its optimum: its C may be too large for float32", residual)
        return _State(self, z, margins, theirs, residual, step)

    def _margins(self, z: Float) -> tuple[Float, Float]:
        """w·x + b of the negatives and the positives. The positives', whose cost may be large, in float64."""
        whole = self.vectors @ z[:-1].astype(np.float32)
        there = whole if len(self.rows) == len(whole) else whole[self.rows]
        return there.astype(np.float64) + z[-1], self.positives @ z[:-1] + z[-1]

    def _gradient(self, z: Float, margins: Float, theirs: Float) -> tuple[Float, NDArray[np.bool_], float]:
        """The gradient (d + 1,), which negatives are inside the margin, and how hard the positives pull."""
        from vicino.learning.exemplar_kernels import gather

        inside = margins > -1
        pushes = 2 * self.less * (1 + margins[inside])
        pulls = 2 * self.more * np.maximum(0, 1 - theirs)
        found = z.copy()
        sums = np.empty(len(z) - 1)
        gather(self.vectors, self.rows[inside], pushes, sums)
        found[:-1] += sums - pulls @ self.positives
        found[-1] += pushes.sum() - pulls.sum()
        return found, inside, float(pulls.sum())

    def _direction(self, gradient: Float, rows: Int, short: NDArray[np.bool_], enough: float) -> Float:
        """Newton's, H d = -gradient, by conjugate gradients until `enough` of the residual is left."""
        from scipy.linalg import cho_factor, cho_solve

        from vicino.learning.exemplar_kernels import curve

        dim = len(gradient) - 1
        near = np.hstack([self.positives[short], np.ones((int(short.sum()), 1))])
        guess = np.eye(dim + 1) + 2 * self.more * near.T @ near
        about = 2 * self.less * len(rows)
        guess[:-1, :-1] += about * self.moments.second
        guess[:-1, -1] += about * self.moments.mean
        guess[-1, :-1] += about * self.moments.mean
        guess[-1, -1] += about
        factor = cho_factor(guess)
        sums = np.empty(dim)

        def times(v: Float) -> Float:
            total = curve(self.vectors, rows, v[:-1].astype(np.float32), float(v[-1]), sums)
            return v + 2 * self.less * np.append(sums, total) + 2 * self.more * (near.T @ (near @ v))

        found, left = np.zeros(dim + 1), -gradient
        turned = cho_solve(factor, left)
        way, size = turned, float(left @ turned)
        border = enough * float(np.linalg.norm(gradient))
        for _ in range(dim):
            bent = times(way)
            share = size / float(way @ bent)
            found = found + share * way
            left = left - share * bent
            if np.linalg.norm(left) <= border:
                break
            turned = cho_solve(factor, left)
            size, before = float(left @ turned), size
            way = turned + size / before * way
        return found

    def _line(self, z: Float, d: Float, margins: Float, along: Float, theirs: Float, along_theirs: Float) -> float:
        """How far along `d` the objective is least: its slope is piecewise linear and rising, so Newton's steps on it end."""
        far, low, high = 1.0, 0.0, np.inf
        for _ in range(50):
            here, there = margins + far * along, theirs + far * along_theirs
            inside, short = here > -1, there < 1
            slope = float(
                z @ d
                + far * (d @ d)
                + 2 * self.less * ((1 + here[inside]) @ along[inside])
                - 2 * self.more * ((1 - there[short]) @ along_theirs[short])
            )
            bend = float(
                d @ d
                + 2 * self.less * (along[inside] @ along[inside])
                + 2 * self.more * (along_theirs[short] @ along_theirs[short])
            )
            low, high = (far, high) if slope < 0 else (low, far)
            step = slope / bend
            if abs(step) <= 1e-9 * far:
                break
            far -= step
            if not low < far < high:
                far = (low + high) / 2 if high < np.inf else 2 * low
        return far


def _of_width(vectors: ArrayLike, dim: int) -> Float32:
    rows = as_vectors(vectors)
    if rows.shape[1] != dim:
        raise DimensionMismatch(f"vectors of {rows.shape[1]} dimensions, against {dim}", mend="encode both with one model")
    return rows
