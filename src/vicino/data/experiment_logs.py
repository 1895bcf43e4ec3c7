"""Logs of experiments: who was in which group and did what, summed up by user.

A table (csv, tsv, jsonl, parquet) with an event a row: a user, a group, the event's name, and perhaps a value, a time, a session
and an id of the event. What such logs suffer from is counted and told: events that came twice, users in two groups, events
outside of the time, clocks that disagree.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino.data.interaction_tables import Table, plain_name
from vicino.errors import EmptyInput, InputError, UnknownName, UnreadableSource

__all__ = ["Interleaved", "Log", "read_interleaved", "read_log"]

# As `plain_name` spells them.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "userid", "visitor", "visitorid", "customer", "customerid", "member", "memberid"),
    "group": ("group", "variant", "arm", "bucket", "treatment", "cell", "experimentgroup", "team"),
    "event": ("event", "eventname", "eventtype", "action", "type"),
    "value": ("value", "amount", "price", "revenue"),
    "time": ("time", "timestamp", "datetime", "date", "createdat", "ts"),
    "session": ("session", "sessionid", "visit", "visitid", "query", "queryid", "search", "searchid"),
    "id": ("eventid", "id", "uuid", "key"),
}
_DAY = 86_400.0  # seconds
_NEEDED = ("user", "group", "event")
_TOLD = 30  # users with several clicks, of whom some took of both rankings if both were shown to them

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Log:
    """Events of users who were in one group each: row i is of `user[i]`, (n,) int64 numbers from 0 on, and so on.

    `groups` are in the order of their names, and `group_of` (users,) says which of them each user was in. `value` is NaN where
    none is told; `session` numbers sessions over all users. `notes` say what was left out, and why.
    """

    groups: tuple[str, ...]
    events: tuple[str, ...]
    group_of: Rows
    user: Rows
    event: Rows
    value: NDArray[np.float64] | None
    session: Rows | None
    notes: tuple[str, ...] = ()

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many users each group has."""
        return np.bincount(self.group_of, minlength=len(self.groups)).astype(np.int64)

    def counts(self, event: str) -> NDArray[np.float64]:
        """How often each user did something, (users,). Raises UnknownName."""
        return np.bincount(self.user[self._of(event)], minlength=len(self.group_of)).astype(np.float64)

    def sums(self, event: str) -> NDArray[np.float64]:
        """The sum of the values of an event, for each user (users,). Raises UnknownName, InputError for a missing value."""
        rows = self._of(event)
        if self.value is None:
            raise InputError("the log has no values", mend='say which column has them: --columns "value=COLUMN"')
        if not np.isfinite(self.value[rows]).all():
            missing = int((~np.isfinite(self.value[rows])).sum())
            raise InputError(f"{missing:,} events {event!r} have no value", mend="give each a number, 0 where it was free")
        return np.bincount(self.user[rows], self.value[rows], minlength=len(self.group_of)).astype(np.float64)

    @cached_property
    def sessions(self) -> NDArray[np.float64]:
        """How many sessions each user had, (users,). Raises InputError for a log without them."""
        if self.session is None:
            raise InputError("the log has no sessions", mend='say which column has them: --columns "session=COLUMN"')
        _, first = np.unique(self.session, return_index=True)
        return np.bincount(self.user[first], minlength=len(self.group_of)).astype(np.float64)

    def _of(self, event: str) -> NDArray[np.bool_]:
        if event not in self.events:
            raise UnknownName.among(event, self.events, kind="event in the log")
        return np.equal(self.event, self.events.index(event))


class Interleaved(NamedTuple):
    """Whose results people took where two rankings were shown as one list: `wins` (users, 2), how often of each team."""

    teams: tuple[str, str]
    wins: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def read_log(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Log:
    """A log of an experiment, made clean; `start` and `end` are seconds since 1970, and what lies outside is left out.

    `columns` says which column is what where names do not tell: user, group, event, value, time, session, id. Events count once:
    those with an id that came before, or, without ids but with times of day, those that are equal in everything, are left out;
    so are users who were in several groups. Raises UnknownName, UnreadableSource, InputError, EmptyInput.
    """
    found = _events(path, columns or {}, start, end)
    notes = list(found.notes)
    users, user = np.unique(found.rows["user"], return_inverse=True)
    switched = _switched(user, found.rows["group"])
    if len(switched):
        notes.append(f"{len(switched):,} users ({len(switched) / len(users):.2%}) were in several groups, and are left out")
    kept = ~np.isin(user, switched)
    _require_some(path, kept, notes)
    rows = {part: numbers[kept] for part, numbers in found.rows.items()}
    users, user = np.unique(rows["user"], return_inverse=True)
    group_of = np.empty(len(users), np.int64)
    group_of[user] = rows["group"]
    value = None if found.value is None else found.value[kept]
    session = _numbered(user, rows["session"]) if "session" in rows else None
    return Log(found.names["group"], found.names["event"], group_of, user, rows["event"], value, session, tuple(notes))


def read_interleaved(path: str | os.PathLike[str], *, columns: Mapping[str, str] | None = None, event: str = "") -> Interleaved:
    """A log of clicks on lists in which two rankings were interleaved; the column "group" (or "team") says whose a result was.

    Only events named `event` count, all where none is named. Raises what `read_log` raises, and InputError for other than two
    teams, and where everybody took of one only, as in the log of two groups.
    """
    found = _events(path, columns or {}, None, None)
    names = found.names["group"]
    if len(names) != 2:
        raise InputError(f"{path} has {len(names)} teams: {', '.join(names[:9])}", mend="interleave two rankings at a time")
    if event and event not in found.names["event"]:
        raise UnknownName.among(event, found.names["event"], kind="event in the log")
    kept = np.equal(found.rows["event"], found.names["event"].index(event)) if event else np.ones(len(found.rows["user"]), bool)
    _require_some(path, kept, list(found.notes))
    users, user = np.unique(found.rows["user"][kept], return_inverse=True)
    wins = np.bincount(2 * user + found.rows["group"][kept], minlength=2 * len(users)).reshape(-1, 2)
    several = wins[wins.sum(axis=1) > 1]
    if len(several) >= _TOLD and not several.all(axis=1).any():
        raise InputError(
            f"none of {len(several):,} users took results of both {names[0]} and {names[1]}: these are groups, not teams",
            mend=f"for groups: vicino abtest read {path} --metric EVENT",
        )
    return Interleaved((names[0], names[1]), wins.astype(np.int64), found.notes)


class _Events(NamedTuple):
    """Clean events: rows of each part, the names these number, and what was left out."""

    names: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, Rows]
    value: NDArray[np.float64] | None
    notes: tuple[str, ...]


def _events(path: str | os.PathLike[str], columns: Mapping[str, str], start: float | None, end: float | None) -> _Events:
    table = Table(path)
    found = _found(table, columns)
    names = {part: table.names_in(found[part]) for part in ("user", "group", "event", "session") if part in found}
    value = table.numbers_in(found["value"]) if "value" in found else None
    time = table.times_in(found["time"]) if "time" in found else None
    ids = table.names_in(found["id"])[1] if "id" in found else None
    if time is None and not (start is None and end is None):
        raise InputError("the log has no times to cut by", mend="leave --start and --end out, or name the column of times")
    rows: dict[str, Rows] = {part: numbers for part, (_, numbers) in names.items()}
    notes: list[str] = []
    kept = np.ones(len(rows["user"]), bool)
    if time is not None:
        kept &= (time >= (-np.inf if start is None else start)) & (time < (np.inf if end is None else end))
        _note(notes, len(kept) - int(kept.sum()), "events lie outside of --start and --end")
        _note(
            notes, _far(time[kept]), "events are far from all others in time: a clock is wrong, or --start and --end are wanted"
        )
    twice = kept & ~_first(ids, rows, value, time, kept)
    _note(notes, int(twice.sum()), "events came twice, and count once")
    kept &= ~twice
    _require_some(path, kept, notes)
    names["group"] = _sorted(*names["group"])
    rows["group"] = names["group"][1]
    texts: dict[str, tuple[str, ...]] = {part: tuple(terms) for part, (terms, _) in names.items()}
    return _Events(texts, {part: each[kept] for part, each in rows.items()}, None if value is None else value[kept], tuple(notes))


def _sorted(terms: list[str], numbers: Rows) -> tuple[list[str], Rows]:
    """The names in order, and the rows that number them so."""
    places = np.argsort(np.array(terms, dtype=object), kind="stable")
    return [terms[place] for place in places], np.argsort(places)[numbers]


def _require_some(path: str | os.PathLike[str], kept: NDArray[np.bool_], notes: Sequence[str]) -> None:
    if not kept.any():
        raise EmptyInput("; ".join([f"{path}: nothing is left to read", *notes]), mend="check the log")


def _numbered(user: Rows, session: Rows) -> Rows:
    """A number for each session of each user: two users never share one."""
    width = int(session.max(initial=0)) + 1
    return np.asarray(np.unique(user * width + session, return_inverse=True)[1], np.int64)


def _found(table: Table, asked: Mapping[str, str]) -> dict[str, str]:
    for part, name in asked.items():
        if part not in _PARTS:
            raise UnknownName.among(part, _PARTS, kind="part of a log")
        if name not in table.names:
            raise UnknownName.among(name, table.names, kind=f"column in {table.path}")
    found = dict(asked)
    for part, known in _PARTS.items():
        fits = [name for name in table.names if plain_name(name) in known and name not in found.values()]
        if part not in found and fits:
            found[part] = min(fits, key=lambda name: known.index(plain_name(name)))
    missing = [part for part in _NEEDED if part not in found]
    if missing:
        raise UnreadableSource(
            f"{table.path}: no column is known to hold the {' and the '.join(missing)} among: {', '.join(table.names[:40])}",
            mend=f'say which: --columns "{",".join(f"{part}=COLUMN" for part in missing)}"',
        )
    return found


def _first(
    ids: Rows | None,
    rows: Mapping[str, Rows],
    value: NDArray[np.float64] | None,
    time: NDArray[np.float64] | None,
    kept: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which of the kept events come for the first time; without ids, and times finer than a day, nobody can tell."""
    if ids is None and (time is None or not (time[kept] % _DAY).any()):
        return np.ones(len(kept), bool)
    parts: Sequence[NDArray[np.float64]]
    if ids is not None:
        parts = [ids.astype(np.float64)]
    else:
        others = [] if value is None else [np.nan_to_num(value, nan=-np.inf)]
        parts = [each.astype(np.float64) for each in (*rows.values(), *others, np.asarray(time))]
    at = np.flatnonzero(kept)
    columns = np.stack(parts)[:, at]
    order = np.lexsort(columns)  # stable: of equal events the first comes first
    ordered = columns[:, order]
    new = np.append(True, np.any(ordered[:, 1:] != ordered[:, :-1], axis=0))[: len(order)]
    found = np.zeros(len(kept), bool)
    found[at[order[new]]] = True
    return found


def _far(time: NDArray[np.float64]) -> int:
    """How many times lie ten times the middle half, and at least a day, beyond it."""
    if not len(time):
        return 0
    low, high = np.quantile(time, [0.25, 0.75])
    reach = max(10 * (high - low), _DAY)
    return int(((time < low - reach) | (time > high + reach)).sum())


def _switched(user: Rows, group: Rows) -> Rows:
    """The users who were in more than one group."""
    pairs = np.unique(user * (int(group.max(initial=0)) + 1) + group)
    users, times = np.unique(pairs // (int(group.max(initial=0)) + 1), return_counts=True)
    return np.asarray(users[times > 1])


def _note(notes: list[str], count: int, what: str) -> None:
    if count:
        notes.append(f"{count:,} {what}")
