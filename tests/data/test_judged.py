"""BEIR folders, TREC qrels and runs."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.judged import (
    is_beir,
    read_judgements,
    read_qrels,
    read_queries,
    read_run,
    splits_of,
    write_run,
)
from vicino.data.readers import read_documents
from vicino.data.records import Document, Judgement, Query
from vicino.errors import DuplicateIds, EmptyInput, InputError, UnknownName, UnreadableSource


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    corpus = [
        {"_id": "d1", "title": "On lift", "text": "Wings lift.", "metadata": {"year": 1903}},
        {"_id": "d2", "title": "", "text": "", "metadata": {}},
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "what lifts?", "metadata": {}}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    (folder / "qrels" / "dev.tsv").write_text("q1\td1\t1\n")
    return folder


def test_beir_folder(beir: Path) -> None:
    assert is_beir(beir)
    assert splits_of(beir) == ["dev", "test"]
    reading = read_documents(beir)
    # d2 says nothing, but a judgement names it: it stays
    assert list(reading) == [Document("d1", "Wings lift.", "On lift", {"year": 1903}), Document("d2", "")]
    assert not reading.counts
    assert read_queries(beir) == [Query("q1", "what lifts?")]
    assert read_judgements(beir, "test") == [Judgement("q1", "d1", 2), Judgement("q1", "d2", 0)]
    assert read_judgements(beir, "dev") == [Judgement("q1", "d1", 1)]  # a file without a header


def test_compressed_corpus(beir: Path) -> None:
    data = (beir / "corpus.jsonl").read_bytes()
    (beir / "corpus.jsonl").unlink()
    assert not is_beir(beir)
    (beir / "corpus.jsonl.gz").write_bytes(gzip.compress(data))
    assert is_beir(beir)
    assert [document.id for document in read_documents(beir)] == ["d1", "d2"]


def test_unknown_split_lists_the_splits(beir: Path) -> None:
    with pytest.raises(UnknownName, match="no split named 'tset'\n  → did you mean test\\? There are: dev, test"):
        read_judgements(beir, "tset")


def test_duplicate_ids_are_errors(beir: Path) -> None:
    for name in ("corpus.jsonl", "queries.jsonl"):
        text = (beir / name).read_text()
        (beir / name).write_text(text + text.splitlines()[0] + "\n")
    with pytest.raises(DuplicateIds, match="'d1'"):
        list(read_documents(beir))
    with pytest.raises(DuplicateIds, match="'q1'"):
        read_queries(beir)


def test_broken_corpus_lines_are_counted_and_broken_queries_refused(beir: Path) -> None:
    for name in ("corpus.jsonl", "queries.jsonl"):
        with (beir / name).open("a") as file:
            file.write('{"_id": "x", "text": \n')
    reading = read_documents(beir)
    assert len(list(reading)) == 2
    assert reading.summary() == "skipped 1: broken JSON (1, first corpus.jsonl line 3)"
    with pytest.raises(UnreadableSource, match=r"queries\.jsonl, line 2: broken JSON"):
        read_queries(beir)


def test_queries_from_other_places(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("id\ttext\n7\tone two\n")
    assert read_queries(tmp_path / "q.tsv") == [Query("7", "one two")]
    (tmp_path / "e.jsonl").write_text("\n")
    with pytest.raises(EmptyInput):
        read_queries(tmp_path / "e.jsonl")
    with pytest.raises(UnreadableSource, match=r"there is no .*queries.jsonl"):
        read_queries(tmp_path)
    (tmp_path / "q.txt").write_text("one")
    with pytest.raises(UnreadableSource, match="not a table"):
        read_queries(tmp_path / "q.txt")


def qrels(folder: Path, text: str) -> list[Judgement]:
    (folder / "qrels.txt").write_text(text)
    return list(read_qrels(folder / "qrels.txt"))


def test_trec_qrels(tmp_path: Path) -> None:
    assert qrels(tmp_path, "301 0 FR-1 1\n301 0 FR-2 -2\n\n302\t0\tFR-1\t0\n") == [
        Judgement("301", "FR-1", 1),
        Judgement("301", "FR-2", -2),
        Judgement("302", "FR-1", 0),
    ]
    assert qrels(tmp_path, "my query\tmy document\t1.0\n") == [Judgement("my query", "my document", 1)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", EmptyInput),
        ("query-id\tcorpus-id\tscore\n", EmptyInput),
        ("q d 1\nq d\n", UnreadableSource),
        ("q d 1\nq e high\n", UnreadableSource),
        ("q d 0.5\n", UnreadableSource),
        ("q d nan\nq d nan\n", UnreadableSource),
        ("q d 1\nq d 2\n", DuplicateIds),
    ],
)
def test_bad_qrels_are_named(tmp_path: Path, text: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"qrels\.txt"):
        qrels(tmp_path, text)


def test_a_repeated_judgement_counts_once(tmp_path: Path) -> None:
    assert qrels(tmp_path, "q d 1\nq d 1\n") == [Judgement("q", "d", 1)]


name = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8).filter(lambda text: text.split() == [text])
scores = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(name, st.dictionaries(name, scores, min_size=1, max_size=5), min_size=1, max_size=4))
def test_runs_come_back(tmp_path_factory: pytest.TempPathFactory, run: dict[str, dict[str, float]]) -> None:
    ranked = {query: sorted(found.items(), key=lambda pair: -pair[1]) for query, found in run.items()}
    path = tmp_path_factory.mktemp("runs") / "a.run"
    write_run(path, ranked)
    assert read_run(path) == ranked


def test_runs_are_ordered_by_score_and_not_by_rank(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    path.write_text("q Q0 low 1 0.5 x\nq Q0 high 2 2 x\nq Q0 also 3 0.5 x\n")
    assert read_run(path) == {"q": [("high", 2.0), ("low", 0.5), ("also", 0.5)]}


@pytest.mark.parametrize("text", ["q Q0 d 1 0.5\n", "q Q0 d 1 nan x\n", "q Q0 d 1 best x\n"])
def test_bad_runs_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.run"
    path.write_text(text)
    with pytest.raises(UnreadableSource, match="line 1 is not: query, Q0, document, rank, score, tag"):
        read_run(path)


def test_runs_refuse_what_they_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    for bad in ({"my query": [("d", 1.0)]}, {"q": [("", 1.0)]}, {"q": [("d", float("nan"))]}):
        with pytest.raises(InputError):
            write_run(path, bad)
    path.write_text("q Q0 d 1 0.5 x\nq Q0 d 2 0.4 x\n")
    with pytest.raises(DuplicateIds):
        read_run(path)
    path.write_text("")
    with pytest.raises(EmptyInput):
        read_run(path)


@pytest.mark.parametrize(
    ("name", "documents", "queries", "judgements", "relevant"),
    [("scifact", 5183, 300, 339, 339), ("cranfield", 1400, 225, 1837, 1612), ("cacm", 3204, 52, 796, 796)],
)
def test_published_counts(
    shared_data: Callable[[str], Path], name: str, documents: int, queries: int, judgements: int, relevant: int
) -> None:
    folder = shared_data(name)
    found = read_judgements(folder, "test")
    assert sum(1 for _ in read_documents(folder)) == documents
    assert len({one.query_id for one in found}) == queries
    assert len(found) == judgements
    assert sum(one.grade > 0 for one in found) == relevant
