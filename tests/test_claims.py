"""docs/claims.md is what docs/figures/claims.json says, and its verdicts are what the figures say."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
FIGURE, PAGE = ROOT / "docs" / "figures" / "claims.json", ROOT / "docs" / "claims.md"


@pytest.fixture
def report() -> dict[str, Any]:
    return dict(json.loads(FIGURE.read_text("utf-8")))


def test_the_page_is_written_from_the_figures(benchmark, report):
    assert PAGE.read_text("utf-8") == benchmark("claims_page").page(report)


def test_verdicts_follow_from_the_intervals(benchmark, report):
    evidence = benchmark("claims_evidence")
    for claim in report["claims"]:
        for each in claim["rows"]:
            mean, low, high = each["effect"]
            assert low <= mean <= high
            assert each["n"] > 0
            assert each["outcome"] == evidence.told(low, high, each["rule"], each["margin"])
        assert claim["verdict"] == evidence.verdict(claim["rows"])


def test_what_was_not_tested_is_listed_as_untested(benchmark):
    claim = {
        "name": "x",
        "says": "Near is alike",
        "tested": "How.",
        "limits": "Much.",
        "from": "",
        "verdict": "untested",
        "rows": [],
    }
    page = benchmark("claims_page").page({"claims": [claim]})
    assert "| [Near is alike](#near-is-alike) | **untested** |" in page
    assert "**Untested.**" in page


def test_a_verdict_says_whichever_way_it_fell(benchmark):
    verdict = benchmark("claims_evidence").verdict
    assert verdict([{"outcome": "yes"}, {"outcome": "yes"}, {"outcome": ""}]) == "holds"
    assert verdict([{"outcome": "yes"}, {"outcome": "no"}]) == "holds partly"
    assert verdict([{"outcome": "no"}, {"outcome": "open"}]) == "does not hold"
    assert verdict([{"outcome": "open"}]) == "not told apart"
    assert verdict([{"outcome": ""}]) == "untested"


def test_intervals_of_one_claim_hold_together(benchmark):
    """Each of several is wider than it would be alone; what decides nothing widens none."""
    evidence = benchmark("claims_evidence")
    values = np.random.default_rng(0).normal(0.02, 0.1, 200)
    trial = evidence.Trial("d", "s", "m", 200, values)
    beside = evidence.Trial("d", "s", "m", 200, values, rule="beside")
    width = [np.ptp(each["effect"]) for each in evidence.settled([trial, beside])]
    several = [np.ptp(each["effect"]) for each in evidence.settled([trial] * 5)]
    assert width[0] == width[1]
    assert min(several) > 1.1 * width[0]


@pytest.mark.parametrize("name", ["claims_evidence", "claims_figures", "claims_page"])
def test_examples_in_the_benchmark(benchmark, name):
    found = doctest.testmod(benchmark(name))
    assert found.attempted
    assert not found.failed
