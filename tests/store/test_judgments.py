"""What people said of answers: kept before it is acknowledged, whoever writes beside, whatever tears."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from vicino.data.pools import read_pool, write_pool
from vicino.errors import ArtifactError, InputError, UnknownName
from vicino.store import judgments
from vicino.store.judgments import Judgment, add, pool_of, qrels_of, read, remove


def test_what_was_kept_comes_back_in_its_order(tmp_path):
    first = Judgment("how?", "d1", 3, source="s", rater="ann", blind=True, configuration={"mode": "dense"})
    second = Judgment("naïve 東京", "d/2 x", 0)
    names = [add(tmp_path, each) for each in (first, second)]
    assert list(read(tmp_path, tenant="")) == [first, second]
    assert names == [first.id, second.id]


def test_tenants_and_what_was_taken_back_are_left_out(tmp_path):
    mine, theirs = Judgment("q", "d", 1, tenant="me"), Judgment("q", "d", 2, tenant="they")
    for each in (mine, theirs):
        add(tmp_path, each)
    assert list(read(tmp_path, tenant="me")) == [mine]
    with pytest.raises(UnknownName):
        remove(tmp_path, theirs.id, tenant="me")
    remove(tmp_path, mine.id, tenant="me")
    assert list(read(tmp_path, tenant="me")) == []
    assert list(read(tmp_path, tenant="they")) == [theirs]
    with pytest.raises(UnknownName):
        remove(tmp_path, mine.id, tenant="me")


def test_a_torn_line_costs_itself_alone(tmp_path):
    before, after = Judgment("q", "a", 1), Judgment("q", "b", 2)
    add(tmp_path, before)
    file = tmp_path / judgments.NAME
    with file.open("ab") as stream:
        stream.write(b'{"query": "q", "docu')  # the power failed
    add(tmp_path, after)
    assert list(read(tmp_path, tenant="")) == [before, after]
    with file.open("ab") as stream:
        stream.write(b'[1]\nnull\n{"query": "q"}\n{"tenant": "", "grade": 9}\n\xff\xfe\n')
    assert list(read(tmp_path, tenant="")) == [before, after]


def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch):
    before, after = Judgment("q", "a", 1), Judgment("q", "b", 2)
    add(tmp_path, before)
    whole = (tmp_path / judgments.NAME).read_bytes()
    real = os.write

    def half(handle, data):
        if len(data) > 20:
            return real(handle, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(judgments.os, "write", half)
        with pytest.raises(ArtifactError, match="No space left") as caught:
            add(tmp_path, after)
    assert "free some space" in caught.value.mend
    assert (tmp_path / judgments.NAME).read_bytes() == whole
    add(tmp_path, after)
    assert list(read(tmp_path, tenant="")) == [before, after]


def test_it_is_on_disk_before_it_is_acknowledged(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(judgments.os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    add(tmp_path, Judgment("q", "d", 1))
    assert synced == [(tmp_path / judgments.NAME).stat().st_size]


def test_many_writers_lose_nothing(tmp_path):
    every = [Judgment("q", f"d{number}", number % 4) for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: add(tmp_path, each), every))
    assert {each.id for each in read(tmp_path, tenant="")} == {each.id for each in every}
    lines = (tmp_path / judgments.NAME).read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 60


def test_the_table_is_the_one_that_compare_reads(tmp_path):
    said = [
        Judgment("How do wings lift?", "007", 1, source="s", rater="ann"),
        Judgment("how do  wings lift?", "007", 3, source="s", rater="ann"),  # the last word of a rater counts
        Judgment("How do wings lift?", "007", 2, source="s", rater="bob"),
        Judgment("=tea", "x", 0),
    ]
    pool = pool_of(said, {("s", "007"): "Wings lift because."})
    write_pool(tmp_path / "pool.csv", pool)
    again = read_pool(tmp_path / "pool.csv")
    assert [(row.document_id, row.grade, row.shown) for row in again.rows] == [("007", 2, "Wings lift because."), ("x", 0, "")]
    assert [query.text for query in again.queries] == ["How do wings lift?", "=tea"]
    assert qrels_of(again) == "".join(f"{row.query.id} 0 {row.document_id} {row.grade}\n" for row in pool.rows)


def test_trec_cannot_hold_a_space():
    with pytest.raises(InputError, match="parts fields by spaces"):
        qrels_of(pool_of([Judgment("q", "a b", 1)]))


@pytest.mark.parametrize(
    "wrong", [{"grade": 4}, {"grade": -1}, {"grade": True}, {"grade": 1.5}, {"query": "  "}, {"document": ""}]
)
def test_what_is_no_judgment_is_refused(wrong):
    with pytest.raises(InputError):
        Judgment(**{"query": "q", "document": "d", "grade": 1, **wrong})


def test_a_line_that_nobody_could_read_again_is_refused(tmp_path):
    with pytest.raises(InputError, match="bytes"):
        add(tmp_path, Judgment("q", "d", 1, configuration={"much": "x" * (1 << 20)}))
    assert list(read(tmp_path, tenant="")) == []
