"""What all stores ask of rows and of their metadata, and how these stand as columns.

A metadata column is named for its kind too (`integer_year`), so that no name clashes with ours, and integers make room for
other numbers by a second column (`number_year`) that takes the place of the first in one commit.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vicino.data.filters import Kind
from vicino.errors import DuplicateIds, InputError, InputTooLarge
from vicino.spaces import Space, fingerprint
from vicino.store.base import COLUMNS, Row

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "check_keys",
    "check_rows",
    "kind_of",
    "misfit",
    "missing",
    "new_columns",
    "physical",
    "plain_table",
    "schema_of",
    "types_of",
    "vector_column",
]

LONGEST: Final = 1 << 28  # characters of one passage
MOST_COLUMNS: Final = 1_000  # of metadata


# The columns ----------------------------------------------------------------------------------------------------------


def types_of() -> dict[Kind, pa.DataType]:
    """The Arrow type of each kind of column."""
    import pyarrow as pa

    return {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
        "texts": pa.list_(pa.string()),
    }


def schema_of(metadata: Mapping[str, Kind], spaces: Sequence[Space]) -> pa.Schema:
    """The table's columns, in order: those of every row, the metadata's, the vectors'."""
    import pyarrow as pa

    types = types_of()
    long = {"text", "metadata"}  # with 64-bit offsets: two of these may pass 2 GB together
    fields = [(name, pa.large_string() if name in long else types[kind]) for name, kind in COLUMNS.items()]
    fields += [("metadata", pa.large_string())]
    fields += [(physical(name, kind), types[kind]) for name, kind in metadata.items()]
    fields += [(vector_column(space), pa.list_(pa.float32(), space.dim)) for space in spaces]
    return pa.schema(fields)


def physical(name: str, kind: Kind) -> str:
    """The name under which a column of a filter stands in the table.

    >>> physical("year", "integer"), physical("title", "text")
    ('integer_year', 'title')
    """
    return name if name in COLUMNS else f"{kind}_{name}"


def vector_column(space: Space) -> str:
    """The column of a space's vectors.

    >>> vector_column(Space("0a1b", 2))
    'vector_0a1b'
    """
    return f"vector_{space.id if re.fullmatch('[0-9A-Za-z_]+', space.id) else fingerprint(space.id)}"


# Metadata -------------------------------------------------------------------------------------------------------------


def kind_of(value: Any) -> Kind | None:
    """The kind of column that a metadata value gets; None where it gets none.

    >>> [kind_of(value) for value in ("en", 2020, 0.5, True, ["a"], {"a": 1}, None)]
    ['text', 'integer', 'number', 'flag', 'texts', None, None]
    """
    if isinstance(value, list | tuple):
        return "texts" if value and all(isinstance(item, str) for item in value) else None
    kinds: tuple[tuple[type, Kind], ...] = ((str, "text"), (bool, "flag"), (int, "integer"), (float, "number"))
    return next((kind for type_, kind in kinds if isinstance(value, type_)), None)


def new_columns(metadata: Mapping[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """The columns that metadata that fits wants to have and that are not there yet."""
    found: dict[str, Kind] = {}
    for name, value in metadata.items():
        kind = kind_of(value)
        known = kinds.get(name)
        if kind and _can_be_named(name) and (known is None or (known, kind) == ("integer", "number")):
            found[name] = kind
    return found


def misfit(metadata: Mapping[str, Any], kinds: Mapping[str, Kind]) -> str:
    """Why a row with this metadata cannot stand in a table with these columns; empty where it can."""
    if len(kinds) <= MOST_COLUMNS and all(_surely_fits(value, kinds.get(name)) for name, value in metadata.items()):
        return ""
    if not all(isinstance(name, str) for name in metadata):
        return "a name in the metadata is not text"
    try:
        if not all(_is_plain(name, value) for name, value in metadata.items()):
            json.dumps(dict(metadata), allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "the metadata holds half a character (a lone surrogate)"
    except RecursionError:
        return "the metadata is nested too deeply"
    except (TypeError, ValueError) as error:  # a date, a set; NaN
        return f"the metadata cannot be written as JSON: {error}"
    if len(kinds) + len(metadata) > MOST_COLUMNS and len(kinds) + len(new_columns(metadata, kinds)) > MOST_COLUMNS:
        return f"the metadata has more than {MOST_COLUMNS:,} names over all rows: put what no filter needs under one name"
    reasons = (_value_misfit(name, value, kinds.get(name)) for name, value in metadata.items() if _can_be_named(name))
    return next(filter(None, reasons), "")


def _surely_fits(value: Any, known: Kind | None) -> bool:
    """Whether it is seen at once that a value fits the column that its name has: nearly all do."""
    if type(value) is str:
        return known == "text" and _is_unicode(value)
    if type(value) is int:
        return known == "integer" and -(2**63) <= value < 2**63
    return type(value) is bool and known == "flag"


def _is_plain(name: str, value: Any) -> bool:
    """Whether it is seen at once that JSON can say this: most metadata is so, and there is much of it."""
    text = value if type(value) is str else ""
    return name.isascii() and text.isascii() and (value is None or type(value) in (str, int, bool))


def _value_misfit(name: str, value: Any, known: Kind | None) -> str:
    kind = kind_of(value)
    if value is None or (value in ([], ()) and known == "texts"):
        return ""
    if kind == "integer" and not -(2**63) <= value < 2**63:
        return f"{name!r} is beyond 64 bits: write it as text"
    if known is None or kind == known or {kind, known} == {"integer", "number"}:
        return ""
    return f"{name!r} is {kind or type(value).__name__} here and {known} in other rows"


def _can_be_named(name: str) -> bool:
    return name.isidentifier() and name not in COLUMNS


def missing(rows: Sequence[Row], kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """The metadata columns that these rows need and a table with `kinds` lacks. Raises InputError that names the row."""
    if _are_known(rows, kinds):
        return {}
    grown = dict(kinds)
    for place, row in enumerate(rows):
        reason = misfit(row.metadata, grown)
        if reason:
            raise InputError(
                f"row {place} (of {row.document!r}) cannot be stored: {reason}", mend="mend the metadata of this document"
            )
        if not row.metadata.keys() <= grown.keys() or "integer" in grown.values():  # which may become a number
            grown |= new_columns(row.metadata, grown)
    return {name: kind for name, kind in grown.items() if kinds.get(name) != kind}


def _are_known(rows: Sequence[Row], kinds: Mapping[str, Kind]) -> bool:
    """Whether it is seen at once, column by column, that all metadata fits and needs no new column: nearly all does."""
    every = [row.metadata for row in rows]
    names: set[str] = set().union(*every)
    if len(kinds) > MOST_COLUMNS or not names <= kinds.keys():
        return False
    return all(_is_of([metadata.get(name) for metadata in every], kinds[name]) for name in names)


def _is_of(values: Sequence[Any], kind: Kind) -> bool:
    """Whether a column of this kind surely holds these values."""
    there: list[Any] = [value for value in values if value is not None]
    if kind == "texts" and set(map(type, there)) <= {list}:
        there, kind = list(itertools.chain.from_iterable(there)), "text"
    types = set(map(type, there))
    if kind == "text":
        return types <= {str} and _is_unicode("".join(there))
    if kind == "integer":
        return types <= {int} and all(-(2**63) <= value < 2**63 for value in there)
    if kind == "number":
        return types <= {float} and all(map(math.isfinite, there))
    return kind == "flag" and types <= {bool}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


# Rows -----------------------------------------------------------------------------------------------------------------


def check_rows(rows: Sequence[Row], tenant: str) -> None:
    """Raise InputError for a row of another tenant, DuplicateIds for a key that repeats."""
    for place, row in enumerate(rows):
        if row.tenant != tenant:
            raise InputError(
                f"row {place} is of the tenant {row.tenant!r}, not {tenant!r}", mend="write the rows of each tenant by themselves"
            )
    check_keys([row.key for row in rows])


def check_keys(keys: Sequence[str]) -> None:
    """Raise DuplicateIds where one repeats."""
    twice = len(keys) - len(set(keys))
    if twice:
        raise DuplicateIds(f"{twice} of {len(keys)} keys repeat", mend="give each row a key of its own")


def plain_table(rows: Sequence[Row]) -> pa.Table:
    """What every row has, as columns; metadata apart. Raises InputError (text that is none), InputTooLarge."""
    import pyarrow as pa

    if max(len(row.text) for row in rows) > LONGEST:
        raise InputTooLarge(f"a passage of more than {LONGEST:,} characters", mend="cut the document into passages")
    schema = schema_of({}, ())
    try:
        arrays = [pa.array([getattr(row, name) for row in rows], schema.field(name).type) for name in COLUMNS]
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        raise InputError(
            f"a row cannot be stored: {error}", mend="give text that is text (no lone surrogates) and 64-bit numbers"
        ) from error
    return pa.table(arrays, names=list(COLUMNS))
