"""The record of a comparison and its page: complete, honest about what is missing, and safe whatever the names are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import metadata

import numpy as np
import pytest

from vicino.data.records import Recipe
from vicino.encoders.base import Truncation
from vicino.errors import ArtifactError, InputError, UnreadableSource
from vicino.evaluation import report
from vicino.evaluation.compare import METRICS
from vicino.evaluation.measure import Tuning

NASTY = '<script>alert(1)</script> & "it\'s"'
VOID = {"meta", "link", "br", "wbr", "hr", "img", "input"}


@pytest.fixture
def comparison(climb, fixed, by_hand):
    """Twelve queries: "better" ranks the right document first on eight, "bm25" on four others; "broken" fails."""
    queries = [NASTY, *(f"question {number}" for number in range(11))]
    task = by_hand({query: f"right{row}" for row, query in enumerate(queries)}, ["wrong"], name=f"notes {NASTY}")

    def ranking(first):  # the right document on rank 1 or 2
        return {query: {"wrong": 2.0, f"right{row}": 3.0 if first(row) else 1.0} for row, query in enumerate(queries)}

    bm25 = fixed(ranking(lambda row: row >= 8), plain=True)
    better = fixed(ranking(lambda row: row < 8), milliseconds=20.0)
    recipes = {
        "bm25": bm25,
        "better": better,
        f"hub/{NASTY}": fixed({}, milliseconds=3.0),
        "broken": fixed({}, fail="OSError"),
        "bm25+better:tuned": Recipe("fused", {"method": "convex"}, (bm25, better)),
    }
    return climb(task, recipes, metric_names=METRICS)


@pytest.fixture
def plain(comparison):
    return report.to_json(comparison, seconds=1.5, command=f"vicino compare {NASTY}")


def changed(comparison, name, **found):
    """The comparison with other things measured of one candidate."""
    candidates = [replace(one, found=replace(one.found, **found)) if one.name == name else one for one in comparison.candidates]
    return replace(comparison, candidates=tuple(candidates))


# The record -----------------------------------------------------------------------------------------------------------


def test_the_record_says_what_the_comparison_says(comparison, plain):
    assert plain["schema"] == report.SCHEMA == "vicino.comparison/1"
    assert plain["task"]["documents"] == 13
    assert plain["task"]["queries"] == plain["task"]["judgements"] == 12
    assert plain["task"]["fingerprint"] == comparison.task.fingerprint
    assert [metric["name"] for metric in plain["metrics"]] == list(METRICS)
    assert plain["baseline"] == "bm25"
    assert plain["verdict"]["sentence"] == comparison.verdict.sentence
    assert [one["name"] for one in plain["candidates"]] == [one.name for one in comparison.candidates]
    assert plain["statistics"]["resamples"] == 10_000
    assert [query["text"] for query in plain["queries"]] == [query.text for query in comparison.task.queries]


def test_a_candidate_in_the_record_worked_by_hand(plain):
    bm25, better = plain["candidates"][:2]
    second = 1 / np.log2(3)  # nDCG of the right document on rank 2
    assert better["values"] == pytest.approx([1.0] * 8 + [second] * 4)
    assert better["metrics"]["nDCG@10"]["mean"] == pytest.approx((8 + 4 * second) / 12)
    contest = better["against_baseline"]
    assert (contest["wins"], contest["ties"], contest["losses"]) == (8, 0, 4)
    assert contest["difference"]["mean"] == pytest.approx(4 * (1 - second) / 12)
    assert bm25["against_baseline"] is None
    assert better["query_ms"] == {"p50": 20.0, "p95": 20.0}
    assert better["cost_seconds"] == pytest.approx(better["build_seconds"] + 20.0)
    assert better["documents_per_second"] == pytest.approx(13 / better["build_seconds"])
    assert bm25["simple"]
    assert bm25["recipe"]["retriever"] == "fixed"


def test_a_failed_candidate_keeps_its_error(plain):
    broken = next(one for one in plain["candidates"] if one["name"] == "broken")
    assert broken["error"] == "told to fail"
    assert "values" not in broken


def test_tuned_weights_name_their_parts(plain):
    tuning = plain["candidates"][-1]["tuning"]
    assert tuning["parts"] == ["bm25", "better"]
    assert len(tuning["final"]) == 2
    assert all(sum(weights) == pytest.approx(1) for weights in [tuning["final"], *tuning["folds"]])


def test_parts_that_the_name_does_not_say_are_numbered(comparison):
    candidates = [replace(one, name="saved/winner") if one.tuning else one for one in comparison.candidates]
    plain = report.to_json(replace(comparison, candidates=tuple(candidates)))
    assert plain["candidates"][-1]["tuning"]["parts"] == ["part 1", "part 2"]


def test_parts_with_parameters_are_cut_at_the_plus_between_them(comparison):
    candidates = [replace(one, name="bm25(k1=1e+0)+lsa(dim=8):tuned") if one.tuning else one for one in comparison.candidates]
    plain = report.to_json(replace(comparison, candidates=tuple(candidates)))
    assert plain["candidates"][-1]["tuning"]["parts"] == ["bm25(k1=1e+0)", "lsa(dim=8)"]


def test_truncation_keeps_its_deciles(comparison):
    cut = Truncation.of(np.array([2, 4, 10]), limit=4)
    plain = report.to_json(changed(comparison, "better", truncation=cut))
    told = plain["candidates"][1]["truncation"]
    assert (told["items_cut"], told["share"]) == (1, 0.375)
    assert told["deciles"][-1] == {"longest": 10, "items": 1, "items_cut": 1, "tokens": 10, "tokens_cut": 6}


def test_numbers_that_are_none_become_null(comparison):
    plain = report.to_json(changed(comparison, "better", build_seconds=0.0, query_ms=np.array([np.nan])), seconds=float("inf"))
    assert plain["seconds"] is None
    assert plain["candidates"][1]["documents_per_second"] is None
    assert plain["candidates"][1]["query_ms"] == {"p50": None, "p95": None}
    json.dumps(plain, allow_nan=False)


def test_versions_and_machine(plain):
    assert plain["versions"]["numpy"] == metadata.version("numpy")
    assert plain["versions"]["vicino"]
    assert plain["machine"]["cores"] >= 1
    assert plain["machine"]["processor"]


def test_the_record_survives_a_file(plain, tmp_path):
    path = report.write(tmp_path / "made" / "on the way" / "report.json", plain)
    assert report.read_json(path) == plain


def test_half_characters_can_be_written(comparison, tmp_path):
    plain = report.to_json(replace(comparison, task=replace(comparison.task, name="half \ud800 a character")))
    assert plain["task"]["name"] == "half ? a character"
    assert "half ? a character" in report.write(tmp_path / "report.html", plain).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("\xff", "not JSON"),
        ("[]", "schema is None"),
        ('{"schema": "vicino.comparison/9"}', "comparison/9"),
        ('{"schema": "vicino.comparison/1", "task": 3}', "lacks .*task"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, text, why):
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UnreadableSource, match=why):
        report.read_json(path)


def test_a_newer_schema_says_to_upgrade(plain):
    with pytest.raises(UnreadableSource) as caught:
        report.to_html({**plain, "schema": "vicino.comparison/2"})
    assert "--upgrade" in caught.value.mend


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(UnreadableSource, match=r"nowhere\.json"):
        report.read_json(tmp_path / "nowhere.json")


def test_an_unknown_ending_is_refused_and_a_blocked_path_named(plain, tmp_path):
    with pytest.raises(InputError, match=r"report\.pdf"):
        report.require_ending("report.pdf")
    report.require_ending("report.md")
    with pytest.raises(InputError, match=r"report\.md"):
        report.require_ending("report.md", markdown=False)
    with pytest.raises(InputError, match=r"report\.pdf"):
        report.write(tmp_path / "report.pdf", plain)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match="cannot write"):
        report.write(tmp_path / "file" / "report.html", plain)


# The page -------------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Reads a page as strictly as a careful eye: every element closed in its order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.words, self.headings = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            self.headings.append(int(self.open[-1][1]))

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def html(comparison):
    cut = Truncation.of(np.array([2, 4, 10] * 10), limit=4)
    shown = changed(changed(comparison, "better", truncation=cut, cached=True), "bm25+better:tuned", truncation=cut)
    shown = replace(shown, task=replace(shown.task, synthetic=f"from {NASTY}.", notes=(f"3 {NASTY} were left out",)))
    return report.to_html(report.to_json(shown, seconds=1.5, command=f"vicino compare {NASTY}"))


def test_the_page_is_well_formed_and_accessible(html):
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert re.search("<title>(.*?)</title>", html)[1].startswith("bm25 for notes")
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(page.headings, page.headings[1:], strict=False))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert all("tabindex" in attributes for attributes in page.all("div") if attributes.get("class") == "scroll")


def test_the_page_asks_for_nothing_from_outside(html):
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"<script|<iframe|<object|@import|url\(|\son\w+=", html)
    for tag, attributes in Page(html).elements:
        assert not {"src", "srcset", "action"} & set(attributes), tag
        assert attributes.get("href", "#").startswith(("#", "data:"))
    assert "default-src 'none'" in html


def test_names_and_queries_are_only_text(html):
    page = Page(html)  # markup in a name would open elements, or stay unclosed
    assert "<script" not in html.lower()
    for written in (f"hub/{NASTY}", f"notes {NASTY}", f"vicino compare {NASTY}", f"3 {NASTY} were left out.", f"from {NASTY}."):
        assert written in page.text
    assert any(attributes.get("class") == "quote" for attributes in page.all("th"))


def test_every_candidate_stands_on_the_page_and_failures_say_why(html, comparison):
    page = Page(html)
    for candidate in comparison.candidates:
        assert candidate.name in page.text
    assert "told to fail" in page.text
    assert "Failed" in page.text
    assert "1 failed" in page.text


def test_the_page_says_what_matters_in_words(html, comparison):
    text = Page(html).text
    assert comparison.verdict.sentence in text
    assert "The queries are synthetic." in text
    assert "10 of 30 documents were cut; 37.5% of all tokens never reached the model; the longest tenth lost 60.0%." in text
    assert "The times of better were measured in an earlier run" in text
    assert "It is better on 8 queries, equal on 0 and worse on 4." in text
    assert comparison.task.fingerprint in text


def test_without_synthetic_queries_there_is_no_band(plain):
    assert "synthetic" not in Page(report.to_html(plain)).text


@pytest.mark.parametrize(
    ("final", "said"), [((1.0, 0.0), "Do not fuse. On all queries, bm25 alone"), ((0.4, 0.6), "bm25 0.40, better 0.60")]
)
def test_the_tuner_may_say_not_to_fuse(comparison, final, said):
    tuning = Tuning("nDCG@10", final, (final, (0.5, 0.5)))
    assert said in Page(report.to_html(report.to_json(changed(comparison, "bm25+better:tuned", tuning=tuning)))).text


def test_queries_are_listed_from_the_largest_change(html):
    gained = html[html.index("Gained most") : html.index("Lost most")]
    lost = html[html.index("Lost most") : html.index("How sure is it?</h2>")]
    assert gained.count("<tr>") == 1 + 8
    assert lost.count("<tr>") == 1 + 4
    assert "+0.369" in gained
    assert "−0.369" in lost


def test_a_limit_that_cuts_nothing_says_so(comparison):
    shown = changed(comparison, "better", truncation=Truncation.of(np.array([1, 2, 3]), limit=256))
    assert "Nothing. The model reads up to 256 tokens" in Page(report.to_html(report.to_json(shown))).text


# Small and odd comparisons --------------------------------------------------------------------------------------------


def page_of(comparison):
    return Page(report.to_html(json.loads(json.dumps(report.to_json(comparison), allow_nan=False)))).text


def test_one_candidate_and_one_query(climb, fixed, by_hand):
    text = page_of(climb(by_hand({"q": "d"}), {"bm25": fixed({"q": {"d": 1.0}}, plain=True)}))
    assert "Only one candidate was measured" in text


def test_two_candidates_and_one_query(climb, fixed, by_hand):
    recipes = {"bm25": fixed({"q": {"d": 1.0}}, plain=True), "other": fixed({"q": {}})}
    assert "worse on 1." in page_of(climb(by_hand({"q": "d"}), recipes))


def test_a_clear_winner_is_set_against_the_baseline(climb, fixed, by_hand):
    task = by_hand({f"q{number}": f"d{number}" for number in range(9)})
    right = {f"q{number}": {f"d{number}": 1.0} for number in range(9)}
    text = page_of(climb(task, {"bm25": fixed({}, plain=True), "better": fixed(right)}))
    assert "Use better" in text
    assert "better, our pick, against bm25, the best simple baseline. It is better on 9 queries" in text
    assert "Lost most None." in text


def test_candidates_that_are_all_equal(climb, fixed, by_hand):
    task = by_hand({"q1": "d1", "q2": "d2"})
    answers = {"q1": {"d1": 1.0}, "q2": {"d2": 1.0}}
    recipes = {"bm25": fixed(answers, plain=True), "other": fixed(answers)}
    text = page_of(climb(task, recipes))
    assert "better on 0 queries, equal on 2 and worse on 0." in text
    assert "Tied" in text


def test_costs_of_nothing(comparison):
    shown = changed(comparison, "bm25", build_seconds=0.0, query_ms=np.zeros(3), index_bytes=0)
    assert "0 B" in page_of(shown)


def test_where_nothing_simple_was_measured_the_page_does_not_claim_it(climb, fixed, by_hand):
    recipes = {"one": fixed({"q": {"d": 1.0}}), "two": fixed({"q": {}})}
    text = page_of(climb(by_hand({"q": "d"}), recipes))
    assert "the highest, as nothing simple was measured" in text
    assert "simple baseline" not in text


# Colours --------------------------------------------------------------------------------------------------------------


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_as_wcag_asks(html, scheme):
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", re.findall(r":root \{(.*?)\}", html, re.DOTALL)[scheme]))
    pairs = [(text, back) for text in ("ink", "soft", "pick") for back in ("card", "paper")]
    pairs += [(text, "card") for text in ("base", "gain", "loss")]
    pairs += [("band-ink", "band"), ("on-dark", "part0"), ("on-light", "part1"), ("on-dark", "part2"), ("ink", "part3")]
    assert {
        pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs if contrast(*map(colours.get, pair)) < 4.5
    } == {}
    assert contrast(colours["dot"], colours["card"]) >= 3
    assert contrast(colours["front"], colours["card"]) >= 3
