"""The map: points, neighbours, a lasso, two models side by side."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest


def drawn(page, count, name="first"):
    """Wait until a map shows so many points. (What playwright calls `wait_for_function` is an eval, which the page refuses.)"""
    page.locator(f'canvas[data-map="{name}"][data-drawn="{count}"]').wait_for()


def selected(page, count):
    page.locator(f'[data-selected="{count}"]').wait_for()


def rows(page):
    return page.locator(".map-table tbody tr")


@pytest.fixture
def count(library):
    return len(library[1])


def test_every_point_is_drawn_and_a_question_lights_its_true_neighbours(visit, site, count, expect, picture):
    page = visit("/map?collection=library&colour=path&method=pca")
    drawn(page, count)
    page.get_by_label("Light up what is nearest to", exact=True).fill("parse the header of a message")
    page.get_by_role("button", name="Find").click()
    page.get_by_text("Nearest to “parse the header of a message”").first.wait_for()
    true = site.post("/api/collections/library/map/neighbours", json={"query": "parse the header of a message", "k": 10}).json()
    points = site.post("/api/collections/library/map/points", json={"rows": true["rows"]}).json()["points"]
    names = [f"{one['source']}/{one['document']}" for one in points]
    assert len(names) == 10
    expect(rows(page).locator(".id")).to_have_text(names)
    picture(page, "map")
    page.wait_for_url(re.compile("q=parse"))
    url = page.url
    page.reload()
    drawn(page, count)
    assert page.url == url
    expect(rows(page).locator(".id")).to_have_text(names)


def test_a_lasso_selects_what_is_inside_and_exports_it(visit, count, site):
    page = visit("/map?collection=library&method=pca")
    drawn(page, count)
    page.get_by_role("button", name="Lasso").click()
    page.get_by_role("button", name="Lasso", pressed=True).wait_for()
    page.get_by_role("button", name=f"In view {count}").wait_for()  # it stands still
    box = page.locator('canvas[data-map="first"]').bounding_box()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    page.mouse.move(box["x"] + 0.01 * box["width"], box["y"] + 0.01 * box["height"])
    page.mouse.down()
    for x, y in corners:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    page.mouse.up()
    selected(page, count)  # the whole map was in view
    page.wait_for_url(re.compile("lasso="))
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"Export {count} as CSV").click()
    lines = list(csv.DictReader(io.StringIO(waiting.value.path().read_text(encoding="utf-8-sig"))))
    assert len(lines) == count
    assert len({line["document"] for line in lines}) == count
    page.reload()
    selected(page, count)
    page.get_by_role("button", name="Clear the selection").click()
    selected(page, 0)


def test_two_models_are_linked_and_their_trust_is_said(visit, count, site):
    page = visit("/map?collection=library&method=pca")
    drawn(page, count)
    page.get_by_role("button", name="Two maps").click()
    drawn(page, count, "second")
    rows(page).first.get_by_role("button", name=re.compile("^Neighbours")).click()
    page.get_by_text(re.compile(r"Of \d+ neighbours by the first model, \d+ are neighbours by the second too")).wait_for()
    share = page.get_by_label("Share of neighbours kept")
    share.nth(1).wait_for()  # it is counted when the maps are there, and shown then
    kept = site.get("/api/collections/library/map", params={"method": "pca"}).json()["kept"]
    shown = share.first.get_attribute("value")
    assert float(shown) == pytest.approx(kept, abs=1e-6)


def test_no_map_is_said_to_keep_what_another_one_keeps(visit, site, expect):
    counting = [True]

    def tell(route):
        told = site.get(route.request.url).json()
        route.fulfill(json=told | ({"kept": None, "measuring": True} if counting else {}))

    page = visit("/why")
    page.route(re.compile(r"/library/map\?"), tell)
    page.goto(f"{page.address}/map?collection=library&method=pca")
    share = page.get_by_label("Share of neighbours kept")
    page.get_by_text("Counting how many").wait_for()
    counting.clear()
    share.wait_for()
    counting.append(True)
    model = page.get_by_role("combobox", name="Model", exact=True)
    model.select_option(index=1 - model.evaluate("each => each.selectedIndex"))
    page.get_by_text("Counting how many").wait_for()
    expect(share).to_have_count(0)
    counting.clear()
    share.wait_for()


def test_a_filter_hides_points_and_the_keyboard_moves_and_picks(visit, count, library, expect):
    page = visit("/map?collection=library&method=pca")
    drawn(page, count)
    page.get_by_label("Show only").select_option("path")
    first = library[1][0].metadata["path"]
    page.get_by_label(str(first), exact=False).first.check()
    some = sum(one.metadata["path"] == first for one in library[1])
    drawn(page, some)
    page.reload()
    drawn(page, some)
    in_view = page.get_by_role("button", name=re.compile("^In view"))
    expect(in_view).to_have_text(f"In view {some}")
    page.keyboard.press("m")
    expect(page.locator('canvas[data-map="first"]')).to_be_focused()
    page.keyboard.press("+")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    expect(in_view).to_have_text("In view 0")
    page.keyboard.press("0")
    expect(in_view).to_have_text(f"In view {some}")
    page.keyboard.press("v")
    selected(page, some)
    page.keyboard.press("c")
    selected(page, 0)


def test_coordinates_are_those_that_are_drawn(site, count):
    answer = site.get("/api/collections/library/map/coordinates", params={"method": "pca"})
    places = np.frombuffer(answer.content, "<f4").reshape(-1, 2)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert np.ptp(places, axis=0).min() > 0
