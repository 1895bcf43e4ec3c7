"""The names of metrics: how they are read, and what a wrong one is told."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.errors import InputError, UnknownName
from vicino.metrics import ALIASES, METRICS, parse
from vicino.metrics.ranking import judge


@pytest.mark.parametrize(
    ("text", "name", "cutoff"),
    [
        ("nDCG@10", "nDCG@10", 10),
        ("NDCG@10", "nDCG@10", 10),
        (" recall@100 ", "Recall@100", 100),
        ("R@5", "Recall@5", 5),
        ("MRR@10", "MRR@10", 10),
        ("rr", "MRR", None),
        ("map", "MAP", None),
        ("AP@100", "MAP@100", 100),
        ("precision@5", "P@5", 5),
        ("p@5", "P@5", 5),
        ("Success@1", "success@1", 1),
        ("JUDGED@10", "judged@10", 10),
    ],
)
def test_a_name_is_read_in_any_case_and_written_in_one(text, name, cutoff):
    metric = parse(text)
    assert (metric.name, metric.cutoff) == (name, cutoff)
    assert parse(metric.name) == metric


@given(name=st.sampled_from([*METRICS, *ALIASES]), cutoff=st.none() | st.integers(1, 10**6))
def test_every_name_and_alias_survives_a_round_trip(name, cutoff):
    metric = parse(name.swapcase() + (f"@{cutoff}" if cutoff else ""))
    assert metric.cutoff == cutoff
    assert parse(metric.name) == metric


@pytest.mark.parametrize("text", ["nDCG@", "nDCG@0", "nDCG@-1", "nDCG@ten", "nDCG@1.5", "P@5@5", "MAP@" + "9" * 5000])
def test_a_bad_cutoff_is_an_input_error_that_shows_a_good_one(text):
    with pytest.raises(InputError, match="@10"):
        parse(text)


@pytest.mark.parametrize(("text", "near"), [("ndgc@10", "ndcg"), ("Recal@5", "recall"), ("sucess@1", "success")])
def test_an_unknown_name_is_told_the_nearest(text, near):
    with pytest.raises(UnknownName, match=f"did you mean {near}"):
        parse(text)


def test_a_name_like_no_other_is_told_all():
    with pytest.raises(UnknownName, match="nDCG, Recall, MRR, MAP, P, success, judged"):
        parse("")


def test_no_alias_hides_an_entry_or_leads_nowhere():
    assert not {alias.casefold() for alias in ALIASES} & {name.casefold() for name in METRICS}
    assert set(ALIASES.values()) <= set(METRICS)


def test_a_metric_applies_its_cutoff():
    judged = judge(np.array([["x", "a"]], dtype=object), [{"a": 1}])
    assert parse("success@1")(judged).tolist() == [0.0]
    assert parse("success")(judged).tolist() == [1.0]


def test_the_room_loads_nothing_heavy():
    # A fresh interpreter, because other tests have loaded these long since.
    program = (
        "import sys, vicino.metrics, vicino.metrics.ranking, vicino.metrics.significance, vicino.metrics.similarity;"
        "print({'scipy', 'sklearn', 'numba', 'torch', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
