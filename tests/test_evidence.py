"""docs/evidence.md is what docs/figures/evidence.json says; studies are drawn of equals; other tasks are read as told."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino.evaluation.contests import settle

ROOT = Path(__file__).resolve().parent.parent
FIGURE, PAGE = ROOT / "docs" / "figures" / "evidence.json", ROOT / "docs" / "evidence.md"


def test_the_page_is_written_from_the_figures(benchmark):
    if not FIGURE.exists():
        pytest.skip("docs/figures/evidence.json was not measured yet")
    assert PAGE.read_text("utf-8") == benchmark("evidence_page").page(json.loads(FIGURE.read_text("utf-8")))


# The page -----------------------------------------------------------------------------------------------------------------


def answer(factor: str, pick: str, decision: str) -> dict[str, Any]:
    return {"factor": factor, "default": "minilm", "pick": pick, "decision": decision}


def found(pick: str, decision: str, words: float) -> dict[str, Any]:
    return {
        "queries": 100,
        "units": 40,
        "judged": pick == "minilm",
        "notes": ["made of something else"],
        "metric": "nDCG@10",
        "verdict": "Use it.",
        "sentence": "Put together.",
        "combination": "bm25+minilm",
        "answers": [
            answer("family", pick, decision),
            answer("fusion", "bm25+minilm", "better"),
            answer("precision", "minilm(index=int8)", "the same"),
            answer("granularity", "minilm", ""),
        ],
        "candidates": {
            "minilm": {"interval": [0.5, 0.4, 0.6]},
            "bm25": {"interval": [words, 0.3, 0.7]},
            "bm25+minilm": {"interval": [0.7, 0.65, 0.75]},
        },
    }


def test_a_page_says_what_was_measured_and_what_was_not(benchmark):
    sets = {"one": found("minilm", "", 0.3), "two": found("bm25", "better", 0.6)}
    text = benchmark("evidence_page").page(
        {"threads": 1, "machine": {"cpu": "a processor", "versions": {"vicino": "1.0"}}, "study": sets}
    )
    assert "1 thread on a processor, vicino 1.0" in text
    assert "| **one** | 100 | minilm 0.500 [0.400, 0.600], the default | bm25+minilm 0.700 [0.650, 0.750], better |" in text
    assert "No family is right everywhere: the study takes minilm on one; bm25 on two" in text
    assert "at least as high as the default vectors on 1 of 2 sets (two)" in text
    assert "beyond chance on 2 of 2 sets (one and two)" in text
    assert "a classifier fitted to each query on none of 2 sets; smaller vectors" in text
    assert "- two, read as retrieval: made of something else." in text
    assert "there are 40 in one and 40 in two" in text
    assert all(f"## Not measured yet: {name}" in text for name in ("alarms", "cost", "silver"))


def test_a_page_of_alarms_cost_and_silver(benchmark):
    share = benchmark("evidence_alarms").share
    world = {"queries": 200, "winner": share(1, 100), "any": share(20, 100)}
    gains = {
        "0.02": {"found": share(60, 100), "wrong": share(0, 100), "same": share(2, 100), "promised": 0.58, "detectable": 0.025}
    }
    plain = {
        "threads": 2,
        "machine": {"cpu": "a processor", "versions": {"vicino": "1.0"}},
        "alarms": {
            "ladder": {"even": world},
            "combination": {"even": {**world, "factor": share(3, 100)}},
            "power": {"300": {"queries": 300, "gains": gains}},
            "margin": 0.01,
        },
        "cost": {
            "candidates": ["bm25", "minilm"],
            "first_seconds": 120.0,
            "own_seconds": 100.0,
            "ratio": 1.2,
            "second_seconds": 3.1,
            "bootstrap": {"seconds": 0.5, "cpu_seconds": 0.4, "rounds": 5},
        },
        "silver": {
            "one": {
                "candidates": ["bm25", "minilm"],
                "gold": [[0.5, 0.4, 0.6], [0.6, 0.5, 0.7]],
                "silver": [[0.8, 0.7, 0.9], [0.7, 0.6, 0.8]],
                "gold_queries": 300,
                "silver_queries": 1000,
                "gold_winner": "minilm",
                "silver_winner": "bm25",
                "same_winner": 0.25,
                "kendall": [-1.0, -1.0, 1.0],
                "loss": [0.1, 0.05, 0.15],
                "pairs": 1,
                "in_order": 0,
                "denied": 1,
            }
        },
    }
    text = benchmark("evidence_page").page(plain)
    assert "2 threads" in text
    assert "| full study | equally good on every query | 200 | 1.0% [" in text
    assert "| 20.0% [13.3%, 28.9%] | 3.0% [" in text
    assert "| 300 | 2 points | 60.0% [50.2%, 69.1%] | 58.0% | 0.025 |" in text
    assert "**1.20 ×**" in text
    assert "Silver names gold's winner on none of 1 sets, and has 0 of the 1 pairs in order" in text
    assert "bm25 0.500 / 0.800, minilm 0.600 / 0.700" in text


# The studies that are drawn -------------------------------------------------------------------------------------------------


def test_a_share_has_wilsons_interval(benchmark):
    share = benchmark("evidence_alarms").share
    assert share(5, 100) == {"times": 5, "of": 100, "share": 0.05, "interval": [0.0215, 0.1118]}
    assert share(0, 1000)["interval"][0] == 0
    assert share(1000, 1000)["interval"][1] == 1


def test_six_candidates_are_equals_that_rank_differently(benchmark):
    made = benchmark("evidence_alarms")
    values = np.concatenate([made.six(made.Study(made.World(100), np.random.default_rng(seed))) for seed in range(4)], axis=1)
    assert values.shape == (6, 400)
    means = values.mean(axis=1)
    assert np.ptp(means[:4]) < 0.09  # five standard errors
    assert (means[4:] < means[:4].mean() + 0.06).all()  # a fusion with noise gains nothing by having been tuned
    assert all((values[0] != row).mean() > 0.2 for row in values[1:])


def test_queries_that_hang_together_do(benchmark):
    made = benchmark("evidence_alarms")
    hits = [made.Study(made.World(400, grouped=grouped), np.random.default_rng(1)).hits(1)[0] for grouped in (False, True)]
    firsts = [np.char.rpartition(each.ids[:, 0].astype(str), "-")[:, 2] for each in hits]
    same = [np.mean(first[0::4] == first[1::4]) for first in firsts]
    assert same[1] > same[0] + 0.1


def test_what_a_study_says_of_equals_and_of_a_winner(benchmark):
    told = benchmark("evidence_alarms").told
    rng = np.random.default_rng(0)
    equal = rng.random((3, 100))
    settled = [settle("abc", table, costs=[1, 2, 3], simple=[True, False, False]) for table in (equal, equal / [[1], [1], [4]])]
    assert told(settled[0], "abc") == {"winner": False, "any": False}
    assert told(settled[1], "abc") == {"winner": False, "any": True}  # one is worse, and nobody wins
    assert told(settled[1], "abc", lesser="c") == {"winner": False, "any": False}  # that is so
    best = settle("abc", equal / [[4], [1], [4]], costs=[1, 2, 3], simple=[True, False, False])
    assert told(best, "abc") == {"winner": True, "any": True}


def test_a_study_is_the_same_every_time(benchmark):
    made = benchmark("evidence_alarms")
    world = made.World(40)
    assert made.ladder_study(world, 3) == made.ladder_study(world, 3)
    found = made.combination_study(world, 3)
    assert set(found) == {"winner", "any", "factor", "combined"}


# Other tasks read as retrieval ------------------------------------------------------------------------------------------------


def test_code_answers_an_intent(benchmark, tmp_path):
    rows = {
        "test": [("sort a list by length", "sorted(x, key=len)"), ("", "x.sort()"), ("sort a list by length", "x.sort(key=len)")],
        "train": [("reverse", "x[::-1]"), ("again", "x.sort()")],
    }
    for split, pairs in rows.items():
        lines = [{"intent": "sort in place", "rewritten_intent": intent or None, "snippet": code} for intent, code in pairs]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task = benchmark("evidence_sets").conala(tmp_path)
    contents = {document.id: document.content for document in task.documents}
    assert len(contents) == 4
    answers = {query.text: {contents[name] for name in task.qrels[query.id]} for query in task.queries}
    assert answers == {"sort a list by length": {"sorted(x, key=len)", "x.sort(key=len)"}, "sort in place": {"x.sort()"}}


def test_a_post_finds_posts_of_its_group(benchmark, tmp_path):
    for split in ("train", "test"):
        lines = [{"label": label, "text": f"> quoted\nAbout {label} {n}"} for label in ("tea", "ice") for n in range(3)]
        with lzma.open(tmp_path / f"{split}.jsonl.xz", "wt") as stream:
            stream.write("\n".join(map(json.dumps, [*lines, {"label": "ice", "text": "> only quotes"}])))
    task = benchmark("evidence_sets").newsgroups(tmp_path)
    assert (len(task.documents), len(task.queries)) == (6, 6)
    assert not any("quoted" in document.content for document in task.documents)
    contents = {document.id: document.content for document in task.documents}
    for query in task.queries:
        assert {contents[name].split()[1] for name in task.qrels[query.id]} == {query.text.split()[1]}
        assert len(task.qrels[query.id]) == 3


def test_a_sentence_finds_its_paraphrase_and_not_itself(benchmark, tmp_path):
    rows = [
        ("4.500", "A man plays.", "A person is playing."),
        ("2.000", "A dog runs.", "A cat sleeps."),
        ("5.000", "The same words.", "The same words!"),
        ("4.000", 'A "quote" opens.', "A quote opened."),
    ]
    lines = ["score\tsentence1\tsentence2\tgenre", *("\t".join([*row, "x"]) for row in rows)]
    (tmp_path / "test.tsv").write_text("\n".join(lines))
    task = benchmark("evidence_sets").paraphrases(tmp_path)
    contents = {document.id: document.content for document in task.documents}
    assert len(contents) == 4
    assert {query.text: [contents[name] for name in task.qrels[query.id]] for query in task.queries} == {
        "A man plays.": ["A person is playing."],
        'A "quote" opens.': ["A quote opened."],
    }
