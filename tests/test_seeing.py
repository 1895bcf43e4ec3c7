"""`vicino compare images`: from a folder of files to a verdict, with what is broken left out and said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vicino import workbench
from vicino.cli import main
from vicino.errors import InputError, UnknownName
from vicino.workbench.seeing import image_task

Image = pytest.importorskip("PIL.Image", reason="the extra 'images' is not installed")


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """Two classes of 40 files: bars that lie and bars that stand, one of them broken."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for row in range(80):
        pixels = random.integers(0, 90, (8, 8), np.uint8)
        lying, at = row % 2 == 0, random.integers(1, 7)
        pixels[at, :] += 150 * lying
        pixels[:, at] += 150 * (not lying)
        folder = tmp_path / "shapes" / ("lying" if lying else "standing")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{row}.png")
    (folder / "99.png").write_bytes(b"not an image")
    return tmp_path / "shapes"


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(arguments)
    except SystemExit as stop:
        code = stop.code or 0
    return code, *capsys.readouterr()


def test_a_table_a_verdict_and_reports(shapes, capsys):
    code, out, err = run(capsys, "compare", "images", "shapes", "--report", "r.html", "-q")
    assert code == 0
    assert "shapes: 64 items to learn from; 16 are asked" in out
    assert "left out 1: they cannot be read; the first, standing/99.png" in out
    assert "pixels" in out
    assert "eigenimages" in out
    assert "The report: r.html" in err
    assert "<title>shapes" in (shapes.parent / "r.html").read_text()
    code, out, _ = run(capsys, "compare", "images", "shapes", "--with", "pixels(size=4)", "--json", "--report", "r.json", "-q")
    assert code == 0
    plain = json.loads(out)
    assert [candidate["name"] for candidate in plain["candidates"]] == ["pixels(size=4)"]
    assert json.loads((shapes.parent / "r.json").read_text()) == plain | {
        "command": json.loads((shapes.parent / "r.json").read_text())["command"]
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["imges", "shapes"], "did you mean images"),
        (["images", "images", "shapes"], "3 things to compare on"),
        (["images", "nowhere"], "there is no nowhere"),
        (["images", "shapes", "--with", "pixle"], "did you mean pixels"),
        (["images", "shapes", "--metrics", "kMN"], "no measure named 'kMN'"),
        (["images", "shapes", "--save", "w"], "--save says nothing about images"),
        (["images", "shapes", "--text", "body"], "--text says nothing about images"),
        (["images", "shapes", "--report", "r.pdf"], "r.pdf"),
        (["images", "shapes", "--split", "test"], "no split named 'test'"),
        (["shapes", "--columns", "path=x"], "--columns says nothing about documents"),
    ],
)
def test_what_cannot_be_is_named_with_status_two(shapes, capsys, arguments, named):
    code, out, err = run(capsys, "compare", *arguments, "-q")
    assert code == 2
    assert named in err
    assert out == ""


def test_a_table_of_paths_with_columns(shapes, capsys):
    rows = [f"{path.relative_to(shapes.parent)},{path.parent.name}" for path in sorted(shapes.rglob("*.png"))]
    (shapes.parent / "t.csv").write_text("\n".join(["photo,who", *rows]) + "\n")
    code, out, _ = run(
        capsys,
        "compare",
        "images",
        "t.csv",
        "--columns",
        "path=photo,label=who",
        "--with",
        "pixels",
        "--metrics",
        "recall@1",
        "-q",
    )
    assert code == 0
    assert "t.csv: 64 items" in out


def test_parts_that_are_there_are_kept_apart(tmp_path):
    random = np.random.default_rng(0)
    arrays = {f"x_{part}": random.integers(0, 256, (n, 4, 4), np.uint8) for part, n in (("train", 60), ("val", 8), ("test", 30))}
    labels = {f"y_{part}": np.arange(n) % 2 for part, n in (("train", 60), ("val", 8), ("test", 30))}
    np.savez(tmp_path / "a.npz", **arrays, **labels)
    task = image_task(tmp_path / "a.npz")
    assert (len(task.learn), len(task.asked)) == (60, 30)
    np.testing.assert_array_equal(np.stack(task.asked), arrays["x_test"])
    assert list(task.asked_labels) == ["0", "1"] * 15
    assert len(image_task(tmp_path / "a.npz", split="validation").asked) == 8
    only = image_task(tmp_path / "a.npz", split="train")
    assert (len(only.learn), len(only.asked)) == (48, 12)
    with pytest.raises(UnknownName, match="'tset'"):
        image_task(tmp_path / "a.npz", split="tset")


def test_copies_do_not_give_themselves_away(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8)
    doubled, labels = np.concatenate([pixels, pixels]), np.arange(120) % 2
    np.savez(tmp_path / "twice.npz", images=doubled, labels=labels)
    task = image_task(tmp_path / "twice.npz")
    assert (len(task.learn), len(task.asked)) == (48, 12)
    assert "left out 60" in task.notes[-1]
    np.savez(tmp_path / "leak.npz", x_test=pixels, y_test=labels[:60], x_train=pixels[:40], y_train=labels[:40])
    leaking = image_task(tmp_path / "leak.npz")
    assert (len(leaking.learn), len(leaking.asked)) == (40, 20)


def test_images_without_classes_cannot_be_judged(shapes):
    for path in list(shapes.rglob("[0-8]*.png")):
        path.rename(shapes / path.name)
    with pytest.raises(InputError, match="says nothing about classes"):
        workbench.compare_images(shapes)
