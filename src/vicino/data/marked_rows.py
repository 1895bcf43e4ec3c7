"""Rows of which some are marked as anomalies: a table with a column of marks, or ADBench's `.npz` of X and y.

A table whose other columns are numbers gives numbers; one that has a column of text gives texts.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.files import MAX_CHARACTERS, well_formed
from vicino.data.formats import kind_of
from vicino.data.rows import TABLES, Columns, recognise
from vicino.errors import EmptyInput, InputError, InvalidVectors, UnknownName, UnreadableSource

__all__ = ["MarkedRows", "read_marked_rows"]

_MARK = ("anomaly", "is_anomaly", "outlier", "is_outlier", "label", "y", "class", "target")
_YES, _NO = {"1", "1.0", "true", "yes", "anomaly", "outlier", "o"}, {"0", "0.0", "false", "no", "normal", "inlier", "n"}


@dataclass(frozen=True, eq=False)
class MarkedRows:
    """n rows, of numbers (n, d) or of texts, and (n,) of whether each is marked."""

    marked: NDArray[np.bool_]
    numbers: NDArray[np.float64] | None = None
    texts: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.marked)


def read_marked_rows(path: str | Path, *, columns: Mapping[str, str] | None = None) -> MarkedRows:
    """The rows of one file: .npz with X and y, or a table (.jsonl, .csv, .tsv, .parquet).

    `columns` names the column of marks, label (1, true, yes, anomaly or outlier; 0, false, no, normal or inlier), and the one of
    text, where rows are texts. Rows with numbers that are missing or not finite are left out, and columns that hold no numbers,
    as the notes say. Raises UnreadableSource, UnknownName for a column that is not there, EmptyInput, InputError for marks that
    are neither.
    """
    source, asked = Path(path), dict(columns or {})
    for part in asked:
        if part not in ("label", "text"):
            raise UnknownName.among(part, ["label", "text"], kind="column of marked rows")
    if source.suffix == ".npz":
        return _of_arrays(source)
    kind = kind_of(source.name)
    if kind not in TABLES or not source.is_file():
        mend = f"give one file of .npz (X and y), {', '.join(TABLES)}"
        raise UnreadableSource(f"{source} is no table of rows" if source.exists() else f"there is no {source}", mend=mend)

    def refuse(line: int | None, reason: str) -> None:
        raise UnreadableSource(f"{source}, line {line}: {reason}", mend="mend the line")

    cells: dict[str, list[Any]] = {}
    for _, row in TABLES[kind](source, MAX_CHARACTERS, refuse):
        cells = cells or {name: [] for name in row}
        for name, each in cells.items():
            each.append(row.get(name))
    if not cells:
        raise EmptyInput(f"{source} holds no rows", mend="give some hundred")
    label = asked.get("label") or next((name for known in _MARK for name in cells if name.lower() == known), None)
    if label is None or label not in cells:
        raise UnknownName.among(label or "anomaly", cells, kind="column of marks")
    marked = np.array([_mark(cell, source) for cell in cells.pop(label)], dtype=np.bool_)
    text = _text(asked.get("text"), cells)
    if text is None:
        return _of_numbers(cells, marked, label, source)
    texts = [well_formed(str(cell or "")) for cell in cells[text]]
    return MarkedRows(marked, texts=texts, notes=(f"text from {text}; marks from {label}",))


def _of_arrays(path: Path) -> MarkedRows:
    try:
        with np.load(path, allow_pickle=False) as held:
            if not {"X", "y"} <= set(held.files):
                raise UnreadableSource(f"{path} holds {', '.join(held.files)}, not X and y", mend="save it with X=rows, y=marks")
            numbers, marks = held["X"].astype(np.float64), held["y"]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise UnreadableSource(f"{path} cannot be read: {error}", mend="write it again with numpy.savez") from error
    if numbers.ndim != 2 or marks.shape != (len(numbers),) or not len(numbers):
        raise InvalidVectors(f"{path}: X of shape {numbers.shape} and y of {marks.shape}", mend="give (n, d) rows and (n,) marks")
    if not np.isin(marks, (0, 1)).all():
        raise InputError(f"{path}: y holds other marks than 0 and 1", mend="mark anomalies 1, all others 0")
    return _finite(MarkedRows(marks.astype(np.bool_), numbers))


def _mark(cell: Any, source: Path) -> bool:
    word = str(cell).strip().lower()
    if word not in _YES | _NO:
        raise InputError(
            f"{source}: {cell!r} is no mark", mend="mark anomalies 1, all others 0; or name the column: --columns label=COLUMN"
        )
    return word in _YES


def _text(asked: str | None, cells: Mapping[str, list[Any]]) -> str | None:
    """The column of text; where none is asked for, one that is known by its name and holds other things than numbers."""
    if asked is not None:
        if asked not in cells:
            raise UnknownName.among(asked, cells, kind="column")
        return asked
    try:
        found = recognise(Columns(), tuple(cells)).text
    except UnreadableSource:
        return None
    return found if found and any(cell and _number(cell) is None for cell in cells[found][:100]) else None


def _of_numbers(cells: Mapping[str, list[Any]], marked: NDArray[np.bool_], label: str, source: Path) -> MarkedRows:
    numbers = {name: [_number(cell) for cell in each] for name, each in cells.items()}
    held = {name: each for name, each in numbers.items() if sum(cell is not None for cell in each) * 2 > len(each)}
    if not held:
        raise InputError(f"{source} holds neither numbers nor a column of text", mend="name the text: --columns text=COLUMN")
    columns = [[np.nan if cell is None else cell for cell in each] for each in held.values()]
    left = [name for name in cells if name not in held]
    notes = (f"{len(held)} columns of numbers; marks from {label}", *((f"columns left out: {', '.join(left)}",) if left else ()))
    return _finite(MarkedRows(marked, np.array(columns, dtype=np.float64).T, notes=notes))


def _finite(rows: MarkedRows) -> MarkedRows:
    if rows.numbers is None:
        return rows
    whole = np.isfinite(rows.numbers).all(axis=1)
    if not whole.any():
        raise EmptyInput("no row is whole: each lacks a number", mend="fill in what is missing")
    notes = rows.notes if whole.all() else (*rows.notes, f"left out {np.count_nonzero(~whole):,} rows that lack a number")
    return MarkedRows(rows.marked[whole], rows.numbers[whole], notes=notes)


def _number(cell: Any) -> float | None:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
