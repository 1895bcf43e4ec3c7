"""What every store promises of its spaces (store/base.py): a column is added, filled, served and dropped, and nothing mixes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vicino import store
from vicino.data.filters import parse
from vicino.errors import DimensionMismatch, DuplicateIds, InputError, InvalidVectors, SpaceMismatch
from vicino.spaces import Space
from vicino.store import Store
from vicino.store.base import Row

Passages = Callable[..., list[Row]]
Drawn = Callable[..., dict[str, Any]]

NEW = Space("fedcba9876543210", 3, "dot")


def lacking(kept: Store, space: Space, **how: Any) -> list[str]:
    batches = kept.scan(["key"], lacking=space, **{"tenant": None, **how})
    return sorted(key for batch in batches for key in batch.column("key").to_pylist())


def vectors(kept: Store, space: Space, **how: Any) -> dict[str, list[float]]:
    batches = kept.scan(["key"], space=space, **{"tenant": None, **how})
    return {row["key"]: row["vector"] for batch in batches for row in batch.to_pylist()}


def names(rows: list[Row]) -> list[str]:
    return sorted(row.key for row in rows)


def test_a_space_is_added_filled_served_and_dropped(
    kept: Store, scheme: str, location: str, space: Space, passages: Passages, drawn: Drawn
) -> None:
    rows, old, new = passages("a", 5), drawn(5), drawn(5, NEW, seed=1)[NEW.id]
    kept.replace(rows, old, tenant="us")
    assert (kept.spaces, kept.filling, kept.note) == ((space,), (), "")
    before = kept.version
    assert kept.add_space(NEW) == kept.version > before
    assert (kept.spaces, kept.filling) == ((space,), (NEW,))
    assert lacking(kept, NEW) == names(rows)
    assert vectors(kept, NEW) == {}
    assert kept.search(new[:1], 3, space=NEW, tenant="us").ids.shape == (1, 0)

    assert kept.fill(NEW, [row.key for row in rows[:3]], new[:3]) == 3
    assert lacking(kept, NEW) == names(rows[3:])
    assert vectors(kept, NEW) == {row.key: vector.tolist() for row, vector in zip(rows[:3], new, strict=False)}
    with pytest.raises(SpaceMismatch, match="2 rows"):
        kept.serve([NEW], note="two")
    assert (kept.spaces, kept.note) == ((space,), "")

    assert kept.fill(NEW, [row.key for row in rows[3:]], new[3:]) == 2
    assert lacking(kept, NEW) == []
    kept.serve([NEW], note="two")
    for reader in (kept, store.open(location, scheme=scheme)):
        assert (reader.spaces, reader.filling, reader.note) == ((NEW,), (space,), "two")
        assert vectors(reader, NEW) == {row.key: vector.tolist() for row, vector in zip(rows, new, strict=True)}
        assert vectors(reader, space) == {row.key: vector.tolist() for row, vector in zip(rows, old[space.id], strict=True)}
        assert set(reader.search(new, 5, space=NEW, tenant="us").ids[0]) == {row.key for row in rows}

    kept.drop_space(space)
    assert (kept.spaces, kept.filling, kept.note) == ((NEW,), (), "two")
    with pytest.raises(SpaceMismatch):
        vectors(kept, space)
    assert len(vectors(kept, NEW)) == kept.count(tenant="us") == 5


def test_several_spaces_are_served_together_and_others_wait(kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a", 2), drawn(2), tenant="us")
    third = Space("third", 2)
    for each in (NEW, third):
        kept.add_space(each)
        kept.fill(each, [row.key for row in passages("a", 2)], drawn(2, each)[each.id])
    kept.serve([space, third], note="both")
    assert (set(kept.spaces), kept.filling) == ({space, third}, (NEW,))
    kept.serve([space], note="")
    assert (kept.spaces, set(kept.filling), kept.note) == ((space,), {NEW, third}, "")


def test_the_note_changes_by_itself(kept: Store, space: Space) -> None:
    kept.serve([space], note="other")
    assert (kept.spaces, kept.filling, kept.note) == ((space,), (), "other")


def test_filling_again_writes_over_and_passes_over_what_is_gone(
    kept: Store, space: Space, passages: Passages, drawn: Drawn
) -> None:
    rows, first, second = passages("a", 3), drawn(3, NEW)[NEW.id], drawn(3, NEW, seed=1)[NEW.id]
    kept.replace(rows, drawn(3), tenant="us")
    kept.add_space(NEW)
    kept.fill(NEW, names(rows), first)
    kept.delete(parse("number = 1"), tenant="us")
    assert kept.fill(NEW, [rows[2].key, rows[1].key, "nobody's"], second) == 1
    assert vectors(kept, NEW) == {rows[0].key: first[0].tolist(), rows[2].key: second[0].tolist()}
    version = kept.version
    assert kept.fill(NEW, [], np.empty((0, 3), np.float32)) == kept.fill(NEW, ["nobody's"], second[:1]) == 0
    assert vectors(kept, space).keys() == {rows[0].key, rows[2].key}
    assert kept.version == version


def test_a_write_takes_the_vectors_away_that_it_does_not_bring(
    kept: Store, space: Space, passages: Passages, drawn: Drawn
) -> None:
    rows = passages("a", 2) + passages("b", 1) + passages("c", 1, tenant="them")
    kept.replace(rows[:3], drawn(3), tenant="us")
    kept.replace(rows[3:], drawn(1), tenant="them")
    kept.add_space(NEW)
    kept.fill(NEW, [row.key for row in rows], drawn(4, NEW)[NEW.id])
    kept.replace(passages("a", 2, revision="2"), drawn(2), tenant="us")
    assert lacking(kept, NEW) == lacking(kept, NEW, tenant="us") == names(passages("a", 2, revision="2"))
    assert lacking(kept, NEW, where=parse("number = 1")) == [passages("a", 2, revision="2")[1].key]
    assert lacking(kept, NEW, tenant="them") == lacking(kept, space) == []
    both = drawn(2, space, NEW, seed=2)
    kept.replace(passages("a", 2, revision="3"), both, tenant="us")
    assert lacking(kept, NEW) == []
    assert vectors(kept, NEW)[passages("a", 2, revision="3")[1].key] == both[NEW.id][1].tolist()
    hits = kept.search(both[NEW.id][:1], 9, space=NEW, tenant="us", where=parse("document = 'a'"))
    assert len(hits.top()) == 2


def test_a_writer_that_knows_only_the_old_space_is_refused(
    kept: Store, scheme: str, location: str, space: Space, passages: Passages, drawn: Drawn
) -> None:
    rows = passages("a", 2)
    kept.replace(rows, drawn(2), tenant="us")
    kept.add_space(NEW)
    writer = store.open(location, scheme=scheme)
    kept.fill(NEW, names(rows), drawn(2, NEW)[NEW.id])
    kept.serve([NEW], note="two")
    assert writer.spaces == (space,)  # it did not look yet
    for vectors_ in (drawn(1), drawn(1, space)):
        with pytest.raises(SpaceMismatch) as caught:
            writer.replace(passages("b"), vectors_, tenant="us")
        assert caught.value.mend
    assert kept.refresh() is False
    assert kept.count(tenant="us") == 2
    writer.replace(passages("b"), drawn(1, NEW), tenant="us")
    writer.refresh()
    assert (writer.spaces, writer.filling, writer.note) == ((NEW,), (space,), "two")
    assert lacking(writer, space) == names(passages("b"))
    with pytest.raises(SpaceMismatch, match="1 row"):
        writer.serve([space], note="")
    kept.drop_space(space)
    with pytest.raises(SpaceMismatch):
        writer.replace(passages("c"), drawn(1, space, NEW), tenant="us")
    with pytest.raises(SpaceMismatch):
        writer.fill(space, names(rows), drawn(2)[space.id])
    assert kept.count(tenant="us") == 3


def test_a_filling_space_is_seen_only_where_its_version_is_read(
    kept: Store, scheme: str, location: str, space: Space, passages: Passages, drawn: Drawn
) -> None:
    kept.replace(passages("a"), drawn(1), tenant="us")
    reader = store.open(location, scheme=scheme)
    kept.add_space(NEW)
    assert reader.filling == ()
    with pytest.raises(SpaceMismatch):
        list(reader.scan(["key"], tenant="us", space=NEW))
    assert reader.refresh() is True
    assert reader.filling == (NEW,)


@pytest.mark.parametrize("case", range(15))
def test_what_is_refused_changes_nothing(case: int, kept: Store, space: Space, passages: Passages, drawn: Drawn) -> None:
    rows = passages("a", 2)
    kept.replace(rows, drawn(2), tenant="us")
    kept.add_space(NEW)
    good, two = drawn(2, NEW)[NEW.id], names(rows)
    other = Space("other", 2)
    cases: list[tuple[type[Exception], Callable[[], Any]]] = [
        (InputError, lambda: kept.add_space(NEW)),
        (InputError, lambda: kept.add_space(space)),
        (InputError, lambda: kept.add_space(Space(space.id, 7))),
        (InputError, lambda: kept.add_space(Space("tokens", 4, "maxsim"))),
        (SpaceMismatch, lambda: kept.fill(space, two, drawn(2)[space.id])),
        (SpaceMismatch, lambda: kept.fill(other, two, drawn(2, other)[other.id])),
        (DimensionMismatch, lambda: kept.fill(NEW, two, good[:, :2])),
        (InvalidVectors, lambda: kept.fill(NEW, two, np.full((2, 3), np.nan, np.float32))),
        (InputError, lambda: kept.fill(NEW, two, good[:1])),
        (DuplicateIds, lambda: kept.fill(NEW, [two[0], two[0]], good)),
        (SpaceMismatch, lambda: kept.serve([NEW], note="x")),
        (SpaceMismatch, lambda: kept.serve([space, other], note="x")),
        (SpaceMismatch, lambda: kept.drop_space(space)),
        (SpaceMismatch, lambda: kept.drop_space(other)),
        (SpaceMismatch, lambda: list(kept.scan(["key"], tenant=None, lacking=other))),
    ]
    error, does = cases[case]
    version = kept.version
    with pytest.raises(error) as caught:
        does()
    assert caught.value.mend  # type: ignore[attr-defined]
    kept.refresh()
    assert (kept.version, kept.spaces, kept.filling, kept.note) == (version, (space,), (NEW,), "")
    assert lacking(kept, NEW) == two


def test_a_space_that_was_dropped_comes_back_empty(kept: Store, passages: Passages, drawn: Drawn) -> None:
    kept.replace(passages("a"), drawn(1), tenant="us")
    kept.add_space(NEW)
    kept.fill(NEW, names(passages("a")), drawn(1, NEW)[NEW.id])
    kept.drop_space(NEW)
    kept.add_space(NEW)
    assert lacking(kept, NEW) == names(passages("a"))


def test_upkeep_keeps_what_is_filled(kept: Store, passages: Passages, drawn: Drawn) -> None:
    rows = [passages(str(number))[0] for number in range(6)]
    for row in rows:
        kept.replace([row], drawn(1), tenant="us")
    kept.add_space(NEW)
    new = drawn(6, NEW)[NEW.id]
    for place in (0, 2, 4):
        kept.fill(NEW, [rows[place].key], new[[place]])
    kept.maintain(keep_seconds=0)
    assert vectors(kept, NEW) == {rows[place].key: new[place].tolist() for place in (0, 2, 4)}
    assert lacking(kept, NEW) == names([rows[place] for place in (1, 3, 5)])


def test_one_fills_while_others_write(kept: Store, scheme: str, location: str, passages: Passages, drawn: Drawn) -> None:
    rows = passages("a", 40)
    kept.replace(rows, drawn(40), tenant="us")
    kept.add_space(NEW)
    new = drawn(40, NEW)[NEW.id]
    failed: list[BaseException] = []

    def write() -> None:
        try:
            own = store.open(location, scheme=scheme)
            for number in range(10):
                own.replace(passages(f"w{number}", 2), drawn(2), tenant="us")
            own.maintain(keep_seconds=600)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    other = threading.Thread(target=write)
    other.start()
    for begin in range(0, 40, 4):
        kept.fill(NEW, [row.key for row in rows[begin : begin + 4]], new[begin : begin + 4])
    other.join()
    assert not failed
    kept.refresh()
    assert vectors(kept, NEW) == {row.key: vector.tolist() for row, vector in zip(rows, new, strict=True)}
    assert len(lacking(kept, NEW)) == 20
    assert kept.count(tenant="us") == 60
