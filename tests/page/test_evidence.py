"""Evidence: the verdict, the chart, the table, and two candidates against each other."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def study(site):
    (told,) = site.get("/api/studies").json()["studies"]
    return told, site.get(f"/api/studies/{told['id']}").json()


def test_the_study_says_what_to_use_and_shows_all_of_it(visit, study, picture):
    summary, whole = study
    page = visit("/evidence")
    page.get_by_role("heading", name=f"Use {summary['pick']}").wait_for()
    assert summary["sentence"] in page.locator(".verdict").inner_text()
    table = page.locator("table.candidates")
    names = [one["name"] for one in whole["candidates"]]
    assert sorted(re.split(r"\s", text)[0] for text in table.locator("tbody th").all_inner_texts()) == sorted(names)
    metric = whole["metrics"][0]["name"]
    means = {one["name"]: one["metrics"][metric]["mean"] for one in whole["candidates"]}
    best = max(means, key=lambda name: means[name])
    shown = table.locator("tbody tr", has=page.locator(f"th:has-text('{best}')")).first.inner_text()
    assert any(form in shown for form in (f"{means[best]:.3f}", f"{100 * means[best]:.1f}", f"{means[best]:.3f}".lstrip("0")))
    page.locator(".chart-place svg circle, .chart-place svg path").nth(len(names)).wait_for(state="attached")  # more than names
    picture(page, "evidence")


def test_two_are_picked_swapped_and_a_link_keeps_them(visit, study, expect):
    def said(b, a):
        told = page.locator("section[aria-labelledby=duel] p", has_text=f"B {b} against A {a}: better on").inner_text()
        return re.search(r"better on (\d+) queries, equal on (\d+), worse on (\d+)", told)

    page = visit("/evidence?a=lsa(n_components=32)&b=bm25%2Blsa(n_components=32)")  # the two of an opening depend on the clock
    page.locator("table.candidates").wait_for()
    page.get_by_label("tfidf as A").check()
    page.get_by_label("bm25 as B").check()
    page.wait_for_url(re.compile(r"a=tfidf(&|$)"))
    page.wait_for_url(re.compile(r"b=bm25(&|$)"))
    told = said("bm25", "tfidf")
    wins, ties, losses = map(int, told.groups())
    assert wins + ties + losses == len(study[1]["queries"])
    page.keyboard.press("x")
    page.wait_for_url(re.compile(r"a=bm25(&|$)"))
    assert tuple(map(int, said("tfidf", "bm25").groups())) == (losses, ties, wins)
    page.reload()
    expect(page.get_by_label("bm25 as A")).to_be_checked()
    expect(page.get_by_label("tfidf as B")).to_be_checked()


def test_a_key_means_what_is_shown_however_quickly_it_comes(visit):
    page = visit("/evidence?a=tfidf&b=bm25")
    page.locator("table.candidates").wait_for()
    went = page.evaluate(
        """async () => {
            const went = [];
            for (let press = 0; press < 2; press++) {
                dispatchEvent(new KeyboardEvent('keydown', { key: 'x' }));
                for (let turn = 0; turn < 9; turn++) await null;  // it is rendered, and not painted yet
                went.push(location.search);
            }
            return went;
        }"""
    )
    assert went == ["?a=bm25&b=tfidf", "?a=tfidf&b=bm25"]


def test_the_table_sorts_by_what_is_clicked(visit, study):
    page = visit("/evidence")
    table = page.locator("table.candidates")
    table.wait_for()
    table.get_by_role("button", name="Index").click()
    page.wait_for_url(re.compile("sort=index"))
    table.locator("th[aria-sort=ascending]", has_text="Index").wait_for()
    sizes = {one["name"]: one["index_bytes"] for one in study[1]["candidates"]}
    shown = [re.split(r"\s", text)[0] for text in table.locator("tbody th").all_inner_texts()]
    assert [sizes[name] for name in shown] == sorted(sizes.values())
