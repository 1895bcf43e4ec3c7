"""Training examples from tables and judged folders."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.example_rows import Parts, parts_of
from vicino.data.examples import Examples, joined, read_examples, splits_in
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName, UnreadableSource

Write = Callable[[str, list[dict[str, Any]]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Rows as a file of JSON lines, compressed as its name says."""

    def rows_to(name: str, rows: list[dict[str, Any]]) -> Path:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        packed = {".gz": gzip.compress, ".xz": lzma.compress}.get(Path(name).suffix, bytes)(data)
        (tmp_path / name).write_bytes(packed)
        return tmp_path / name

    return rows_to


PAIRS = [{"query": "what lifts?", "answer": "Wings lift."}, {"query": "what is tea?", "answer": "A drink."}]


# Which column is what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("anchor positive", Parts("anchor", "positive")),
        ("id QUESTION Answer", Parts("QUESTION", "Answer")),
        ("title body", Parts("title", "body")),
        ("Title Text", Parts("Title", "Text")),
        ("text1 text2 similarity", Parts("text1", "text2", score="similarity")),
        ("score sentence1 sentence2 genre", Parts("sentence1", "sentence2", score="score")),
        ("question1 question2 is_duplicate", Parts("question1", "question2", score="is_duplicate")),
        ("query pos neg", Parts("query", "pos", ("neg",))),
        ("query passage hard_negative_10 hard_negative_9", Parts("query", "passage", ("hard_negative_9", "hard_negative_10"))),
        ("query positive negative score", Parts("query", "positive", ("negative",))),  # scores of what? nobody asked for them
        ("text label", Parts("text", score="label")),
        ("question category", Parts("question", score="category")),
        ("sentence label", Parts("sentence", score="label")),
        ("title label", Parts("title", score="label")),
        ("query title text", Parts("query", "text")),
        ("intent rewritten_intent snippet", Parts("intent", "snippet")),
        ("text description category", Parts("text", score="category")),
    ],
)
def test_columns_are_recognised_by_name(names: str, expected: Parts) -> None:
    assert parts_of({}, names.split()) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"anchor": "b", "positive": "a"}, Parts("b", "a")),  # named in full: the score is left alone
        ({"anchor": "b", "positive": "a", "score": "score"}, Parts("b", "a", score="score")),
        ({"anchor": "b", "positive": "a", "negative": ["c", "negative"]}, Parts("b", "a", ("c", "negative"))),
        ({"anchor": "b"}, Parts("b", "a", ("negative",))),
        ({"anchor": "b", "score": "score"}, Parts("b", "a", score="score")),  # asked for, so it is meant
        ({"text": "c"}, Parts("c", score="score")),
        ({"text": "c", "label": "b"}, Parts("c", score="b")),
    ],
)
def test_columns_that_are_named_come_first(asked: dict[str, Any], expected: Parts) -> None:
    assert parts_of(asked, ["a", "b", "c", "negative", "score"]) == expected


@pytest.mark.parametrize(
    ("asked", "names", "message"),
    [
        ({"anchor": "quary"}, "query answer", "no column named 'quary'\n  → did you mean query\\? There are: answer, query"),
        ({"anker": "query"}, "query answer", "no part of an example named 'anker'\n  → There are: anchor, label"),
        ({}, "url size", "hold the anchor of an example among: url, size"),
        ({}, "query size", "hold the positive of an example among: query, size"),
        ({"text": "words"}, "words size", "hold the label of an example among: words, size"),
        ({}, "negative score", "hold the anchor"),
        ({}, "title text label", "title, text and label may be a pair with a score, or a text with a class\n  → say which"),
        ({"score": ["s", "t"]}, "query answer s t", "score from 2 columns: s, t"),
        ({"score": "s", "negative": "t"}, "query answer s t", "a score has no use beside negatives"),
        ({"text": "query", "positive": "answer"}, "query answer", "one text with a class, or a pair"),
    ],
)
def test_what_is_not_recognised_lists_the_columns(asked: dict[str, Any], names: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parts_of(asked, names.split())


# Kinds ----------------------------------------------------------------------------------------------------------------


def test_pairs(write: Write) -> None:
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.xz"):
        examples = read_examples(write(name, PAIRS))
        assert (examples.kind, len(examples)) == ("pairs", 2)
        assert examples.anchors == ["what lifts?", "what is tea?"]
        assert examples.positives == ["Wings lift.", "A drink."]
        assert examples.negatives is examples.scores is examples.labels is None
        assert examples.lines.tolist() == [1, 2]
        assert examples.notes == ("anchor from query; positive from answer",)
        assert not examples.left_out
        assert examples.loss_by_default.loss == "info_nce"
        with pytest.raises(InputError, match="no targets"):
            assert examples.targets


def test_triplets_of_one_or_several_negatives(write: Write) -> None:
    rows = [
        {"query": "q1", "positive": "p1", "negative_2": "n2", "negative_1": "n1"},
        {"query": "q2", "positive": "p2", "negative_1": None, "negative_2": " "},
        {"query": "q3", "positive": ["p3", "p4"], "negatives": ["n3", "", "n4"]},  # lists, as FlagEmbedding writes them
        {"query": "q4", "positive": "p5"},
    ]
    examples = read_examples(write("a.jsonl", rows))
    assert examples.kind == "triplets"
    assert examples.anchors == ["q1", "q2", "q3", "q3", "q4"]
    assert examples.positives == ["p1", "p2", "p3", "p4", "p5"]
    assert examples.negatives == [["n1", "n2"], [], ["n3", "n4"], ["n3", "n4"], []]
    assert examples.lines.tolist() == [1, 2, 3, 3, 4]
    assert examples.loss_by_default.loss == "info_nce"


def test_scored_pairs_and_their_scale(tmp_path: Path) -> None:
    path = tmp_path / "sts.tsv"
    path.write_text('score\tsentence1\tsentence2\n5.0\ta "b\tb\n2.5\tc\td\n0\te\tf\nnan\tx\ty\n1e39\tx\ty\n\tx\ty\nhigh\tx\ty\n')
    examples = read_examples(path)
    assert examples.kind == "scored"
    assert examples.scores.dtype == np.float32
    assert examples.scores.tolist() == [5.0, 2.5, 0.0]
    assert examples.targets.tolist() == [1.0, 0.5, 0.0]
    assert examples.subset([1]).targets.tolist() == [0.5]  # the scale is the whole set's
    assert examples.anchors[0] == 'a "b'
    assert examples.left_out == {"a score or label that is neither a number nor true or false": 4}
    assert "skipped 4" in examples.notes[1]
    assert examples.loss_by_default.loss == "cosine_regression"
    assert "scaled" in examples.loss_by_default.why


@pytest.mark.parametrize(
    ("scores", "targets"), [([-1, 0.5], [-1, 0.5]), ([0.2, 0.9], [0.2, 0.9]), ([-2, 2, 6], [0, 0.5, 1]), ([1, 4], [0.25, 1])]
)
def test_targets_are_what_a_cosine_can_be(scores: list[float], targets: list[float]) -> None:
    texts = [str(score) for score in scores]
    assert Examples("scored", texts, texts, scores=np.float32(scores)).targets.tolist() == pytest.approx(targets)


@pytest.mark.parametrize(("no", "yes"), [(0, 1), ("0", "1.0"), (False, True), ("False", "true")])
def test_labelled_pairs(write: Write, no: object, yes: object) -> None:
    rows = [
        {"query": "q1", "passage": "p1", "label": yes},
        {"query": "q1", "passage": "n1", "label": no},
        {"query": "q2", "passage": "p2", "label": yes},
        {"query": "q1", "passage": "n2", "label": no},
        {"query": "q3", "passage": "n3", "label": no},
    ]
    examples = read_examples(write("a.jsonl", rows))
    assert examples.kind == "labelled"
    assert examples.labels.tolist() == [1, 0, 1, 0, 0]
    assert examples.targets.tolist() == [1, 0, 1, 0, 0]
    assert examples.loss_by_default.loss == "info_nce"
    assert "1 of 2 anchors" in examples.loss_by_default.why
    triplets = examples.as_triplets()
    assert (triplets.kind, triplets.anchors, triplets.positives) == ("triplets", ["q1", "q2"], ["p1", "p2"])
    assert triplets.negatives == [["n1", "n2"], []]
    assert triplets.lines.tolist() == [1, 3]
    assert triplets.as_triplets() is triplets


def test_labels_whose_zeros_are_no_anchors_negatives(write: Write) -> None:
    rows = [{"text1": f"a{n}", "text2": f"b{n}", "label": n % 2} for n in range(6)]
    examples = read_examples(write("a.jsonl", rows))
    assert examples.loss_by_default.loss == "cosine_regression"
    assert examples.as_triplets().kind == "pairs"
    all_one = read_examples(write("b.jsonl", [row | {"label": 1} for row in rows]))
    assert all_one.loss_by_default.loss == "info_nce"
    with pytest.raises(InputError, match="no positives: every label is 0"):
        read_examples(write("c.jsonl", [row | {"label": 0} for row in rows]))


def test_classes(write: Write) -> None:
    rows = [{"text": f"t{n}", "label": ["b", "a", True, 3][n % 4]} for n in range(8)] + [{"text": "t", "label": None}]
    examples = read_examples(write("a.jsonl", rows))
    assert examples.kind == "classes"
    assert examples.class_names == ["3", "True", "a", "b"]
    assert examples.labels.tolist() == [3, 2, 1, 0] * 2
    assert len(examples.positives) == 0
    assert examples.left_out == {"no class": 1}
    assert examples.loss_by_default.loss == "batch_triplets"
    assert examples.subset([0, 1, 2]).loss_by_default.loss == "softmax_classification"
    with pytest.raises(InputError, match="hold no positives"):
        examples.as_triplets()


def test_parquet_and_what_its_reader_leaves(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [{"query": "q1", "positive": "p1", "negatives": ["n"]}, {"query": "q2", "positive": "p2", "negatives": []}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    examples = read_examples(path)
    assert (examples.kind, examples.anchors) == ("pairs", ["q1", "q2"])
    assert examples.left_out == {"the column negatives: its cells hold lists, which are read from .jsonl only": 1}


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=2, max_size=8))
def test_texts_come_back(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    rows = [{"anchor": "first", "positive": "second"}, *({"anchor": a, "positive": b} for a, b in pairs)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]), encoding="utf-8")
    examples = read_examples(path)
    kept = [(a, b) for a, b in pairs if a.strip() and b.strip()]
    assert list(zip(examples.anchors[1:-1], examples.positives[1:-1], strict=True)) == kept
    assert sum(examples.left_out.values()) == len(pairs) - len(kept)


# Bad input ------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_learnt_from_is_counted(tmp_path: Path) -> None:
    lines = [json.dumps(row).encode() for row in PAIRS]
    lines += [b'{"query": "q", "answer": ""}', b'{"query": "q", "answer": null}', b'{"query": ["a", "b"], "answer": "c"}']
    lines += [b'{"query": {"a": 1}, "answer": "c"}', b'{"query": true, "answer": "c"}', b'{"query": 7, "answer": 8}']
    lines += [
        b'{"query": "\xff", "answer": "c"}',
        b'{"query": ',
        b'{"question": "other name", "answer": "c"}',
        b'{"q": "no partner"}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    examples = read_examples(tmp_path / "a.jsonl")
    assert examples.anchors == ["what lifts?", "what is tea?", "7", "other name"]
    assert examples.left_out == {
        "no text": 2,
        "several anchors in a row": 1,
        "text that is not a string": 2,
        "bytes that are not UTF-8": 1,
        "broken JSON": 1,
        "other columns than the first row's": 1,
    }
    assert "broken JSON (1, first a.jsonl line 10)" in examples.notes[1]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([], EmptyInput, "holds no examples"),
        (PAIRS[:1], InputError, "holds one example"),
        ([{"anchor": "a", "positive": "a"}] * 3, InputError, "all texts of .* are the same: 'a'"),
        ([{"text": "a", "label": n} for n in range(3)], InputError, "are the same"),
        (
            [{"query": "a", "answer": ""}] * 3,
            UnreadableSource,
            r"no example that could be read; skipped 3: no text \(3, first a.jsonl",
        ),
        (
            [{"premise": "a", "hypothesis": "b", "label": "neutral"}] * 3,
            UnreadableSource,
            "give numbers; where texts have classes",
        ),
        ([{"url": "a", "size": 3}], UnreadableSource, "a.jsonl: no column is known to hold the anchor .* among: url, size"),
    ],
)
def test_files_that_teach_nothing(write: Write, rows: list[dict[str, Any]], error: type[InputError], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        read_examples(write("a.jsonl", rows))
    assert raised.value.mend


def test_columns_that_are_asked_for_and_not_there(write: Write) -> None:
    with pytest.raises(UnknownName, match=r"a\.jsonl: there is no column named 'ansver'\n  → did you mean answer"):
        read_examples(write("a.jsonl", PAIRS), columns={"anchor": "query", "positive": "ansver"})
    turned = read_examples(write("a.jsonl", PAIRS), columns={"anchor": "answer", "positive": "query"})
    assert turned.anchors == ["Wings lift.", "A drink."]


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match=r"there is no .*a\.csv"):
        read_examples(tmp_path / "a.csv")
    (tmp_path / "a.txt").write_text("prose")
    with pytest.raises(UnreadableSource, match="not a table of examples"):
        read_examples(tmp_path / "a.txt")
    (tmp_path / "b.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(UnreadableSource, match=r"b\.jsonl\.gz: not valid compressed data"):
        read_examples(tmp_path / "b.jsonl.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmptyInput, match="holds no examples"):
        read_examples(tmp_path / "empty")


# Examples -------------------------------------------------------------------------------------------------------------


def test_a_subset_takes_every_column_along() -> None:
    examples = Examples(
        "triplets", ["a", "b", "c"], ["d", "e", "f"], [["x"], [], ["y"]], query_ids=["1", "2", "3"], document_ids=["4", "5", "6"]
    )
    for rows in ([2, 0], np.array([2, 0])):
        some = examples.subset(rows)
        assert (some.anchors, some.positives, some.negatives) == (["c", "a"], ["f", "d"], [["y"], ["x"]])
        assert (some.query_ids, some.document_ids) == (["3", "1"], ["6", "4"])
    assert examples.subset(np.array([False, True, False])).anchors == ["b"]
    assert len(examples.subset([])) == 0
    with pytest.raises(DimensionMismatch, match="a mask"):
        examples.subset([True, False])


def test_columns_that_do_not_fit_are_named() -> None:
    with pytest.raises(DimensionMismatch, match="2 anchors and 1 positives"):
        Examples("pairs", ["a", "b"], ["c"])
    with pytest.raises(InputError, match="kind scored lack their scores"):
        Examples("scored", ["a", "b"], ["c", "d"])


# Folders --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def beir(write: Write, tmp_path: Path) -> Path:
    write(
        "corpus.jsonl", [{"_id": f"d{n}", "title": f"T{n}", "text": f"text {n}"} for n in range(4)] + [{"_id": "d9", "text": ""}]
    )
    write("queries.jsonl", [{"_id": f"q{n}", "text": f"query {n}"} for n in range(3)])
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq0\td1\t2\nq2\td3\t1\n")
    return tmp_path


def test_a_beir_split(beir: Path) -> None:
    examples = read_examples(beir)
    assert (examples.kind, examples.anchors) == ("pairs", ["query 0", "query 0", "query 2"])
    assert examples.positives == ["T0\ntext 0", "T1\ntext 1", "T3\ntext 3"]
    assert (examples.query_ids, examples.document_ids) == (["q0", "q0", "q2"], ["d0", "d1", "d3"])
    assert [one.id for one in examples.corpus.documents] == ["d0", "d1", "d2", "d3", "d9"]
    assert [one.id for one in examples.corpus.queries] == ["q0", "q2"]
    assert examples.corpus.qrels == {"q0": {"d0": 1, "d1": 2}, "q2": {"d3": 1}}
    assert examples.subset([2]).corpus is examples.corpus


def test_documents_judged_wrong_are_negatives_and_dangling_judgements_counted(beir: Path) -> None:
    (beir / "qrels" / "train.tsv").write_text("q0\td0\t1\nq0\td2\t0\nq1\td2\t1\nq1\td7\t1\nq1\td9\t1\nq7\td1\t1\n")
    examples = read_examples(beir)
    assert (examples.kind, examples.positives) == ("triplets", ["T0\ntext 0", "T2\ntext 2"])
    assert examples.negatives == [["T2\ntext 2"], []]
    assert examples.left_out == {
        "a judgement of a document that is not there": 1,
        "a judgement of a document without text": 1,
        "a judgement of a query that is not there": 1,
    }


def test_splits_that_are_not_there(beir: Path) -> None:
    with pytest.raises(UnknownName, match="no split named 'dev'\n  → There are: train"):
        read_examples(beir, split="dev")
    with pytest.raises(InputError, match="no columns to choose"):
        read_examples(beir, columns={"anchor": "text"})
    (beir / "qrels" / "train.tsv").write_text("q0\td0\t0\n")
    with pytest.raises(EmptyInput, match="no relevant document"):
        read_examples(beir)


def test_a_folder_of_tables_by_split(write: Write, tmp_path: Path) -> None:
    write("train.jsonl.gz", PAIRS)
    (tmp_path / "dev.csv").write_text("query,answer\na,b\nc,d\ne,f\n")
    assert [len(read_examples(tmp_path, split=split)) for split in ("train", "dev")] == [2, 3]
    with pytest.raises(UnknownName, match="There are: dev, train"):
        read_examples(tmp_path, split="test")
    write("train.jsonl", PAIRS)
    with pytest.raises(InputError, match=r"more than once: train\.jsonl, train\.jsonl\.gz"):
        read_examples(tmp_path)


@pytest.mark.parametrize(("name", "kind", "n"), [("scifact", "pairs", 919), ("stsb", "scored", 5749), ("conala", "pairs", 2378)])
def test_published_counts(shared_data: Callable[[str], Path], name: str, kind: str, n: int) -> None:
    examples = read_examples(shared_data(name))
    assert (examples.kind, len(examples)) == (kind, n)
    assert not examples.left_out


def test_splits_are_joined():
    first = Examples("scored", ["a"], ["b"], scores=np.float32([1]))
    second = Examples("scored", ["c"], ["d"], scores=np.float32([5]))
    whole = joined([first, second])
    assert (whole.anchors, whole.positives, whole.scale) == (["a", "c"], ["b", "d"], (1.0, 5.0))
    assert whole.targets.tolist() == pytest.approx([0.2, 1.0])
    assert joined([first]) is first
    with pytest.raises(InputError, match="several kinds"):
        joined([first, Examples("pairs", ["a"], ["b"])])


def test_judged_splits_are_joined(tmp_path):
    (tmp_path / "qrels").mkdir()
    texts = ["wings lift", "tea steeps", "so does mate"]
    corpus = [json.dumps({"_id": str(number), "text": text}) for number, text in enumerate(texts, start=1)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(corpus))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "lift?"}\n{"_id": "p", "text": "steep?"}\n')
    for split, rows in {"train": "q\t1\t1\nq\t2\t1\n", "test": "p\t1\t0\np\t2\t1\np\t3\t1\n"}.items():
        (tmp_path / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    assert splits_in(tmp_path) == {"train", "test"}
    whole = joined([read_examples(tmp_path, split=split) for split in ("train", "test")])
    assert whole.query_ids == ["q", "q", "p", "p"]
    assert whole.negatives == [[], [], ["wings lift"], ["wings lift"]]
    assert set(whole.corpus.qrels) == {"q", "p"}
    again = replace(whole, corpus=replace(whole.corpus, qrels={"q": {"3": 2}}))
    assert joined([whole, again]).corpus.qrels["q"] == {"1": 1, "2": 1, "3": 2}
    assert len(whole.corpus.documents) == 3
    with pytest.raises(InputError, match="several kinds"):
        joined([whole, Examples("pairs", ["a"], ["b"])])


def test_splits_of_a_folder_of_tables(tmp_path):
    for name in ("train.tsv", "dev.csv.gz", "notes.txt"):
        (tmp_path / name).write_text("a\tb\n")
    assert splits_in(tmp_path) == {"train", "dev"}
    assert splits_in(tmp_path / "train.tsv") == set()
