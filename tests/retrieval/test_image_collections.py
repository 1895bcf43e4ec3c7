"""Collections of images: kept by what their bytes are, found by an image, and never mixed with words."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from vicino import cli, workbench
from vicino.catalog import Entry
from vicino.data.images.documents import image_documents
from vicino.errors import InputError, UnreadableSource


@pytest.fixture
def photos(tmp_path, monkeypatch, need):
    """Six images of two classes, one that is torn, and a file that is none."""
    need(Entry("PIL:Image", "", "images"))
    need(Entry("lance:dataset", "", "store"))
    from PIL import Image

    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    draw = np.random.default_rng(0)
    for number in range(6):
        place = tmp_path / "photos" / ("cat" if number < 3 else "dog") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(place)
    (tmp_path / "photos" / "cat" / "torn.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "photos" / "cat" / "notes.txt").write_text("not an image")
    return tmp_path / "photos"


def test_documents_of_images_say_where_they_lie_and_what_they_are(photos):
    reading = image_documents(photos)
    documents = list(reading)
    assert [each.id for each in documents] == [f"{'cat' if n < 3 else 'dog'}/{n}.png" for n in range(6)]
    assert documents[0].text == str((photos / "cat" / "0.png").resolve())
    assert documents[0].metadata["label"] == "cat"
    assert len({each.metadata["sha256"] for each in documents}) == 6
    assert reading.counts.total() == 2
    assert not reading.lacks("cat/torn.png")
    assert reading.lacks("cat/9.png")


def test_a_path_that_no_text_can_say_is_skipped_and_counted(photos):
    odd = os.fsencode(photos / "cat") + b"/\xff.png"
    try:
        shutil.copyfile(photos / "cat" / "0.png", odd)
    except OSError:
        pytest.skip("this file system takes no such name")
    summary = workbench.ingest(photos, "photos", recipe="pixels(size=8)")
    assert summary.new == 6
    assert "not UTF-8" in summary.skipped


def test_arrays_have_no_files_to_keep(tmp_path):
    np.savez(tmp_path / "images.npz", images=np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(UnreadableSource, match="arrays, not files"):
        list(image_documents(tmp_path / "images.npz"))


@pytest.mark.parametrize("encoder", ["pixels(size=8)", "eigenimages(size=8,n_components=4)"])
def test_an_image_finds_itself_first(photos, encoder):
    summary = workbench.ingest(photos, "photos", recipe=encoder)
    assert (summary.new, summary.embedded) == (6, 6)
    assert "torn.png" in summary.skipped
    found = workbench.search("photos", photos / "dog" / "4.png", 3)
    assert found[0].document == "dog/4.png"
    assert found[0].score == pytest.approx(1, abs=1e-4)
    assert len(found) == 3
    cats = workbench.search("photos", photos / "dog" / "4.png", where="label = 'cat'")
    assert {one.document for one in cats} == {"cat/0.png", "cat/1.png", "cat/2.png"}


def test_only_images_whose_bytes_changed_are_embedded_again(photos):
    workbench.ingest(photos, "photos", recipe="pixels(size=8)")
    again = workbench.ingest(photos, "photos")
    assert (again.unchanged, again.embedded) == (6, 0)
    shutil.copyfile(photos / "dog" / "5.png", photos / "cat" / "0.png")
    (photos / "cat" / "1.png").unlink()
    changed = workbench.ingest(photos, "photos")
    assert (changed.changed, changed.unchanged, changed.embedded, changed.removed) == (1, 4, 1, 1)
    best = workbench.search("photos", photos / "dog" / "5.png", 2)
    assert {one.document for one in best} == {"dog/5.png", "cat/0.png"}
    assert min(one.score for one in best) == pytest.approx(1, abs=1e-4)


def test_words_and_images_are_not_mixed(photos, tmp_path):
    with pytest.raises(InputError, match="texts and images"):
        workbench.ingest(photos, "photos", recipe="bm25+pixels(size=8)")
    with pytest.raises(InputError, match="not cut"):
        workbench.ingest(photos, "photos", recipe="pixels(size=8)", chunk="sentence")
    workbench.ingest(photos, "photos", recipe="pixels(size=8)")
    with pytest.raises(InputError, match="--image FILE"):
        workbench.search("photos", "a cat")
    with pytest.raises(InputError, match="a reranker reads texts"):
        workbench.search("photos", photos / "cat" / "0.png", rerank="any/model")
    with pytest.raises(InputError, match="there is no file"):
        workbench.search("photos", tmp_path / "absent.png")
    (tmp_path / "notes.txt").write_text("Wings lift.")
    workbench.ingest(tmp_path / "notes.txt", "notes", recipe="bm25")
    with pytest.raises(InputError, match="texts is not asked"):
        workbench.search("notes", photos / "cat" / "0.png")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(each) for each in arguments])
    return int(stop.value.code or 0), *capsys.readouterr()


def test_the_commands_keep_and_find_images(photos, capsys):
    code, out, err = run(capsys, "ingest", photos, "--collection", "photos", "--encoder", "pixels(size=8)", "--quiet")
    assert code == 0
    assert "6 documents" in out
    assert "--image FILE" in err
    code, out, _ = run(capsys, "search", "photos", "--image", photos / "cat" / "2.png", "-k", 1)
    assert code == 0
    assert "cat/2.png" in out
    for question in ([], ["words", "--image", "x.png"]):
        code, _, err = run(capsys, "search", "photos", *question)
        assert code == 2
        assert "one question" in err
