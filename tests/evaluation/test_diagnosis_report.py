"""The report of a look at an encoder: the page, the Markdown and the record say the same, and nothing in it is markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import pytest

from vicino.errors import EmptyInput, InputError
from vicino.evaluation import diagnosis_report, page
from vicino.evaluation.diagnosis import Diagnosis
from vicino.evaluation.reliability_chart import reliability, told

EVIL = "<script>alert('&')</script>"


@pytest.fixture
def plain(diagnosis):
    return diagnosis_report.to_json(diagnosis, about="minilm on notes", seed=3, command="vicino doctor model notes --fix")


@pytest.fixture
def html(plain):
    return page.render_diagnosis(plain)


def section(html, name):
    return re.search(rf'<section id="{name}".*?</section>', html, flags=re.DOTALL)[0]


def rows(html):
    """The cells of the tables' bodies, as text."""
    body = "".join(re.findall(r"<tbody>.*?</tbody>", html, flags=re.DOTALL))
    found = re.findall(r"<tr.*?</tr>", body, flags=re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in found]
    return [[unescape(re.sub(r"<[^>]+>", " ", cell)).strip() for cell in row] for row in cells]


def test_problems_come_first(html, diagnosis):
    found = rows(section(html, "findings"))
    assert [row[0] for row in found] == ["direction", "lengths", "scores"]
    assert [row[1] for row in found] == ["problem", "ok", "ok"]
    assert found[0][2] == diagnosis.findings[1].value
    assert found[0][4] == "anisotropy. vicino doctor model DATA --fix"
    assert re.search(r"<h1><em>1</em> problem</h1>", html)
    healthy = Diagnosis(tuple(replace(one, state="ok") for one in diagnosis.findings))
    assert "<em>Nothing</em>" in page.render_diagnosis(diagnosis_report.to_json(healthy, about="minilm"))


def test_what_each_cure_did_and_what_applies_the_best(html):
    cured = section(html, "cures")
    better, level = rows(cured)
    assert [cell.split() for cell in better] == [
        ["whitening", "minilm"],
        ["0.500"],
        ["0.600"],
        ["+0.100", "+0.050", "to", "+0.150"],
        [".001", "better"],
        ["0.800", "→", "0.010"],
        ["20.000", "→", "200.000"],
    ]
    assert level[4].split() == [".500", "not", "told", "apart"]
    told = "whitening is worth applying to minilm: vicino migrate notes --to 'isotropic(encoder=minilm, cure=whitening)'"
    assert told in unescape(cured)


def test_the_table_says_what_the_chart_shows(html, plain):
    scores, bins = section(html, "scores"), plain["findings"][2]["numbers"]["bins"]
    hints = [unescape(hint) for hint in re.findall(r"<path[^>]*><title>(.*?)</title>", scores)]
    assert hints == [told(one) for one in bins]
    shown = [[float(cell) for cell in row] for row in rows(scores)]
    assert shown == [pytest.approx([*(one[name] for name in ("predicted", "observed", "low", "high", "count"))]) for one in bins]
    assert all(told(one) in unescape(re.search(r"<desc.*?</desc>", scores)[0]) for one in bins)
    assert "cut at a score of 0.430. On the other queries 18 of the 20 answers" in scores
    assert "these are 60.0% of the 30 relevant ones" in scores


def test_places_by_hand(plain):
    """From 0 to 1 the axes are 86 hundredths of the width and 300 pixels: .1 was said and .1 is true, .5 and .5, .9 and .7."""
    drawn = reliability(plain["findings"][2], name="it")
    assert re.findall(r'<svg x="([\d.]+)%" y="([\d.]+)" class="at">', drawn) == [("18.6", "304"), ("53", "184"), ("87.4", "124")]
    assert '<line x1="53%" x2="53%" y1="214" y2="154" class="whisker pick">' in drawn  # from .4 to .6
    assert '<line x1="10%" x2="96%" y1="334" y2="34" class="reference">' in drawn
    assert 'aria-labelledby="it-title"' in drawn


def test_axes_go_as_far_as_the_bins(plain):
    finding = plain["findings"][2]
    low = {"predicted": 0.05, "observed": 0.1, "low": 0.05, "high": 0.2, "count": 9}
    drawn = reliability({**finding, "numbers": {"bins": [low]}}, name="it")
    assert '<svg x="31.5%" y="184" class="at">' in drawn  # a quarter and a half of .2
    with pytest.raises(EmptyInput):
        reliability({**finding, "numbers": {"bins": []}}, name="it")


def test_what_cannot_be_cut_for_is_said(plain):
    plain["findings"][2]["numbers"]["threshold"] |= {"score": None, "pairs": 0, "relevant": 0}
    assert "No score gives a precision of 90.0%" in page.render_diagnosis(plain)
    plain["findings"][2]["numbers"]["threshold"] |= {"score": 0.9}
    assert "no answer has so high a score" in page.render_diagnosis(plain)


def test_nothing_is_asked_of_any_other_place(html):
    for outside in ("http://", "https://", "src=", "@import", "url("):
        assert outside not in html
    assert "default-src 'none'" in html


def test_no_text_of_others_is_markup(diagnosis):
    first, second, third = diagnosis.findings
    evil = replace(second, about=EVIL, value=EVIL, cause=EVIL, mend=EVIL, threshold=EVIL, reference=EVIL)
    looked = replace(diagnosis, findings=(first, evil, replace(third, about=EVIL)))
    plain = diagnosis_report.to_json(looked, about=EVIL, command=EVIL)
    html, text = page.render_diagnosis(plain), diagnosis_report.to_markdown(plain)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 8
    lines = [line for line in text.splitlines() if not line.startswith("    ")]  # but the command, which is code
    assert not any(re.search(r"(?<!\\)<script", line) for line in lines)


def test_the_record_is_finite_and_the_markdown_says_the_same(plain, diagnosis, tmp_path):
    odd = replace(diagnosis.cures[0], signs={"hubness": (float("nan"), 1.0)})
    nan = diagnosis_report.to_json(replace(diagnosis, cures=(odd,)), about="x")
    file = diagnosis_report.write(tmp_path / "x.json", nan)
    assert json.loads(file.read_text("utf-8"))["cures"][0]["signs"]["hubness"] == {"before": None, "after": 1.0}
    page.render_diagnosis(nan)
    text = diagnosis_report.write(tmp_path / "x.md", plain).read_text("utf-8")
    assert text.startswith("# minilm on notes: 1 problem\n")
    assert text.index("**direction**") < text.index("**lengths**")
    assert "| 0.900 | 0.700 | 0.600 | 0.800 | 120 |" in text
    assert "| minilm | whitening | 0.500 | 0.600 | +0.100 (+0.050 to +0.150) | .001 | better |" in text
    assert "    vicino doctor model notes --fix\n" in text
    with pytest.raises(InputError, match="format"):
        diagnosis_report.write(tmp_path / "x.txt", plain)
