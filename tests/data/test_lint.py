"""What is found in training examples, and what leaks from them into a held-out set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.examples import Examples, read_examples
from vicino.data.judged import read_judgements, read_queries
from vicino.data.leakage import leakage
from vicino.data.lint import Lint, lint
from vicino.data.splits import group_queries
from vicino.data.text import Analyzer
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnknownName


def pairs(n: int, *more: tuple[str, str]) -> Examples:
    """n pairs in which nothing is wrong, and some more."""
    made = [(f"question{i} about{i} wings{i}", f"answer{i} tells{i} of{i} lift{i}") for i in range(n)] + list(more)
    return Examples("pairs", [anchor for anchor, _ in made], [positive for _, positive in made])


def count(texts: Sequence[str]) -> np.ndarray:
    return np.array([len(text.split()) for text in texts])


def names(found: Lint) -> list[str]:
    return [one.name for one in found.findings]


# The training set by itself -------------------------------------------------------------------------------------------


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    found = lint(pairs(600), held_out=Examples("pairs", ["something else"], ["entirely"]), count_tokens=count, limit=4)
    assert names(found) == ["clean", "loss"]
    assert found.clean.tolist() == [0]
    assert found.problems == ()
    assert found["loss"].sentence == f"loss by default: info_nce; {pairs(1).loss_by_default.why}"


def test_repeats_exact_and_near() -> None:
    some = pairs(2, ("wings lift an aeroplane", "lift is a force upward"), ("Wings  LIFT an aeroplane", "lift is a force upward"))
    near = (
        ("an aeroplane: wings lift!", "upward, lift is a force"),
        ("wings lift an aeroplane", "tea"),
        ("tea", "lift is a force"),
    )
    turned = ("lift is a force upward", "wings lift an aeroplane")
    found = lint(pairs(2, *zip(some.anchors[2:], some.positives[2:], strict=True), *near, turned))
    assert (found["repeats"].rows, found["repeats"].severity, found["repeats"].share) == ((3, 7), "warning", 2 / 8)
    assert found["near repeats"].rows == (4,)  # both texts must be near: one is not enough
    assert "repeats an earlier one" in lint(pairs(2, ("a", "b"), ("a", "b")))["repeats"].sentence
    assert lint(pairs(600, ("a", "b"), ("a", "b")))["repeats"].severity == "note"  # under 1 %


def test_conflicts_are_of_the_same_two_texts_in_any_order() -> None:
    anchors, positives = ["a b", "c", "A b", "c", "x", "y"], ["c", "a b", "c", "d", "y", "x"]
    scored = Examples("scored", anchors, positives, scores=np.float32([1, 1, 4, 4, 2, 2]))
    assert lint(scored)["conflicts"].rows == (0, 1, 2)
    assert lint(scored)["repeats"].rows == (1, 5)
    labelled = Examples("labelled", anchors, positives, labels=np.array([1, 1, 1, 0, 1, 0]))
    assert lint(labelled)["conflicts"].rows == (4, 5)
    classes = Examples("classes", ["a", "b", "A", "b"], labels=np.array([0, 1, 2, 1]), class_names=["x", "y", "z"])
    assert lint(classes)["conflicts"].rows == (0, 2)
    assert lint(classes)["repeats"].rows == (3,)


def test_a_positive_that_stands_as_negative_of_its_anchor() -> None:
    anchors = ["q1", "q1", "q2", "q3", "q4"]
    positives = ["p1", "p2", "p3", "p4", "p5"]
    negatives = [["n", "P2"], [], ["p1"], ["n", "q3"], ["p5"]]  # p2 answers q1 in another row, p1 does not answer q2
    found = lint(Examples("triplets", anchors, positives, negatives))
    assert (found["positive as negative"].rows, found["positive as negative"].severity) == ((0, 3, 4), "problem")
    assert found["no negatives"].rows == (1,)
    assert "positive as negative" not in lint(Examples("triplets", anchors, positives, [["n"]] * 5))


def test_false_negatives_within_a_batch() -> None:
    anchors, positives = ["q1", "q2", "q1", "q3", "q4", "q4"], ["a", "A", "b", "c", "d", "d"]
    found = lint(Examples("pairs", anchors, positives))
    assert found["shared positives"].rows == (0, 1)
    assert found["several positives"].rows == (0, 2)  # the same pair twice is a repeat, and nothing else
    labelled = Examples("labelled", [*anchors, "q5"], [*positives, "a"], labels=np.array([1, 1, 1, 1, 1, 1, 0]))
    assert "shared positives" not in lint(labelled)  # learnt by cosines, without a batch
    with_negatives = Examples("labelled", anchors, positives, labels=np.array([1, 1, 0, 1, 1, 1]))
    assert with_negatives.loss_by_default.loss == "cosine_regression"
    half = Examples("labelled", ["q1", "q1", "q2", "q2"], ["a", "b", "a", "c"], labels=np.array([1, 0, 1, 0]))
    assert lint(half)["shared positives"].rows == (0, 2)  # b and c are meant as negatives
    assert "several positives" not in lint(half)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("bcdef")), min_size=1, max_size=12))
def test_counts_against_a_plain_search(rows: list[tuple[str, str]]) -> None:
    found = lint(Examples("pairs", *map(list, zip(*rows, strict=True))))
    expected = {
        "repeats": [i for i, one in enumerate(rows) if {*one} in [{*other} for other in rows[:i]]],
        "anchor is positive": [i for i, (a, b) in enumerate(rows) if a == b],
        "shared positives": [i for i, (a, b) in enumerate(rows) if any(b == d and a != c for c, d in rows)],
        "several positives": [i for i, (a, b) in enumerate(rows) if any(a == c and b != d for c, d in rows)],
    }
    for name, wanted in expected.items():
        assert (found[name].rows if name in found else ()) == tuple(wanted[:5])
        assert (found[name].count if name in found else 0) == len(wanted)


def test_texts_beyond_the_limit() -> None:
    examples = Examples(
        "triplets", ["a b", "a b", "c"], ["a b c d e", "f", "a b c d e"], [["g"], [], ["a b c d", "a b c", "a b c d"]]
    )
    found = lint(examples, count_tokens=count, limit=3)
    assert "long anchors" not in found
    assert (found["long positives"].count, found["long positives"].share, found["long positives"].rows) == (2, 2 / 3, (0, 2))
    assert "36% of all tokens are cut off" in found["long positives"].sentence  # 4 of 11
    assert found["long positives"].severity == "warning"
    assert (found["long negatives"].count, found["long negatives"].rows) == (2, (2,))
    with pytest.raises(DimensionMismatch, match="count_tokens gave"):
        lint(examples, count_tokens=lambda texts: [1], limit=3)
    for wrong in ({"limit": 3}, {"count_tokens": count}, {"count_tokens": count, "limit": 0}):
        with pytest.raises(InputError, match="limit"):
            lint(examples, **wrong)


def test_one_sided_texts() -> None:
    assert lint(Examples("pairs", ["a", "b"], ["x " * 8, "y " * 9]))["one-sided"].severity == "note"
    assert "one-sided" not in lint(Examples("pairs", ["a", "b"], ["x " * 7, "y " * 7]))
    assert lint(Examples("pairs", ["q", "q"], ["a", "b"]))["one text for all anchors"].severity == "problem"
    assert lint(Examples("pairs", ["q", "r"], ["a", "A"]))["one text for all positives"].severity == "problem"


def test_too_few_and_all_of_one_sort() -> None:
    assert [lint(pairs(n))["few examples"].severity for n in (2, 49, 50, 499)] == ["problem", "problem", "warning", "warning"]
    assert "few examples" not in lint(pairs(500))
    repeated = lint(pairs(0, *[("a", "b"), ("c", "d")] * 300))
    assert (repeated["few examples"].count, repeated["few examples"].severity) == (2, "problem")
    texts = ["a", "b", "c"]
    assert "one score" in lint(Examples("scored", texts, texts[::-1], scores=np.float32([2, 2, 2])))
    assert lint(Examples("labelled", texts, texts[::-1], labels=np.array([1, 1, 1])))["one label"].severity == "note"
    assert lint(Examples("labelled", texts, texts[::-1], labels=np.array([0, 0, 0])))["one label"].severity == "problem"
    assert lint(Examples("classes", texts, labels=np.array([1, 1, 1]), class_names=["x", "y"]))["one class"].severity == "problem"
    assert lint(Examples("classes", texts, labels=np.array([1, 0, 1]), class_names=["x", "y"]))["lonely classes"].rows == (1,)
    with pytest.raises(EmptyInput):
        lint(pairs(0))


def test_what_reading_left_out_is_told(tmp_path: Path) -> None:
    rows = [{"query": "a", "answer": "b"}, {"query": "c", "answer": "d"}, {"query": "", "answer": "d"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = lint(read_examples(tmp_path / "a.jsonl"))
    assert found["left out"].sentence == "left out when reading: no text (1)"
    assert found["left out"].share == pytest.approx(1 / 3)


def test_findings_are_told_worst_first_and_as_plain_data() -> None:
    found = lint(pairs(2, ("a", "b"), ("a", "b")))
    order = [one.severity for one in found.findings]
    assert order == sorted(order, key=["problem", "warning", "note"].index)
    assert [one.name for one in found.problems] == ["few examples"]
    assert "warning: 1 of 4 rows repeats an earlier one (rows 3)\n  → leave repeats out" in str(found)
    assert json.loads(json.dumps(found.to_json()))[0]["name"] == "few examples"
    with pytest.raises(UnknownName, match="no finding named 'repeat'\n  → did you mean repeats"):
        found["repeat"]


# Leakage --------------------------------------------------------------------------------------------------------------


def test_leakage_by_hand() -> None:
    train = Examples("triplets", ["wings lift an aeroplane", "tea?"], ["Lift is a force.", "A drink."], [["a hard negative"], []])
    anchors = [
        "Wings LIFT an aeroplane",
        "an aeroplane, lift its wings",
        "what is mate?",
        "what is mate?",
        "who sings?",
        "a drink.",
    ]
    positives = ["one", "two", "a  drink.", "three", "a hard negative", "four"]
    overlap = leakage(train, Examples("pairs", anchors, positives))
    seen = {kind: np.flatnonzero(mask).tolist() for kind, mask in overlap.seen.items()}
    assert seen == {"exact texts": [0, 5], "near texts": [1], "shared documents": [2], "near documents": []}
    assert overlap.queries[2] == overlap.queries[3]
    assert overlap.clean.tolist() == [4]  # row 3 asks what row 2 asks; negatives of the training set belong to nobody
    assert (overlap.n_queries, overlap.count("exact texts")) == (5, 2)


def test_what_is_labelled_wrong_may_stand_on_both_sides() -> None:
    train = Examples("labelled", ["q1", "q1"], ["right", "wrong"], labels=np.array([1, 0]))
    held_out = Examples("labelled", ["q2", "q3", "q4"], ["wrong", "right", "right"], labels=np.array([1, 1, 0]))
    overlap = leakage(train, held_out)
    assert overlap.seen["shared documents"].tolist() == [False, True, False]
    assert overlap.clean.tolist() == [0, 2]


def test_queries_with_ids_are_told_apart_by_them() -> None:
    held_out = Examples("pairs", ["q", "q", "r"], ["a", "b", "c"], query_ids=["1", "2", "1"])
    overlap = leakage(Examples("pairs", ["x", "y"], ["a", "z"]), held_out)
    assert overlap.clean.tolist() == [1]


def test_classes_and_nothing_at_all() -> None:
    train = Examples("classes", ["a", "b"], labels=np.array([0, 1]), class_names=["x", "y"])
    held_out = Examples("classes", ["A", "c"], labels=np.array([0, 1]), class_names=["x", "y"])
    assert leakage(train, held_out).clean.tolist() == [1]
    found = lint(train, held_out=held_out)
    assert found["leak: exact texts"].sentence == "1 of 2 held-out texts stand word by word in the training set"
    assert found["clean"].severity == "problem"  # one is too few to judge by
    assert leakage(train, held_out.subset([])).clean.tolist() == []


words = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5).map(" ".join)
some_pairs = st.lists(st.tuples(words, words), min_size=1, max_size=6)


@given(some_pairs, some_pairs)
def test_leakage_against_a_plain_search(train: list[tuple[str, str]], asked: list[tuple[str, str]]) -> None:
    def likeness(left: str, right: str) -> float:
        a, b = (set(Analyzer().terms(text)) for text in (left, right))
        return len(a & b) / len(a | b) if a | b else 0.0

    known = [text for pair in train for text in pair]

    def touched(text: str) -> bool:
        return text in known or any(likeness(text, other) >= 0.8 for other in known)

    overlap = leakage(*(Examples("pairs", *map(list, zip(*rows, strict=True))) for rows in (train, asked)), threshold=0.8)
    dirty = {anchor for anchor, positive in asked if touched(anchor) or touched(positive)}
    assert overlap.clean.tolist() == [row for row, (anchor, _) in enumerate(asked) if anchor not in dirty]
    assert overlap.seen["exact texts"].tolist() == [anchor in known for anchor, _ in asked]
    assert overlap.seen["shared documents"].tolist() == [positive in known for _, positive in asked]


def test_scifact_leaks(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("scifact")
    train, test = (read_examples(folder, split=split) for split in ("train", "test"))
    found = lint(train, held_out=test)
    assert (found["leak: shared documents"].count, found["leak: shared documents"].severity) == (196, "problem")
    assert (found["leak: exact texts"].count, found["leak: near texts"].count) == (2, 114)
    assert found["leak: exact texts"].severity == "warning"  # under 1 %
    clean = test.subset(found.clean)
    assert len(set(clean.query_ids)) == found["clean"].count == 103  # 104 share no document; one of them nearly repeats a claim
    assert not set(clean.document_ids) & set(train.document_ids)
    # groups keep together what leaks: no group has a clean test query and a training query
    judged = [one for split in ("train", "test") for one in read_judgements(folder, split)]
    asked = {one.query_id for one in judged}
    queries = [one for one in read_queries(folder) if one.id in asked]
    group = dict(zip([one.id for one in queries], group_queries(queries, judged).tolist(), strict=True))
    assert (len(queries), len(set(group.values()))) == (1109, 571)
    assert not {group[one] for one in clean.query_ids} & {group[one] for one in train.query_ids}
