"""Charts: their axes, where labels go, and that any text is only text."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.errors import EmptyInput
from vicino.evaluation import charts
from vicino.evaluation.charts import Mark

WORDS = {"name": "c", "title": "what it shows", "desc": "in words"}
AXES = {"x_label": "cost", "y_label": "nDCG@10"}
finite = st.floats(-1e6, 1e6, allow_nan=False)


def texts(svg):
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter("text")]


def share(text):
    assert text.endswith("%")
    return float(text[:-1]) / 100


# Axes -----------------------------------------------------------------------------------------------------------------


@given(finite, finite)
def test_nice_ticks_cover_the_range_in_equal_round_steps(a, b):
    low, high = sorted((a, b))
    ticks = charts.nice_ticks(low, high)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 * step
    assert ticks[-1] >= high - 1e-6 * step
    assert 2 <= len(ticks) <= 8
    assert all(later - earlier == pytest.approx(step, rel=1e-6) for earlier, later in itertools.pairwise(ticks))
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(mantissa == pytest.approx(nice, rel=1e-6) for nice in (1, 2, 5))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.658, 0.723, [0.64, 0.66, 0.68, 0.7, 0.72, 0.74]), (-0.44, 0.68, [-0.5, 0, 0.5, 1])],
)
def test_nice_ticks_worked_by_hand(low, high, ticks):
    assert charts.nice_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, -3.0, 1e5])
def test_equal_bounds_still_make_an_axis(value):
    ticks = charts.nice_ticks(value, value)
    assert ticks[0] < value < ticks[-1]


@given(st.floats(1e-3, 1e6), st.floats(2.51, 1e6))
def test_log_ticks_are_round_and_within_bounds(low, factor):
    ticks = charts.log_ticks(low, low * factor)
    assert ticks
    assert all(low <= tick <= low * factor for tick in ticks)
    assert len(set(ticks)) == len(ticks)


def test_tick_labels_tell_ticks_apart():
    assert charts.tick_labels([0.655, 0.66]) == ["0.655", "0.660"]
    assert charts.tick_labels([-1000.0, 0.0]) == ["−1,000", "0"]


# The Pareto front -----------------------------------------------------------------------------------------------------


def test_the_front_worked_by_hand():
    assert charts.pareto([]) == []
    assert charts.pareto([(5, 0.1)]) == [0]
    assert charts.pareto([(3, 0.9), (1, 0.5), (2, 0.4), (4, 0.9)]) == [1, 0]  # dearer at no more quality is beaten
    assert charts.pareto([(1, 0.5), (1, 0.6)]) == [1]
    assert charts.pareto([(1, 0.5), (1, 0.5)]) == [0, 1]  # twins stand together


points = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12)


@given(points)
def test_the_front_is_what_nothing_dominates(given_points):
    def dominated(one):
        return any(
            other[0] <= one[0] and other[1] >= one[1] and (other[0] < one[0] or other[1] > one[1]) for other in given_points
        )

    front = charts.pareto(given_points)
    assert set(front) == {index for index, one in enumerate(given_points) if not dominated(one)}
    assert [given_points[index][0] for index in front] == sorted(given_points[index][0] for index in front)


# What is drawn --------------------------------------------------------------------------------------------------------

NASTY = "<script>&\"'</svg>"
MARKS = [
    Mark("tuned", 0.7, 0.65, 0.75, 40.0, "pick", "our pick"),
    Mark("bm25", 0.6, 0.55, 0.65, 1.0, "baseline", "baseline"),
    Mark(NASTY, 0.5, 0.45, 0.55, 0.0),
]


def drawn():
    yield charts.intervals(MARKS, reference=0.6, **WORDS)
    yield charts.scatter(MARKS, **AXES, **WORDS)
    yield charts.bars([("100", 0.0), (NASTY, 1.0)], x_label=NASTY, **WORDS)
    yield charts.differences([0.5, 0.0, -0.25], **WORDS)
    yield charts.shares([(NASTY, [0.7, 0.3])], [NASTY, "b"], **WORDS)


@pytest.mark.parametrize("svg", list(drawn()), ids=["intervals", "scatter", "bars", "differences", "shares"])
def test_charts_are_well_formed_and_told_in_words(svg):
    root = ET.fromstring(svg)  # raises where an element is not closed or a text not escaped
    assert root.find("title").text == "what it shows"
    assert root.find("desc").text == "in words"
    assert root.get("aria-labelledby") == root.find("title").get("id") == "c-title"
    assert not list(root.iter("script"))
    assert "nan" not in svg
    assert "inf" not in svg.replace("info", "")


def test_intervals_put_dots_where_the_numbers_are():
    root = ET.fromstring(charts.intervals(MARKS, reference=0.6, **WORDS))
    whiskers = [node for node in root.iter("line") if node.get("class").startswith("whisker")]
    dots = [share(node.get("x")) for node in root.iter("svg") if node.get("class") == "at"]
    assert len(whiskers) == len(dots) == 3
    for dot, whisker in zip(dots, whiskers, strict=True):
        assert dot == pytest.approx((share(whisker.get("x1")) + share(whisker.get("x2"))) / 2, abs=1e-4)
    assert dots[0] - dots[1] == pytest.approx(dots[1] - dots[2], abs=1e-4)  # 0.7, 0.6, 0.5
    reference = next(node for node in root.iter("line") if node.get("class") == "reference")
    assert share(reference.get("x1")) == pytest.approx(dots[1], abs=1e-4)


def test_roles_differ_in_shape_and_not_in_colour_alone():
    root = ET.fromstring(charts.intervals(MARKS, reference=0.6, **WORDS))
    assert len({node.get("d") for node in root.iter("path") if "dot" in node.get("class")}) == 3


def test_a_cost_of_ten_times_is_one_step_on_the_axis():
    marks = [Mark(str(cost), 0.5, cost=cost) for cost in (0.01, 1, 100)]
    root = ET.fromstring(charts.scatter(marks, **AXES, **WORDS))
    left, middle, right = (
        share(node.get("x")) for node in root.iter("svg") if any("dot" in path.get("class") for path in node.findall("path"))
    )
    assert middle - left == pytest.approx(right - middle, abs=1e-4)


def test_the_pick_lies_on_top_of_its_twins():
    root = ET.fromstring(charts.scatter([MARKS[0], Mark("twin", 0.7, cost=40.0)], **AXES, **WORDS))
    dots = [node for node in root.iter("path") if "dot" in node.get("class")]
    assert dots[-1].get("class") == "dot pick"


def label_boxes(svg, width):
    """(left, right, top, bottom) in pixels of every candidate's label, at 6.7 pixels a letter."""
    boxes = []
    for place in ET.fromstring(svg).iter("svg"):
        for text in place.findall("text"):
            if "label" in text.get("class"):
                x, y = width * share(place.get("x")) + float(text.get("x")), float(place.get("y")) + float(text.get("y")) - 4
                wide = 6.7 * len(text.text)
                left = x - {"start": 0, "middle": wide / 2, "end": wide}[text.get("text-anchor")]
                boxes.append((left, left + wide, y - 7.5, y + 7.5))
    return boxes


def overlap(one, other):
    return one[0] < other[1] - 0.1 and other[0] < one[1] - 0.1 and one[2] < other[3] - 0.1 and other[2] < one[3] - 0.1


@given(st.lists(st.tuples(st.floats(0.001, 1e4), st.floats(0, 1)), min_size=1, max_size=6))
def test_labels_never_collide_on_a_phone_nor_on_a_desk(candidates):
    marks = [Mark(f"bm25+lsa{number}", quality, cost=cost) for number, (cost, quality) in enumerate(candidates)]
    svg = charts.scatter(marks, **AXES, **WORDS)
    for width in (300, 520, 900):
        boxes = label_boxes(svg, width)
        assert len(boxes) == len(marks)
        assert not [pair for pair in itertools.combinations(boxes, 2) if overlap(*pair)]
        assert all(left >= -0.1 and right <= width + 0.1 for left, right, _, _ in boxes)


def test_many_twins_still_get_a_label_each():
    marks = [Mark(f"twin{number}", 0.5, cost=1.0) for number in range(60)]
    assert {mark.label for mark in marks} <= set(texts(charts.scatter(marks, **AXES, **WORDS)))


def test_long_names_are_cut_in_the_middle():
    name = "sentence-transformers/all-MiniLM-L6-v2+bm25:tuned"
    label = texts(charts.intervals([Mark(name, 0.5, 0.4, 0.6)], reference=0.5, **WORDS))[0]
    assert len(label) < 32
    assert label.startswith("sentence-")
    assert label.endswith("bm25:tuned")


def test_bars_grow_with_their_share():
    root = ET.fromstring(charts.bars([("1", 0.0), ("2", 0.25), ("3", 0.5)], x_label="", **WORDS))
    heights = [float(node.get("height")) for node in root.iter("rect")]
    assert heights == pytest.approx([0, 60, 120])
    assert {"0%", "25%", "50%"} <= set(texts(charts.bars([("1", 0.0), ("2", 0.25), ("3", 0.5)], x_label="", **WORDS)))


def test_a_sliver_is_not_called_nothing():
    assert "<1%" in texts(charts.bars([("1", 0.001)], x_label="", **WORDS))


def test_differences_are_sorted_steps_of_equal_width():
    svg = charts.differences([-0.25, 0.5, 0.0, 0.5], **WORDS)
    gain, loss = (node.get("d") for node in ET.fromstring(svg).iter("path"))
    assert gain == "M0 0V-0.5H2V0H4V0Z"
    assert loss == "M0 0V0H3V0.25H4V0Z"
    assert {"better on 2", "worse on 1"} <= set(texts(svg))


def test_shares_fill_their_bar():
    root = ET.fromstring(charts.shares([("final", [0.35, 0.6, 0.05])], ["bm25", "lsa", "tfidf"], **WORDS))
    boxes = [(share(node.get("x")), share(node.get("width"))) for node in root.iter("rect")]
    assert sum(width for _, width in boxes) == pytest.approx(0.85, abs=1e-4)
    for (x, width), (following, _) in itertools.pairwise(boxes):
        assert x + width == pytest.approx(following, abs=1e-4)
    written = ["".join(node.itertext()) for node in root.iter("text")]
    assert written == ["final", "bm25 0.35", "lsa 0.60", ""]  # too narrow for a word: it stands in the table


@pytest.mark.parametrize("value", [0.0, 0.3, -0.3])
def test_all_equal_values_can_be_drawn(value):
    ET.fromstring(charts.differences([value] * 3, **WORDS))
    ET.fromstring(charts.intervals([Mark("a", value, value, value)] * 2, reference=value, **WORDS))
    ET.fromstring(charts.scatter([Mark("a", value)] * 2, **AXES, **WORDS))


def test_nothing_to_draw_is_an_error():
    with pytest.raises(EmptyInput, match="nothing to draw"):
        charts.differences([], **WORDS)
