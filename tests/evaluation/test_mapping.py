"""Maps: honest about what they keep, complete on paper, and safe whatever the captions hold."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.sparse import csr_array

from vicino.data.things import Things
from vicino.errors import ArtifactError, DimensionMismatch, EmptyInput, InputError, InvalidVectors, MissingExtra
from vicino.evaluation import mapping
from vicino.evaluation.mapping import draw, to_html, write_csv, write_html
from vicino.evaluation.thumbnails import sheets
from vicino.spaces import Space

HOSTILE = "</script><script>alert(1)</script><!-- \" ' & \u2028 \ud800 <img src=x onerror=alert(1)>"
SPACE = Space("0" * 16, 4, "cosine")


def things(n, labels=None, pictures=None, captions=None):
    ids = [f"t{row}" for row in range(n)]
    return Things(ids, ids, captions or [f"thing {row}" for row in range(n)], labels, pictures, total=n)


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


def test_a_map_lays_out_all_and_says_what_it_keeps(vectors):
    drawn = draw(things(40), vectors, SPACE, method="pca")
    (plane,) = drawn.planes
    assert plane.coordinates.shape == (40, 2)
    assert 0 < plane.kept < 1
    assert drawn.by_chance == pytest.approx(10 / 39)
    assert drawn.near.shape == (40, 10)
    cosines = mapping.normalise(vectors) @ mapping.normalise(vectors).T
    assert drawn.near[0, 0] == np.argsort(-cosines[0])[1]


def test_both_methods_stand_on_the_map_where_tsne_is_installed(need, vectors):
    from vicino.catalog import Entry

    need(Entry("openTSNE:TSNE", "", "map"))
    assert [plane.method for plane in draw(things(40), vectors, SPACE).planes] == ["tsne", "pca"]


def test_without_the_extra_there_is_pca_and_a_word_about_it(monkeypatch, vectors):
    monkeypatch.setattr(mapping, "can_tsne", lambda: False)
    monkeypatch.setattr("vicino.learning.projection.can_tsne", lambda: False)
    drawn = draw(things(40), vectors, SPACE)
    assert [plane.method for plane in drawn.planes] == ["pca"]
    assert "the extra 'map'" in drawn.notes[0]
    with pytest.raises(MissingExtra):
        draw(things(40), vectors, SPACE, method="tsne")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_one_point_is_a_map_too(n):
    drawn = draw(things(n), np.eye(n, 4), SPACE)
    assert [plane.method for plane in drawn.planes] == ["pca"]
    assert (drawn.planes[0].kept is None) == (n < 3)
    assert "thing 0" in to_html(drawn)


def test_equal_vectors_stand_in_the_middle():
    page = data_of(to_html(draw(things(8), np.ones((8, 4)), SPACE)))
    assert set(page["planes"]["pca"]) == {32768}


def test_a_vector_of_zeros_has_no_place_where_directions_count(vectors):
    rows = vectors.copy()
    rows[[3, 5]] = 0
    drawn = draw(things(40, labels=["x"] * 40), rows, SPACE, method="pca")
    assert len(drawn.things) == len(drawn.things.labels) == 38
    assert "t3" not in drawn.things.ids
    assert "2 left out" in drawn.notes[0]
    assert len(draw(things(40), rows, Space("0" * 16, 4, "euclidean"), method="pca").things) == 40
    with pytest.raises(EmptyInput, match="nothing to draw"):
        draw(things(2), np.zeros((2, 4)), SPACE)


def test_sparse_rows_are_laid_out_as_dense_ones(vectors):
    dense, sparse = (draw(things(40), each, SPACE, method="pca") for each in (vectors, csr_array(vectors)))
    np.testing.assert_allclose(np.abs(dense.planes[0].coordinates), np.abs(sparse.planes[0].coordinates), atol=1e-4)
    assert (dense.near == sparse.near).all()


def test_vectors_that_cannot_be_drawn_are_refused(vectors):
    broken = vectors.copy()
    broken[7, 0] = np.nan
    with pytest.raises(InvalidVectors, match="row 7"):
        draw(things(40), broken, SPACE)
    with pytest.raises(InvalidVectors, match="NaN"):
        draw(things(40), csr_array(broken), SPACE)
    with pytest.raises(DimensionMismatch, match="40 vectors of 3 things"):
        draw(things(3), vectors, SPACE)
    with pytest.raises(InputError, match="no map by 'umap'"):
        draw(things(40), vectors, SPACE, method="umap")


def test_past_what_is_searched_exactly_no_lines_are_promised(monkeypatch, vectors):
    monkeypatch.setattr(mapping, "_EXACT", 30)
    drawn = draw(things(40), vectors, SPACE, method="pca")
    assert drawn.near is None
    assert 0 < drawn.planes[0].kept < 1
    assert data_of(to_html(drawn))["near"] is None


# The page -------------------------------------------------------------------------------------------------------------


def data_of(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)[1])


class Reader(HTMLParser):
    """Elements with their attributes, as a browser finds them."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_page_holds_hostile_captions_as_data_only(vectors):
    held = things(40, labels=[HOSTILE] * 20 + ["calm"] * 20, captions=[HOSTILE] * 40)
    page = to_html(draw(held, vectors, SPACE, method="pca", made_by=HOSTILE, made_of=HOSTILE))
    elements = Reader(page).found
    assert [tag for tag, _ in elements].count("script") == 2
    assert not [tag for tag, _ in elements if tag == "img"]
    data = data_of(page)
    assert data["captions"][0] == HOSTILE.replace("\ud800", "?")
    assert data["labels"][0] == HOSTILE.replace("\ud800", "?")
    page.encode()


def test_the_page_asks_nobody_and_runs_only_its_own_script(vectors):
    page = to_html(draw(things(40), vectors, SPACE, method="pca"))
    elements = Reader(page).found
    policy = next(each["content"] for tag, each in elements if each.get("http-equiv") == "Content-Security-Policy")
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    for _, attributes in elements:
        assert not [name for name in attributes if name.startswith("on")], attributes
        assert not re.match(r"(?:https?:)?//", attributes.get("src") or attributes.get("href") or "")
    assert not re.search(r"innerHTML|insertAdjacent|document\.write|\beval\(|new Function|fetch\(|XMLHttp", script)


def test_the_page_has_points_labels_and_neighbours(vectors):
    labels = ["b"] * 25 + ["a"] * 10 + [""] * 5
    data = data_of(to_html(draw(things(40, labels=labels), vectors, SPACE, method="pca")))
    assert data["labels"] == ["b", "a", ""]
    assert data["label"] == [0] * 25 + [1] * 10 + [2] * 5
    places = np.array(data["planes"]["pca"]).reshape(40, 2)
    assert (places.min(), places.max()) == (0, 65535)  # the wider axis fills the page
    assert len(data["near"]) == 40 * data["k"] == 400
    assert data["ids"][:2] == ["t0", "t1"]


def test_the_second_axis_points_upwards():
    rows = np.array([[3.0, 0], [-3, 0], [0, 1], [0, -1], [1, 1]])
    drawn = draw(things(5), rows, Space("0" * 16, 2, "euclidean"), method="pca")
    up = drawn.planes[0].coordinates[:, 1]
    down = np.array(data_of(to_html(drawn))["planes"]["pca"]).reshape(5, 2)[:, 1]
    assert (np.argsort(up) == np.argsort(-down)).all()


def test_labels_may_be_absent(vectors):
    page = to_html(draw(things(40), vectors, SPACE, method="pca"))
    assert data_of(page)["label"] is None
    assert "labels-h" not in page


def test_a_sample_and_what_was_left_out_are_said(vectors):
    held = things(40).take(range(40), "7 images could not be read")
    page = to_html(draw(Things(held.ids, held.items, held.captions, total=5000), vectors, SPACE, method="pca", seed=9))
    assert "40 points of 5,000" in page
    assert "40 of 5,000, drawn by chance (seed 9)" in page
    assert "7 images could not be read" in to_html(draw(held, vectors, SPACE, method="pca"))


def test_the_same_map_is_the_same_page(vectors):
    assert to_html(draw(things(40), vectors, SPACE)) == to_html(draw(things(40), vectors, SPACE))


# Pictures, tables -----------------------------------------------------------------------------------------------------


def picture_of(uri):
    import io

    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def test_thumbnails_stand_in_rows_on_sheets(need):
    from vicino.catalog import Entry

    need(Entry("PIL:Image", "", "images"))
    side = 6
    small = np.full((1026, side, side, 3), 255, np.uint8)
    small[33] = small[1024] = (255, 0, 0)
    first, last = map(picture_of, sheets(small))
    assert (first.shape, last.shape) == ((32 * side, 32 * side, 3), (side, 2 * side, 3))
    red = np.argwhere(first[..., 1] < 128)
    assert (red.min(axis=0).tolist(), red.max(axis=0).tolist()) == ([side, side], [2 * side - 1, 2 * side - 1])
    assert (last[:, : side - 1, 1] < 128).all()
    assert (last[:, side + 1 :] > 200).all()
    assert sheets(small[:0]) == []


def test_pictures_are_inside_the_page(need, vectors):
    from vicino.catalog import Entry

    need(Entry("PIL:Image", "", "images"))
    pictures = np.zeros((40, 9, 9, 3), np.uint8)
    data = data_of(to_html(draw(things(40, pictures=pictures), vectors, SPACE, method="pca")))
    assert len(data["sheets"]) == 1
    assert data["sheets"][0].startswith("data:image/png;base64,")
    assert data["side"] == 9


def test_the_table_holds_coordinates_and_vectors_to_the_bit(tmp_path, vectors):
    drawn = draw(things(40, captions=['a "b", c\nd'] * 40), vectors, SPACE, method="pca")
    with write_csv(drawn, tmp_path / "new" / "map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == list(drawn.things.ids)
    assert rows[0]["caption"] == 'a "b", c\nd'
    read = np.array([[row["pca_x"], row["pca_y"]] for row in rows], dtype=np.float32)
    assert (read == drawn.planes[0].coordinates).all()
    assert (np.array([[row[f"v{i}"] for i in range(4)] for row in rows], dtype=np.float32) == drawn.vectors).all()
    sparse = draw(things(40), csr_array(vectors), SPACE, method="pca")
    assert "v0" not in write_csv(sparse, tmp_path / "sparse.csv").read_text()


def test_the_record_is_plain_json(vectors):
    plain = json.loads(json.dumps(draw(things(40), vectors, SPACE, method="pca").to_json(), allow_nan=False))
    assert plain["points"][3]["id"] == "t3"
    assert len(plain["points"][3]["pca"]) == 2
    assert plain["kept"]["pca"] == pytest.approx(draw(things(40), vectors, SPACE, method="pca").planes[0].kept)


def test_a_page_goes_where_it_is_asked_and_only_as_html(tmp_path, vectors):
    drawn = draw(things(40), vectors, SPACE, method="pca")
    assert write_html(drawn, tmp_path / "deep" / "map.html").read_text() == to_html(drawn)
    with pytest.raises(InputError, match=r"map\.png"):
        write_html(drawn, tmp_path / "map.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        write_html(drawn, tmp_path / "file" / "map.html")
