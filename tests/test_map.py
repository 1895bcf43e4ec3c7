"""Maps as a user makes them: the verb on texts, words and nodes, the command, and the page in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from vicino import cli, workbench
from vicino.catalog import Entry
from vicino.encoders.counts import LSA, TfIdf
from vicino.encoders.graphs import DeepWalk
from vicino.encoders.words import Word2Vec
from vicino.errors import InputError, UnknownName

RING = [(f"n{i}", f"n{(i + step) % 30}") for i in range(30) for step in (1, 2)]


@pytest.fixture(scope="module")
def nodes():
    return DeepWalk(vector_size=8, num_walks=2, walk_length=10, epochs=1, seed=1).fit(RING)


@pytest.fixture
def rows(tmp_path, texts):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text, "topic": "ab"[row % 2]}) + "\n" for row, text in enumerate(texts)))
    return path


def run(capsys, *arguments):
    try:
        cli.main([str(each) for each in arguments])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_an_encoder_that_has_not_learnt_learns_from_what_is_drawn(rows, texts):
    drawn = workbench.map("lsa(n_components=3)", rows, method="pca")
    assert len(drawn.things) == len(texts)
    assert set(drawn.things.labels) == {"a", "b"}
    assert (drawn.made_by, drawn.made_of) == ("lsa(n_components=3)", "rows.jsonl")
    wanted = LSA(n_components=3).fit(texts).encode(texts)
    np.testing.assert_allclose(drawn.vectors, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)


def test_sparse_encoders_are_drawn(rows, texts):
    assert workbench.map(TfIdf().fit(texts), rows, method="pca").planes[0].coordinates.shape == (12, 2)


def test_words_are_their_own_data_the_most_frequent_first(texts):
    encoder = Word2Vec(vector_size=4, min_count=1, epochs=1, seed=1).fit(texts * 3)
    drawn = workbench.map(encoder, n=9, method="pca")
    counts = dict(zip(encoder.vocabulary_.terms, encoder.counts_.tolist(), strict=True))
    assert [counts[word] for word in drawn.things.ids] == sorted(counts.values(), reverse=True)[:9]
    assert drawn.made_of == "words"
    assert f"the 9 most frequent of {len(counts)}" in drawn.notes[0]
    unit = encoder[drawn.things.ids[0]]
    np.testing.assert_allclose(drawn.vectors[0], unit / np.linalg.norm(unit), atol=1e-6)


def test_nodes_are_coloured_by_a_table_and_unknown_ones_left_out(tmp_path, nodes):
    (tmp_path / "nodes.tsv").write_text("node\tlabel\n" + "".join(f"n{i}\t{i % 3}\n" for i in range(10)) + "stranger\t1\n")
    drawn = workbench.map(nodes, tmp_path / "nodes.tsv", method="pca")
    assert list(drawn.things.ids) == [f"n{i}" for i in range(10)]
    assert list(drawn.things.labels) == [str(i % 3) for i in range(10)]
    assert "1 left out: the encoder does not know them" in drawn.notes
    assert len(workbench.map(nodes, method="pca").things) == 30


def test_what_cannot_be_drawn_is_refused(tmp_path, rows, texts, nodes):
    with pytest.raises(InputError, match="no names of its own"):
        workbench.map(LSA(n_components=2).fit(texts))
    with pytest.raises(InputError, match="0 things"):
        workbench.map("lsa", rows, n=0)
    with pytest.raises(UnknownName, match="lsaa"):
        workbench.map("lsaa", rows)
    (tmp_path / "nodes.txt").write_text("nobody\n")
    with pytest.raises(InputError, match="nothing to draw"):
        workbench.map(nodes, tmp_path / "nodes.txt")


def test_the_command_writes_a_page_and_a_table(tmp_path, rows, capsys):
    page, table = tmp_path / "map.html", tmp_path / "map.csv"
    given = ("map", "lsa(n_components=3)", rows, "--out", page, "--csv", table, "--n", 8, "--quiet")
    code, out, err = run(capsys, *given)
    assert code == 0
    assert "8 points in" in out
    assert re.search(r"PCA keeps \d+\.\d% of the 6 nearest neighbours", out)
    assert "8 of 12, drawn by chance" in err
    assert page.read_text().startswith("<!doctype html>")
    assert len(table.read_text().splitlines()) == 9
    code, out, _ = run(capsys, *given, "--json", "--method", "pca")
    plain = json.loads(out)
    assert (plain["things"], plain["of"], plain["path"]) == (8, 12, str(page))
    assert list(plain["kept"]) == ["pca"]


def test_a_page_of_another_kind_is_refused_before_anything_is_read(tmp_path, capsys):
    code, _, err = run(capsys, "map", "lsa", tmp_path / "absent", "--out", tmp_path / "map.png")
    assert code == 2
    assert "let it end in .html" in err


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_browser_runs_the_page_and_paints_the_points(tmp_path, need, theme):
    """Chromium, where the machine has one: the script is let through by its hash, lists the labels and paints."""
    from vicino.data.things import Things
    from vicino.evaluation.mapping import draw, write_html
    from vicino.spaces import Space

    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    need(Entry("PIL:Image", "", "images"))
    from PIL import Image

    names = [f"p{row}" for row in range(60)]
    hostile = "</script><b>north</b>"
    vectors = np.random.default_rng(0).normal(size=(60, 3)) + np.repeat(np.eye(2, 3) * 9, 30, axis=0)
    things = Things(names, names, [hostile] * 60, [hostile] * 30 + ["south"] * 30, total=60)
    page = write_html(draw(things, vectors, Space("0" * 16, 3, "euclidean"), method="pca"), tmp_path / "map.html")
    shot = tmp_path / "map.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,800"]
    options += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if theme == "dark" else []
    told = [f"--screenshot={shot}", "--dump-dom", "--virtual-time-budget=2000", page.as_uri()]
    kept = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    done = subprocess.run([browser, *options, *told], capture_output=True, text=True, env=kept, timeout=100, check=True)
    assert 'data-state="drawn"' in done.stdout
    legend = re.search(r'<ul id="legend">(.*?)</ul>', done.stdout, re.DOTALL)[1]
    assert legend.count("<button") == 2
    assert "&lt;b&gt;north&lt;/b&gt;" in legend
    assert "<b>north" not in done.stdout
    colours = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    dots = {"light": ((0, 114, 178), (213, 94, 0)), "dark": ((61, 155, 224), (240, 122, 42))}[theme]
    for dot in dots:
        at = np.argwhere(abs(colours[:, :800] - dot).max(axis=2) < 30)
        assert len(at) > 30 * 20  # thirty points of some pixels each
