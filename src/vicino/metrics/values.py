"""What the statistics of this room take: one finite number a query (or pair), checked once and named when wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, EmptyInput, InvalidVectors

__all__ = ["Values", "as_paired_values", "as_value_rows", "as_values"]

Values = NDArray[np.float64]


def as_values(values: ArrayLike) -> Values:
    """`values` as (n,) float64, n at least 1.

    Raises InvalidVectors (not numbers, not one-dimensional, NaN or infinite: the first bad place is named), EmptyInput.

    >>> as_values([1, 0])
    array([1., 0.])
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidVectors(f"these are not values: {error}", mend="give a flat list of numbers") from error
    if array.ndim != 1:
        raise InvalidVectors(f"an array of shape {array.shape} is not (n,) values", mend="give one number a query")
    if len(array) == 0:
        raise EmptyInput("there are no values", mend="judge at least one query")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise InvalidVectors(
            f"{len(bad)} of {len(array)} values are NaN or infinite (first: number {bad[0]})",
            mend="leave out these queries, in both lists where two are compared",
        )
    return array


def as_paired_values(a: ArrayLike, b: ArrayLike) -> tuple[Values, Values]:
    """Two (n,) float64 arrays of one length. Raises DimensionMismatch, and what `as_values` raises.

    >>> as_paired_values([1, 0], [0, 1])
    (array([1., 0.]), array([0., 1.]))
    """
    left, right = as_values(a), as_values(b)
    if len(left) != len(right):
        raise DimensionMismatch(
            f"{len(left)} values cannot be paired with {len(right)}",
            mend="give both for the same queries, in the same order",
        )
    return left, right


def as_value_rows(values: ArrayLike) -> Values:
    """`values` as (m, n) float64, a row for each system, m and n at least 1.

    Raises DimensionMismatch for rows of unequal length, InvalidVectors for what is not (m, n), and what `as_values` raises.

    >>> as_value_rows([[1, 0], [0, 1]])
    array([[1., 0.],
           [0., 1.]])
    """
    if isinstance(values, np.ndarray) and values.ndim != 2:
        raise InvalidVectors(f"an array of shape {values.shape} is not (m, n) values", mend="give a row for each system")
    try:
        rows = [as_values(row) for row in values]  # type: ignore[union-attr]
    except TypeError as error:
        raise InvalidVectors(f"these are not rows of values: {error}", mend="give a list of numbers for each system") from error
    if not rows:
        raise EmptyInput("there are no values", mend="give those of one system at least")
    if len({len(row) for row in rows}) > 1:
        lengths = ", ".join(str(len(row)) for row in rows)
        raise DimensionMismatch(f"rows of {lengths} values", mend="give all for the same queries, in the same order")
    return np.stack(rows)
