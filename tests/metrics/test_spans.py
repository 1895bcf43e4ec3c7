"""Spans of words: by hand, against another way to read tags, and through both directions."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.errors import DimensionMismatch, EmptyInput, InputError
from vicino.metrics.spans import OUTSIDE, Span, as_tags, by_type, count_spans, f1_of_counts, spans_of

TAGS = st.lists(st.sampled_from([OUTSIDE, *(f"{letter}-{kind}" for letter in "BIES" for kind in ("PER", "LOC"))]), max_size=12)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O B-PER I-PER O B-LOC", [(1, 3, "PER"), (4, 5, "LOC")]),  # BIO
        ("I-PER I-PER O I-LOC B-LOC I-LOC", [(0, 2, "PER"), (3, 4, "LOC"), (4, 6, "LOC")]),  # B only after its own type
        ("I-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")]),  # IO
        ("B-PER E-PER S-LOC B-LOC I-LOC E-LOC", [(0, 2, "PER"), (2, 3, "LOC"), (3, 6, "LOC")]),  # IOBES
        ("O I-PER I-PER O", [(1, 3, "PER")]),  # what does not fit together: I without B
        ("B-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")]),  # another type
        ("S-PER I-PER", [(0, 1, "PER"), (1, 2, "PER")]),  # nothing goes on after an end
        ("B-PER S-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("E-PER", [(0, 1, "PER")]),
        ("B-A-B I-A-B", [(0, 2, "A-B")]),  # the first dash parts
        ("O", []),
        ("", []),
    ],
)
def test_spans_are_those_that_conlleval_sees(tags, spans):
    assert [tuple(span) for span in spans_of(tags.split())] == spans


@given(TAGS)
def test_spans_are_what_a_pattern_finds(tags):
    """Another way to read tags: two characters a word, letter and type, and spans as matches of a pattern."""
    written = "".join("OO" if tag == OUTSIDE else tag[0] + tag[2] for tag in tags)
    found = []
    for kind, name in (("P", "PER"), ("L", "LOC")):
        one = rf"S{kind}|[BI]{kind}(?:I{kind})*(?:E{kind})?|E{kind}"
        at = 0
        while at < len(written):  # at even places only, where words begin
            match = re.compile(one).match(written, at)
            if match and written[at] != "O":
                found.append((at // 2, match.end() // 2, name))
                at = match.end()
            else:
                at += 2
    assert [tuple(span) for span in spans_of(tags)] == sorted(found)


@given(TAGS)
def test_tags_of_spans_are_read_back_as_the_same_spans(tags):
    spans = spans_of(tags)
    again = as_tags(spans, len(tags))
    assert spans_of(again) == spans
    assert len(again) == len(tags)


@given(st.lists(st.tuples(TAGS, TAGS).map(lambda pair: (pair[0], [*pair[1], *pair[0]][: len(pair[0])])), min_size=1, max_size=5))
def test_f1_is_the_harmonic_mean_of_precision_and_recall_and_the_same_from_both_sides(pairs):
    truth, told = ([spans_of(pair[side]) for pair in pairs] for side in (0, 1))
    right, said, there = count_spans(truth, told).sum(axis=0).tolist()
    by_hand = 0.0 if not right else 2 / (said / right + there / right)
    assert f1_of_counts([right, said, there]) == pytest.approx(by_hand)
    assert f1_of_counts(count_spans(told, truth).sum(axis=0)) == f1_of_counts([right, said, there])
    if there:
        assert f1_of_counts(count_spans(truth, truth).sum(axis=0)) == 1


def test_f1_worked_by_hand():
    truth = [spans_of(["B-PER", "I-PER", "O", "B-LOC"]), spans_of(["O", "B-PER"])]
    told = [spans_of(["B-PER", "O", "O", "B-LOC"]), spans_of(["B-LOC", "B-PER"])]
    counts = count_spans(truth, told)  # one span is short a word, one was made up
    assert counts.tolist() == [[1, 2, 2], [1, 2, 1]]
    assert f1_of_counts(counts.sum(axis=0)) == pytest.approx(2 * 2 / (4 + 3))
    np.testing.assert_allclose(f1_of_counts(counts), [0.5, 2 / 3])
    table = by_type(truth, told)
    assert table["PER"] == pytest.approx((0.5, 0.5, 0.5, 2))
    assert table["LOC"] == pytest.approx((0.5, 1.0, 2 / 3, 1))
    assert by_type([spans_of(["B-PER"])], [[]])["PER"] == (0.0, 0.0, 0.0, 1)
    assert f1_of_counts([0, 0, 0]) == 0


def test_bad_input_is_named():
    for tag in ("X-PER", "B", "B-", "", "PER", "-PER", "BI-PER"):
        with pytest.raises(InputError, match="is no tag"):
            spans_of([tag])
    for span in (Span(0, 3, "PER"), Span(1, 1, "PER"), Span(-1, 1, "PER")):
        with pytest.raises(InputError, match="cannot be a span"):
            as_tags([span], 2)
    with pytest.raises(InputError, match="cannot be a span"):
        as_tags([Span(0, 2, "PER"), Span(1, 2, "LOC")], 3)
    with pytest.raises(DimensionMismatch):
        count_spans([[]], [])
    with pytest.raises(EmptyInput):
        by_type([[]], [[]])
