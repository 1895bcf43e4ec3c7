"""All screens alike: nobody is kept out, nothing spills over, and each is there by its address, by mouse and by keyboard."""

from __future__ import annotations

import re

import pytest

ASKED = {
    "/search": "/search?q=parse+the+header+of+a+message",
    "/why": "/why?q=parse+the+header+of+a+message",
    "/map": "/map?collection=library&method=pca&q=parse+the+header",
    "/evidence": "/evidence",
}
THERE = {
    "/search": '[data-column="1"] .hit >> nth=0',
    "/why": ".explanation h2",
    "/map": '.map-table:has(caption:has-text("Nearest to")) tbody tr:nth-child(10) .id:not(:text-is("…"))',
    "/evidence": "section[aria-labelledby=duel] .chart-place svg >> nth=0",
}
VIEWS = [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)]


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
@pytest.mark.parametrize("path", ASKED)
def test_axe_finds_no_fault_and_nothing_spills_over(visit, faults, path, scheme, width, picture):
    page = visit(ASKED[path], scheme=scheme, width=width)
    page.locator(THERE[path]).wait_for(state="attached")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    if (scheme, width) in (("dark", 1280), ("light", 390)):
        picture(page, f"{path[1:]}-{scheme if width > 400 else 'narrow'}")


@pytest.mark.parametrize("path", ["/search", "/why"])
def test_a_screen_that_waits_for_a_question_has_no_fault_either(visit, faults, path):
    page = visit(path)
    page.get_by_text("Ask something").wait_for()
    assert faults(page) == []


def test_dialogs_have_no_fault_and_the_theme_stays(visit, faults, expect):
    page = visit("/search")
    page.get_by_role("button", name="Keyboard help").click()
    page.get_by_role("dialog").wait_for()
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Key", exact=True).click()
    page.get_by_role("dialog").get_by_label("Key", exact=True).wait_for()
    assert faults(page) == []
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Theme: as the system").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    page.get_by_label("Question").wait_for()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


def test_tab_reaches_what_can_be_used_and_the_way_past_the_bar(visit):
    page = visit("/search")
    page.get_by_label("Question").wait_for()
    page.locator("body").focus()
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.textContent || document.activeElement.getAttribute('aria-label') || ''")
        )
    for name in ("To the content", "Evidence", "Map", "Search", "Why"):
        assert name in [text.strip() for text in reached], name
    assert "Question" in reached


def test_every_screen_is_there_by_its_link(visit, expect):
    page = visit("/")
    for name, path in (("Evidence", "/evidence"), ("Map", "/map"), ("Search", "/search"), ("Why", "/why")):
        page.get_by_role("navigation", name="Screens").get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(re.compile(path))
        expect(page.get_by_role("navigation", name="Screens").locator("[aria-current=page]")).to_have_text(name)


def test_a_server_that_wants_a_key_is_given_one(visit, faults, serving, tmp_path, site):
    from vicino.encoders.counts import LSA
    from vicino.server import keys

    encoder = LSA(n_components=2).fit(["near far", "far away", "near by"]).save(tmp_path / "tiny")
    _, secret = keys.add(tmp_path / "keys.json", "ada", scope="read")
    with serving(home=tmp_path, encoders=[encoder]) as guarded:
        page = visit("/search", at=guarded)
        page.get_by_role("button", name="Enter a key").click()
        page.get_by_role("dialog").wait_for()
        assert faults(page) == []
        page.get_by_role("dialog").get_by_label("Key", exact=True).fill(secret)
        page.get_by_role("button", name="Use it").click()
        page.get_by_text("vicino ingest").first.wait_for()  # it may look now, and there is no collection yet
        assert secret not in page.content()
