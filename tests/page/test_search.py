"""Search A|B and Why, by mouse and by keyboard."""

from __future__ import annotations

import re
import time

import pytest

ASKED = "parse the header of a message"
LINK = "/search?q=parse+the+header+of+a+message"


def hits(page, column):
    return page.locator(f'[data-column="{column}"] .hit')


def saving(page):
    """`with saving(page):` until the server has kept a rating: the page shows it at once."""
    return page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/api/judgments"))


def test_a_question_is_answered_twice_compared_and_rated(visit, judgments, picture):
    page = visit("/")
    page.get_by_label("Question").fill(ASKED)
    page.get_by_role("button", name="Search", exact=True).click()
    hits(page, 0).first.wait_for()
    hits(page, 1).first.wait_for()
    summary = page.get_by_label("Comparison")
    counts = {name: int(summary.locator(f"div:has(> dt:text-is('{name}')) dd").inner_text()) for name in ("only A", "in common")}
    assert counts["only A"] + counts["in common"] == hits(page, 0).count() == 10
    before = len(judgments())
    with saving(page):
        hits(page, 0).first.get_by_role("button", name="3, ").click()
    page.locator(".summary", has_text=re.compile(r"nDCG@10 by \d+ rating")).wait_for()
    kept = judgments()[before:]
    assert [(one["query"], one["grade"], one["blind"]) for one in kept] == [(ASKED, 3, False)]
    assert kept[0]["configuration"]["rank"] == 1
    page.keyboard.press("Escape")
    picture(page, "search")


def test_a_link_and_a_reload_show_the_same(visit, expect):
    page = visit(f"{LINK}&k=5")
    hits(page, 1).first.wait_for()
    page.locator(".side-b details summary").click()
    with page.expect_response(lambda answer: answer.url.endswith("/api/search") and '"dense"' in answer.request.post_data):
        page.locator(".side-b").get_by_label("Search by").select_option("dense")
    page.wait_for_url(re.compile("b.mode=dense"))
    page.locator('[data-column="1"] .hits[aria-busy="false"]').wait_for()
    shown = hits(page, 1).locator("h3").all_inner_texts()
    assert len(shown) == 5
    page.reload()
    expect(hits(page, 1).locator("h3")).to_have_text(shown, use_inner_text=True)
    other = visit(page.url.partition("/search")[1] + page.url.partition("/search")[2])
    expect(hits(other, 1).locator("h3")).to_have_text(shown, use_inner_text=True)
    page.go_back()
    page.wait_for_url(lambda url: "b.mode=dense" not in url)
    expect(page.locator(".side-b").get_by_label("Search by")).to_have_value("lexical")


def test_the_keyboard_is_enough(visit, judgments):
    page = visit("/search")
    page.get_by_label("Question").wait_for()
    page.keyboard.press("/")
    page.keyboard.type(ASKED)
    page.keyboard.press("Enter")
    hits(page, 0).first.wait_for()
    hits(page, 1).first.wait_for()
    page.keyboard.press("Escape")
    before = len(judgments())
    page.keyboard.press("j")
    page.locator('[data-column="0"] .hit.at[data-place="0"]').wait_for()
    page.keyboard.press("j")
    page.locator('[data-column="0"] .hit.at[data-place="1"]').wait_for()
    with saving(page):
        page.keyboard.press("2")
    page.locator('[data-column="0"] .hit[data-place="1"] .grade-2[aria-pressed="true"]').wait_for()
    page.locator(".summary", has_text=re.compile("by \\d+ rating")).wait_for()
    assert judgments()[before:][0]["grade"] == 2
    page.keyboard.press("w")
    page.wait_for_url(re.compile("/why"))
    page.locator(".explanation h2").wait_for()
    page.keyboard.press("n")
    page.keyboard.type("hostile")
    page.keyboard.press("Enter")
    page.locator(".stages .stage").first.wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("On this screen").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.clock.install()
    page.clock.pause_at(time.time() + 3600)  # the second key counts for a moment only, however long it takes to be pressed
    page.keyboard.press("g")
    page.keyboard.press("e")
    page.wait_for_url(re.compile("/evidence"))


def test_what_answered_another_question_is_not_rated(visit, expect):
    page = visit(LINK)
    hits(page, 1).first.wait_for()
    held = []
    page.route("**/api/search", lambda route: route.continue_() if held else held.append(route))
    page.get_by_label("Question").fill("decode the header")
    with page.expect_request("**/api/search"):
        told = page.evaluate(
            """async () => {
                document.querySelector('form.ask').requestSubmit();
                for (let turn = 0; turn < 9; turn++) await null;  // no frame of the screen between
                return [...document.querySelectorAll('.hits')].map(each => each.ariaBusy);
            }"""
        )
    assert told == ["true", "true"]
    expect(hits(page, 0).first.get_by_role("button", name="3, ")).to_be_disabled()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.locator('[data-column="0"] .hit.at[data-place="0"]').wait_for()
    page.keyboard.press("3")
    held[0].continue_()
    expect(page.locator('.hits[aria-busy="false"]')).to_have_count(2)
    assert not [url for url in page.asked if url.endswith("/api/judgments")]  # where a rating is sent to


def test_what_is_typed_as_soon_as_the_box_is_there_stays(visit):
    page = visit("/evidence")
    page.evaluate(
        """() => new MutationObserver((_, watch) => {
            const box = document.querySelector('[data-search]');
            if (!box) return;
            watch.disconnect();
            box.value = 'quokka';
            box.dispatchEvent(new Event('input', { bubbles: true }));
        }).observe(document.body, { childList: true, subtree: true })"""
    )
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url(re.compile("q=quokka"))


def test_blind_mode_hides_which_is_which_until_it_is_revealed(visit, judgments):
    page = visit(LINK)
    hits(page, 0).first.wait_for()
    assert page.get_by_text(re.compile(r"^score ")).count()
    page.locator("body").press("b")
    page.get_by_role("button", name="Reveal").wait_for()
    hits(page, 1).first.wait_for()
    assert not page.get_by_text(re.compile(r"^score ")).count()
    assert not page.locator(".panels").count()
    assert page.locator("section.column h2").all_inner_texts() == ["Left", "Right"]
    before = len(judgments())
    with saving(page):
        hits(page, 0).first.get_by_role("button", name="0, ").click()
    page.locator(".summary", has_text=re.compile(r"by \d+ rating")).wait_for()
    assert judgments()[before:][0]["blind"]
    page.get_by_role("button", name="Reveal").click()
    page.locator(".panels").wait_for()
    assert sorted(page.locator("section.column h2").all_inner_texts()) == ["A", "B"]


def test_what_documents_say_is_only_ever_text(visit, expect):
    page = visit("/search?q=quokka&a.mode=lexical")
    hits(page, 0).first.wait_for()
    assert "<script>document.title = 2</script> quokka" in hits(page, 0).first.locator(".passage").inner_text()
    assert hits(page, 0).first.locator("h3").inner_text() == "<b>Harm</b>"
    assert not page.locator(".passage img, .passage script, h3 b").count()
    page.get_by_role("link", name="Why <b>Harm</b>").first.click()
    page.locator("mark").first.wait_for()
    assert page.locator("mark").first.inner_text() == "quokka"
    expect(page).to_have_title("Why · vicino")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (f"{LINK}&a.where=nowhere+%3D+1", "nowhere"),
        (f"{LINK}&a.collection=none", "none"),
        ("/search?q=zzzzqqqq&a.mode=lexical", "Nothing found"),
    ],
)
def test_what_is_wrong_is_said_where_it_is_wrong(visit, path, told):
    page = visit(path)
    state = page.locator('[data-column="0"] .state', has=page.locator("h2"))
    state.wait_for()
    assert told in state.inner_text()


# Why ------------------------------------------------------------------------------------------------------------------


def test_a_result_is_explained_and_its_sums_are_right(visit, expect, picture):
    page = visit("/why?q=parse+the+header+of+a+message")
    page.locator(".explanation h2").wait_for()
    words = page.locator(".card", has_text="Words: BM25")
    whole = float(re.search(r"BM25 ([\d.]+)", words.locator("h3").inner_text())[1])
    adds = [float(row.locator("td").nth(1).inner_text()) for row in words.locator("tbody tr").all()]
    assert sum(adds) == pytest.approx(whole, abs=0.01 * len(adds))
    assert "of all documents" in page.locator(".card", has_text="Vectors").inner_text()
    assert page.locator(".card", has_text="Put together by").count() == 1
    assert page.locator(".nearest mark").count()
    picture(page, "why")
    fourth = page.locator("nav.picks ol button").nth(3)
    name = fourth.locator(".pick-name").inner_text()
    fourth.click()
    page.wait_for_url(re.compile("document="))
    expect(page.locator(".explanation header")).to_contain_text("Number 4,")
    expect(page.locator(".explanation h2")).to_have_text(name)
    page.reload()
    expect(page.locator(".explanation header")).to_contain_text("Number 4,")
    expect(page.locator(".explanation h2")).to_have_text(name)


def test_a_passage_is_shown_in_its_document_as_text(visit, site, picture):
    asked = {"collection": "parts", "query": "numbat termites", "k": 20, "explain": True}
    (found,) = site.post("/api/search", json=asked).json()["results"]
    page = visit("/why?collection=parts&q=numbat+termites")
    place = page.locator(".nearest blockquote")
    place.wait_for()
    assert place.locator(".near").all_inner_texts() == ["The ", "numbat", " eats ", "termites", "."]
    before, after = place.locator("span").first.inner_text(), place.locator("span").last.inner_text()
    assert (before.strip(), after.strip()) == (found["why"]["passage"]["before"].strip(), "<i>After</i> the numbat came rain.")
    assert "<b>Before</b> there was" in before
    assert "<script>document.title = 3</script>" in before
    assert not place.locator("b, i, script").count()
    assert page.title() != "3"
    picture(page, "why-passage")


def test_why_not_another_document(visit, site):
    page = visit("/why?q=parse+the+header+of+a+message&where=language+%3D+'python'")
    page.locator(".explanation h2").wait_for()
    page.get_by_label("Why not document").fill("hostile")
    page.get_by_role("button", name="Ask").click()
    stages = page.locator(".stages .stage")
    stages.first.wait_for()
    asked = {"collection": "library", "query": "parse the header of a message", "k": 20, "where": "language = 'python'"}
    told = site.post("/api/why-not", json={**asked, "document": "hostile"}).json()
    assert page.locator(".reasons h2").inner_text() == told["verdict"]
    assert stages.count() == len(told["stages"])
    assert page.locator(".stage.lost h3").inner_text().startswith("Filter")
    page.reload()
    page.locator(".stages .stage").first.wait_for()
    assert page.locator(".reasons h2").inner_text() == told["verdict"]
    page.get_by_label("Why not document").fill("no such document")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("no such document").first.wait_for()
