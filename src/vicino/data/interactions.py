"""Who did what: interactions of users with items, their weights and times, and what is known of both.

One table is enough: a user and an item a row, and a weight (rating, count) and a time where there are any. A folder may hold more
tables: of items, of users, and of users who know each other; which is which is told by the names of their columns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.data.files import COMPRESSED
from vicino.data.interaction_tables import ENDINGS, Table, plain_name
from vicino.data.text import UNKNOWN, Vocabulary
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName, UnreadableSource
from vicino.progress import task

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Interactions", "read_interactions", "row_of"]

Features = Mapping[str, tuple[str, ...]]
Rows = NDArray[np.int64]

# As `plain_name` spells them; what says most comes first.
_USER = str.split(
    "user userid username customer customerid member memberid reviewer reviewerid visitor visitorid session sessionid"
)
_ITEM = str.split(
    "item itemid movie movieid artist artistid product productid asin book bookid isbn track trackid song songid article "
    "articleid business businessid sku news newsid"
)
_WEIGHT = str.split("weight rating count plays playcount stars score listens quantity overall strength value")
_TIME = str.split("timestamp time datetime date unixreviewtime createdat")
_FRIEND = str.split("friend friendid followee followeeid trustee trusteeid user2 user2id otheruser otheruserid")
_NAME = str.split("name title itemname artistname movietitle productname headline")
_PEOPLE = ("user", "customer", "member", "visitor")  # how the file of a table of users begins

_PARTS = {"user": _USER, "item": _ITEM, "weight": _WEIGHT, "time": _TIME}
_WORD = re.compile(r"\w+")
_NEAR = 1000  # names that are compared with an unknown one


@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """n interactions: user `users[user[i]]` met item `items[item[i]]`, `weight[i]` strong, at `time[i]`.

    `user` and `item` are (n,) int64, `weight` (n,) float32 and positive, `time` (n,) float64 seconds or None. Of users and items
    there may be some without interactions. `user_features` and `item_features` give, by id, what is known of them in tokens
    ("category:jazz", "friend:7", and the words of a name); `item_names` how an item is shown. Raises DimensionMismatch for
    columns of several lengths, InputError for rows out of range and weights or times that cannot be, DuplicateIds.

    >>> found = Interactions.of(["ann", "ann", "bob"], ["tea", "rice", "tea"], [2, 1, 4])
    >>> len(found), found.users, found.items, found.matrix().toarray().tolist()
    (3, ('ann', 'bob'), ('tea', 'rice'), [[2.0, 1.0], [4.0, 0.0]])
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    user: Rows
    item: Rows
    weight: NDArray[np.float32]
    time: NDArray[np.float64] | None = None
    user_features: Features = field(default_factory=dict)
    item_features: Features = field(default_factory=dict)
    item_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.user)
        given: list[NDArray[Any]] = [self.user, self.item, self.weight, *([] if self.time is None else [self.time])]
        if any(column.shape != (n,) for column in given):
            shapes = ", ".join(str(column.shape) for column in given)
            raise DimensionMismatch(f"columns of {shapes}", mend="give a user, an item and a weight for each interaction")
        sides: tuple[tuple[Rows, Sequence[str], str], ...] = (
            (self.user, self.users, "users"),
            (self.item, self.items, "items"),
        )
        for rows, names, kind in sides:
            if rows.dtype.kind not in "iu" or (n and not 0 <= rows.min() <= rows.max() < len(names)):
                raise InputError(f"rows of {kind} that are not among the {len(names):,}", mend=f"number the {kind} from 0 on")
        _require_weights(self.weight)
        if self.time is not None and not np.isfinite(self.time).all():
            raise InputError("times that are NaN or infinite", mend="give seconds since 1970, or no times at all")

    @classmethod
    def of(
        cls, users: Sequence[str], items: Sequence[str], weights: ArrayLike | None = None, times: ArrayLike | None = None
    ) -> Self:
        """From columns: the user and the item of each interaction by id, its weight (1 where none are given), its time.

        Users and items are numbered as they come; interactions of weight 0 are left out. Raises EmptyInput without any, and what
        `Interactions` raises.
        """
        return cls._of_rows(_numbered("user", users), _numbered("item", items), weights, times)

    @classmethod
    def _of_rows(
        cls,
        users: tuple[Sequence[str], Rows],
        items: tuple[Sequence[str], Rows],
        weights: ArrayLike | None,
        times: ArrayLike | None,
    ) -> Self:
        if not len(users[1]):
            raise EmptyInput("no interactions", mend="give at least one user who met an item")
        weight = np.ones(len(users[1]), np.float32) if weights is None else np.asarray(weights, np.float64)
        time = None if times is None else np.asarray(times, np.float64)
        _require_weights(weight, zero=True)
        some = weight > 0
        if not some.any():
            raise EmptyInput("all interactions have weight 0", mend="give at least one that counts")
        if not some.all() and some.shape == users[1].shape == items[1].shape:
            users, items = (users[0], users[1][some]), (items[0], items[1][some])
            weight, time = weight[some], None if time is None else time[some]
        return cls(tuple(users[0]), tuple(items[0]), users[1], items[1], weight.astype(np.float32), time)

    def __len__(self) -> int:
        return len(self.user)

    def __repr__(self) -> str:
        times = "" if self.time is None else ", with times"
        return f"<{len(self):,} interactions of {len(self.users):,} users with {len(self.items):,} items{times}>"

    def matrix(self) -> csr_array:
        """The (users, items) float32 matrix of weights; those of an item that a user met several times are summed."""
        from scipy.sparse import csr_array

        shape = len(self.users), len(self.items)
        found = csr_array((self.weight, (self.user, self.item)), shape=shape)
        found.sum_duplicates()
        return found

    def subset(self, mask: NDArray[np.bool_]) -> Self:
        """The interactions where `mask`, (n,), is true; all users and items stay. Raises DimensionMismatch."""
        if mask.shape != (len(self),) or mask.dtype != np.bool_:
            raise DimensionMismatch(f"a mask {mask.shape} of {mask.dtype} for {len(self):,} interactions", mend="give (n,) bool")
        time = None if self.time is None else self.time[mask]
        return replace(self, user=self.user[mask], item=self.item[mask], weight=self.weight[mask], time=time)

    def user_row(self, user: str) -> int:
        """The row of a user. Raises UnknownName."""
        return row_of(user, self._user_rows, "user")

    def item_row(self, item: str) -> int:
        """The row of an item. Raises UnknownName."""
        return row_of(item, self._item_rows, "item")

    @cached_property
    def _user_rows(self) -> Vocabulary:
        return Vocabulary(self.users)

    @cached_property
    def _item_rows(self) -> Vocabulary:
        return Vocabulary(self.items)


def read_interactions(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    items: str | os.PathLike[str] | None = None,
    users: str | os.PathLike[str] | None = None,
) -> Interactions:
    """The interactions of a table (.csv, .tsv, .dat, .jsonl, .parquet; text also .gz or .xz), or of a folder of tables.

    The table of interactions has a column of users and one of items, and perhaps weights and times, known by their names
    (userId, user_id, customer ...; movieId, artist, product ...; rating, count, plays ...; timestamp, date ...) or named:
    `columns={"user": "who", "item": "what"}`. A text table without names has these four in this order.

    In a folder, a table of two users a row says who knows whom; one of items or of users, by their ids, what they are called and
    what is known of them (a column of which nearly all values differ tells nothing and is left out; "a|b" are two values).
    `items` and `users` are such tables that lie elsewhere. What these know of others than the users and items of the
    interactions is left out.

    Raises UnknownName for a column that is not there, UnreadableSource for a table whose columns are not known, a folder without
    interactions or with several tables of them, undecodable bytes, broken rows, times and numbers that are none; InputError for
    a row without user or item and for weights that are negative, NaN or infinite; EmptyInput.
    """
    source = Path(path)
    tables = _tables(source) if source.is_dir() else {}
    main = _main_table(source, tables, columns) if tables else Table(source)
    found = _found(main, columns)
    with task(f"reading {main.path.name}", unit="tables") as work:
        interactions = _interactions(main, found)
        work.advance()
        item_tables = [Table(items)] if items is not None else [t for t in tables.values() if t is not main and _is_items(t)]
        user_tables = [Table(users)] if users is not None else [t for t in tables.values() if t is not main and _is_users(t)]
        for table in item_tables:
            interactions = _with_items(interactions, table)
            work.advance()
        for table in user_tables:
            interactions = _with_users(interactions, table)
            work.advance()
    return interactions


def row_of(name: Any, known: Vocabulary, kind: str) -> int:
    """The row of a user or an item by its id. Raises UnknownName, with near spellings.

    >>> row_of("tea", Vocabulary(["rice", "tea"]), "item")
    1
    """
    row = known.get(name) if isinstance(name, str) else UNKNOWN
    if row == UNKNOWN:
        near = [each for each in known.terms if str(name)[:1] == each[:1]][:_NEAR]
        raise UnknownName.among(str(name), near, kind=kind, listing=f"there are {len(known):,} {kind}s")
    return row


# Which table, which column --------------------------------------------------------------------------------------------


def _tables(folder: Path) -> dict[str, Table]:
    files = sorted(each for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))
    found = {}
    for file in files:
        name = Path(file.name.lower())
        ending = Path(name.stem).suffix if name.suffix in COMPRESSED else name.suffix
        if ending in ENDINGS:
            found[file.name] = Table(file)
    if not found:
        raise EmptyInput(f"{folder} holds no tables", mend=f"give a folder with a file that ends in one of: {', '.join(ENDINGS)}")
    return found


def _main_table(folder: Path, tables: Mapping[str, Table], columns: Mapping[str, str] | None) -> Table:
    """The table of interactions; of several, the one that has weights."""
    asked = dict(columns or {})
    fits = [
        table
        for table in tables.values()
        if all(asked.get(part) in table.names if part in asked else _first(table, known) for part, known in _PARTS.items()
               if part in ("user", "item"))
    ]  # fmt: skip
    weighted = [table for table in fits if asked.get("weight") in table.names or _first(table, _WEIGHT)]
    chosen = weighted if len(fits) > 1 and weighted else fits
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        names = ", ".join(table.path.name for table in chosen)
        raise UnreadableSource(f"{folder} holds several tables of interactions: {names}", mend="give the file that is meant")
    told = "; ".join(f"{name} ({', '.join(table.names[:10])})" for name, table in tables.items())
    raise UnreadableSource(
        f"{folder} holds no table with a column of users and one of items: {told}", mend=_name_them("user=COLUMN, item=COLUMN")
    )


def _found(table: Table, columns: Mapping[str, str] | None) -> dict[str, str]:
    """The column of each part. Raises UnknownName or UnreadableSource."""
    asked = dict(columns or {})
    for part, name in asked.items():
        if part not in _PARTS:
            raise UnknownName.among(part, _PARTS, kind="part of an interaction")
        if name not in table.names:
            raise UnknownName.among(name, table.names, kind=f"column in {table.path}")
    found: dict[str, str] = {}
    for part, known in _PARTS.items():
        chosen = asked.get(part) or _first(table, known, leave=(*asked.values(), *found.values()))
        if chosen is not None:
            found[part] = chosen
    missing = [part for part in ("user", "item") if part not in found]
    if missing:
        raise UnreadableSource(
            f"{table.path}: no column is known to hold {' and '.join(f'{part}s' for part in missing)} among: "
            f"{', '.join(table.names[:40])}",
            mend=_name_them(", ".join(f"{part}=COLUMN" for part in missing)),
        )
    return found


def _name_them(parts: str) -> str:
    return f"say which: --columns {parts} (in Python: columns={{...}})"


def _first(table: Table, known: Sequence[str], leave: Sequence[str] = ()) -> str | None:
    """The column whose name comes earliest in `known`."""
    places = {name: known.index(plain_name(name)) for name in table.names if plain_name(name) in known and name not in leave}
    return min(places, key=places.__getitem__, default=None)


def _is_users(table: Table) -> bool:
    """Whether it tells of users alone: by a column of theirs, or by an id and the name of the file."""
    by_id = "id" in map(plain_name, table.names) and table.path.name.lower().startswith(_PEOPLE)
    return bool(by_id or _first(table, _USER)) and not _first(table, _ITEM)


def _is_items(table: Table) -> bool:
    """Whether it tells of items alone: by a column of theirs, or by an id and a name."""
    by_id = "id" in map(plain_name, table.names) and _first(table, _NAME)
    return bool(by_id or _first(table, _ITEM)) and not _first(table, _USER) and not _is_users(table)


# What stands in them --------------------------------------------------------------------------------------------------


def _interactions(table: Table, found: Mapping[str, str]) -> Interactions:
    users, items = (table.names_in(found[part]) for part in ("user", "item"))
    weights = table.numbers_in(found["weight"]) if "weight" in found else None
    times = table.times_in(found["time"]) if "time" in found else None
    try:
        return Interactions._of_rows(users, items, weights, times)
    except InputError as error:
        raise type(error)(f"{table.path}: {error.what}", mend=error.mend) from error


def _with_items(interactions: Interactions, table: Table) -> Interactions:
    """What a table of items knows of these."""
    column = _first(table, _ITEM) or _id_column(table)
    name = _first(table, _NAME, leave=(column,))
    ids, rows = table.names_in(column)
    features = _features(table, ids, rows, interactions.items, leave=(column, *([name] if name else [])))
    names = dict(interactions.item_names)
    if name is not None:
        for row, text in zip(rows.tolist(), table.texts_in(name), strict=True):
            if text and ids[row] in interactions._item_rows:
                names.setdefault(ids[row], text)
                features.setdefault(ids[row], {}).update(dict.fromkeys(word.casefold() for word in _WORD.findall(text)))
    return replace(interactions, item_features=_joined(interactions.item_features, features), item_names=names)


def _with_users(interactions: Interactions, table: Table) -> Interactions:
    """What a table of users knows of these: their features, or whom they know."""
    friend = _first(table, _FRIEND)
    column = _first(table, _USER, leave=(friend,) if friend else ()) or _id_column(table)
    ids, rows = table.names_in(column)
    if friend is None:
        features = _features(table, ids, rows, interactions.users, leave=(column,))
    else:
        features = {}
        others, numbers = table.names_in(friend)
        for row, other in zip(rows.tolist(), numbers.tolist(), strict=True):
            if ids[row] in interactions._user_rows:
                features.setdefault(ids[row], {})[f"friend:{others[other]}"] = None
    return replace(interactions, user_features=_joined(interactions.user_features, features))


def _id_column(table: Table) -> str:
    column = _first(table, ("id",))
    if column is None:
        raise UnreadableSource(f"{table.path}: no column of ids among {', '.join(table.names)}", mend="name it id")
    return column


def _features(
    table: Table, ids: Sequence[str], rows: Rows, wanted: Sequence[str], leave: Sequence[str]
) -> dict[str, dict[str, None]]:
    """For each id that is wanted its tokens "column:value", in order, once each."""
    known = frozenset(wanted)
    found: dict[str, dict[str, None]] = {}
    for column in (name for name in table.names if name not in leave):
        cells = [[value.strip() for value in text.split("|") if value.strip()] for text in table.texts_in(column)]
        distinct = {value for cell in cells for value in cell}
        if 2 * len(distinct) > max(2, sum(map(len, cells))):
            continue
        for row, cell in zip(rows.tolist(), cells, strict=True):
            if ids[row] in known:
                found.setdefault(ids[row], {}).update(dict.fromkeys(f"{column}:{value}" for value in cell))
    return found


def _joined(known: Features, more: Mapping[str, Mapping[str, None]]) -> dict[str, tuple[str, ...]]:
    added = {name: tuple(dict.fromkeys((*known.get(name, ()), *tokens))) for name, tokens in more.items()}
    return {**known, **added}


def _numbered(kind: str, names: Sequence[Any]) -> tuple[list[str], Rows]:
    known = Vocabulary()
    return known.terms, np.array([known.add(_id(kind, row, name)) for row, name in enumerate(names)], np.int64)


def _id(kind: str, row: int, name: Any) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int | np.integer) or name == "":
        raise InputError(f"the {kind} of interaction {row} is {name!r}", mend="name users and items by str or by whole numbers")
    return str(name)


def _require_weights(weights: NDArray[Any], *, zero: bool = False) -> None:
    bad = np.flatnonzero(~(np.isfinite(weights) & ((weights > 0) | (zero & (weights == 0))) & (weights < _LARGEST)))
    if len(bad):
        raise InputError(
            f"{len(bad):,} of {len(weights):,} weights cannot be (first: row {bad[0] + 1}, {weights[bad[0]]:g})",
            mend="give finite numbers above 0, or leave these rows out",
        )


_LARGEST = 1e30  # of a weight: sums of them must fit float32
