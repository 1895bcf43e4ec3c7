"""The pages of reports in a real browser: nothing is asked of any other place, axe finds no fault, the keyboard reaches all.

Chromium, playwright and axe-core (which axe-playwright-python brings along) are wanted; what is missing skips, and fails in CI.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from vicino.catalog import Entry
from vicino.data.records import Recipe
from vicino.encoders.base import Truncation
from vicino.evaluation import diagnosis_report, page, report
from vicino.evaluation.slices import Slice
from vicino.evaluation.study import Answer, Study
from vicino.metrics.significance import Interval

VIEWS = [("light", 1280), ("dark", 390)]
LONG = "sentence-transformers/paraphrase-multilingual-mpnet-base-v2+bm25@window(pool=top3):tuned"


@pytest.fixture
def view(browser):
    """Open a page in a theme and at a width. What it asks for, and what the console says, is kept on it."""
    contexts = []

    def show(file, scheme="light", width=1280, **options):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        shown = context.new_page()
        shown.asked, shown.said = [], []
        shown.on("request", lambda request: shown.asked.append(request.url))
        shown.on("console", lambda message: shown.said.append(message.text))
        shown.goto(file.as_uri())
        return shown

    yield show
    for context in contexts:
        context.close()


@pytest.fixture
def full(climb, fixed, by_hand, tmp_path):
    """A report that has every part: a study, slices, seeds, bounds, cuts, a tuned fusion, a failure, synthetic queries."""
    queries = [f"question {number} about something long enough to need several words" for number in range(24)]
    task = by_hand({query: f"right{row}" for row, query in enumerate(queries)}, ["wrong", "other"], name="notes")
    task = replace(task, synthetic="made from titles", notes=("3 were left out",))

    def ranking(first):
        return {q: {"wrong": 2.0, f"right{row}": 3.0 if first(row) else 1.0} for row, q in enumerate(queries)}

    bm25 = fixed(ranking(lambda row: row >= 16), plain=True)
    better = fixed(ranking(lambda row: row < 20), milliseconds=20.0)
    recipes = {"bm25": bm25, "minilm": better, LONG: fixed(ranking(lambda row: row % 2)), "broken": fixed({}, fail="OSError")}
    recipes |= {"bm25+minilm:tuned": Recipe("fused", {"method": "convex"}, (bm25, better))}
    found = climb(task, recipes)
    cut = Truncation.of(np.array([2, 4, 10] * 10), limit=4)
    more = {"minilm": {"seeds": (0.9, 0.94, 0.97), "bounds": (0.9, 0.99)}, "bm25": {"bounds": (0.7, 0.95)}}
    candidates = [replace(one, **more.get(one.name, {})) for one in found.candidates]
    candidates[1] = replace(candidates[1], found=replace(candidates[1].found, truncation=cut, cached=True))
    worst = Interval(0.4, 0.2, 0.6)
    slices = (
        Slice("query length", "up to 3 words", 8, worst, 0.9, 0.01, worst, 0.2),
        Slice("tag", "all else", 8, worst, 0.5, 1.0),
    )
    answer = Answer("family", "Which family?", "bm25", ("bm25", "minilm"), "minilm", "better", "minilm is.", {"glove": "slow"})
    none = Answer("reranking", "Rerank?", "bm25", ("bm25",), "bm25", "", "Nobody gave a cross-encoder.")
    study = Study((answer, none), "minilm", "Use minilm.", 60.0, 12.0, {"glove": "slow", "doc2vec": "slow"})
    shown = replace(found, candidates=tuple(candidates), slices=slices, study=study)
    return report.write(tmp_path / "report.html", report.to_json(shown, seconds=2.0, command="vicino compare notes"))


@pytest.fixture
def other(tmp_path):
    """The page of a task that is not retrieval."""

    def one(name, mean, **more):
        metrics = {name: {"mean": mean, "low": mean - 0.1, "high": mean + 0.1} for name in ("spearman", "pearson")}
        told = {"name": name, "simple": False, "error": "", "p": 0.2, "decision": "not told apart", "seconds": 1.5}
        return told | {"metrics": metrics, "gain": {"mean": 0.1, "low": 0.0, "high": 0.2}, "cached": False} | more

    told = {
        "schema": "vicino.table/1",
        "task": {
            "kind": "similarity",
            "name": "pairs",
            "about": "pairs with a score",
            "unit": "pairs",
            "size": 1379,
            "seed": 0,
            "fingerprint": "f" * 16,
            "notes": ["2 were dropped"],
        },
        "metrics": [{"name": "spearman", "summary": "rank correlation"}, {"name": "pearson", "summary": "correlation"}],
        "candidates": [
            one("lsa", 0.5, simple=True, gain=None),
            one(LONG, 0.7, p=None, decision="best"),
            {"name": "<b>", "error": "no"},
        ],
        "baseline": "lsa",
        "pick": LONG,
        "verdict": "It wins.",
        "statistics": {"interval": "bootstrap over pairs", "resamples": 2000, "level": 0.95, "test": "a test"}
        | {"correction": "Holm", "alpha": 0.05, "margin": 0.01},
        "machine": {"processor": "a processor", "cores": 2, "memory_bytes": None, "system": "Linux", "python": "3.11"},
        "versions": {"vicino": "0.1.0"},
        "command": "vicino compare similarity pairs",
    }
    file = tmp_path / "table.html"
    file.write_text(page.render_table(told), encoding="utf-8")
    return file


@pytest.fixture
def looked(diagnosis, tmp_path):
    """The page of a look at an encoder: findings, cures, a reliability diagram."""
    told = diagnosis_report.to_json(diagnosis, about=f"{LONG} on notes", command="vicino doctor model notes --fix")
    return diagnosis_report.write(tmp_path / "diagnosis.html", told)


@pytest.fixture(params=["full", "other", "looked"])
def either(request):
    return request.getfixturevalue(request.param)


def open_all(shown):
    shown.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")


def test_nothing_is_asked_of_any_other_place(view, either):
    shown = view(either)
    open_all(shown)
    shown.emulate_media(media="print")
    shown.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # it is laid out anew
    shown.wait_for_load_state("networkidle")
    assert shown.asked == [either.as_uri()]
    assert shown.said == []  # a policy that is broken would be said here


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_axe_finds_no_fault(view, either, scheme, width):
    shown = view(either, scheme, width, bypass_csp=True)
    open_all(shown)
    shown.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = shown.evaluate("axe.run({resultTypes: ['violations']})")
    assert len(found["passes"]) > 20  # it ran
    assert [(fault["id"], [node["html"][:200] for node in fault["nodes"]]) for fault in found["violations"]] == []


def test_the_keyboard_reaches_everything(view, either):
    shown = view(either)
    open_all(shown)
    count = shown.evaluate(
        """() => [...document.querySelectorAll('a[href], summary, [tabindex="0"]')]
            .map((each, number) => { each.dataset.stop = number; }).length"""
    )
    reached = []
    for _ in range(count):
        shown.keyboard.press("Tab")
        reached.append(int(shown.evaluate("document.activeElement.dataset.stop ?? -1")))
        assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == list(range(count))  # in the order of the page
    assert count >= 2


def test_a_chart_opens_as_a_table_without_a_mouse(view, full, expect):
    shown = view(full)
    shown.locator("summary", has_text="and cost, as a table").focus()
    cell = shown.locator("details th[scope=row]", has_text="minilm").first
    assert not cell.is_visible()
    shown.keyboard.press("Enter")
    expect(cell).to_be_visible()


def test_a_reliability_diagram_stands_on_its_diagonal_beside_its_table(view, looked):
    """Where what was said is true the dot is on the dashed line, as wide as the page may be; the table has a row for each dot."""
    for width in (1280, 390):
        shown = view(looked, width=width)
        dots, ends = shown.evaluate(
            """() => {
                const chart = document.querySelector('#scores svg.chart');
                const middle = box => [box.left + box.width / 2, box.top + box.height / 2];
                const line = chart.querySelector('.reference').getBoundingClientRect();
                const dots = [...chart.querySelectorAll('.dot')].map(each => middle(each.getBoundingClientRect()));
                return [dots, [line.left, line.bottom, line.right, line.top]];
            }"""
        )
        assert shown.locator("#scores tbody tr").count() == len(dots) == 3
        left, bottom, right, top = ends
        share = [((x - left) / (right - left), (bottom - y) / (bottom - top)) for x, y in dots]
        assert share[1][0] == pytest.approx(share[1][1], abs=0.02)  # .5 was said and .5 true
        assert share[2][0] - share[2][1] > 0.1  # .9 was said and .7 true
        assert shown.locator("#scores svg.chart").get_attribute("role") == "img"


def test_the_first_stop_skips_to_the_evidence(view, full, expect):
    shown = view(full)
    shown.keyboard.press("Tab")
    expect(shown.get_by_role("link", name="Skip to the evidence")).to_be_focused()
    assert shown.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    shown.keyboard.press("Enter")
    shown.wait_for_url(re.compile("#main$"))


def test_light_and_dark_are_two_themes(view, full):
    def paper(scheme):
        return shade(view(full, scheme).evaluate("getComputedStyle(document.body).backgroundColor"))

    assert paper("light") > 200
    assert paper("dark") < 60


def shade(colour):
    return np.mean([int(channel) for channel in re.findall(r"\d+", colour)[:3]])


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_no_wider_than_its_window(view, either, width):
    shown = view(either, width=width)
    open_all(shown)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1280, 390])
def test_no_label_of_a_chart_hides_its_number(view, full, width):
    """In the rows of intervals the label with its note ends before the value begins, in the font that is really there."""
    pairs = view(full, width=width).evaluate(
        """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
            const rows = [...chart.querySelectorAll(':scope > text.label')].filter(each => each.getAttribute('x') === '0');
            const values = [...chart.querySelectorAll(':scope > text.value')];
            return rows.length === values.length
                ? rows.map((row, at) => [row.getBoundingClientRect().right, values[at].getBoundingClientRect().left])
                : [];
        })"""
    )
    assert len(pairs) > 10
    assert [pair for pair in pairs if pair[0] > pair[1]] == []


def test_print_holds_what_the_screen_folds_away(view, full, need):
    need(Entry("pypdf:PdfReader", "", "files"))
    from pypdf import PdfReader

    printed = PdfReader(io.BytesIO(view(full).pdf(format="A4")))
    text = re.sub(r"\s+", " ", " ".join(sheet.extract_text() for sheet in printed.pages))
    assert 2 <= len(printed.pages) < 20
    for said in ("On the line", "Weights of the parts", "slow", "vicino compare notes"):
        assert said in text
    assert "Skip to the evidence" not in text
