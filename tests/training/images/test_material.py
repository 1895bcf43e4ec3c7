"""What is held back, and what the lint finds."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import InputError, UnknownName
from vicino.training.images.material import divide, material


def given(tmp_path, pixels, labels=None, **more):
    path = tmp_path / "images.npz"
    np.savez(path, images=pixels, **({} if labels is None else {"labels": labels}))
    return material(path, **more)


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 12, 12), np.uint8)


def test_a_part_of_each_class_is_held_back_and_copies_stay_together(tmp_path):
    pixels = noise(600)
    pixels[1::6] = pixels[::6]  # a hundred copies, of another class
    found = given(tmp_path, pixels, np.arange(600) % 3)
    parts = divide(found, "auto", identities=False, seed=0)
    assert parts.by == "classes"
    held = np.concatenate([parts.choose, parts.judge])
    assert not set(parts.learn) & set(held)
    assert len(np.unique(found.copies[held])) == len(held)
    assert not set(found.copies[parts.learn]) & set(found.copies[held])
    assert len(parts.judge) == 50
    assert len(parts.choose) == 25
    for part in (parts.choose, parts.judge, parts.learn):
        counts = np.bincount(found.labels[part], minlength=3)
        assert counts.min() > 0.15 * counts.max()


def test_identities_are_held_back_whole(tmp_path):
    found = given(tmp_path, noise(240), np.arange(240) % 24)
    parts = divide(found, "auto", identities=False, seed=0)
    assert parts.by == "identities"  # ten images to a class, and many classes
    classes = [set(found.labels[part]) for part in (parts.learn, parts.choose, parts.judge)]
    assert len(set.union(*classes)) == sum(map(len, classes))
    assert [len(each) for each in classes] == [16, 2, 6]
    assert len(parts.learn) + len(parts.choose) + len(parts.judge) == 240


def test_what_is_chosen_by_itself(tmp_path):
    large = given(tmp_path, noise(600), np.arange(600) % 12)
    assert divide(large, "auto", identities=False, seed=0).by == "classes"
    assert divide(large, "auto", identities=True, seed=0).by == "identities"
    few = given(tmp_path, noise(600), np.arange(600) % 3)
    assert divide(few, "auto", identities=True, seed=0).by == "classes"
    assert divide(given(tmp_path, noise(300)), "auto", identities=True, seed=0).by == "views"


def test_a_division_is_that_of_its_seed(tmp_path):
    found = given(tmp_path, noise(300), np.arange(300) % 3)
    first, again, other = (divide(found, "classes", identities=False, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.judge, again.judge)
    np.testing.assert_array_equal(first.learn, again.learn)
    assert set(first.judge) != set(other.judge)


@pytest.mark.parametrize(
    ("n", "labels", "by", "words"),
    [
        (30, 3, "auto", "too few"),
        (300, None, "classes", "labels"),
        (300, 3, "identities", "ten classes"),
        (90, 90, "auto", "few"),
    ],
)
def test_what_cannot_be_divided_is_named(tmp_path, n, labels, by, words):
    found = given(tmp_path, noise(n), None if labels is None else np.arange(n) % labels)
    with pytest.raises(InputError, match=words):
        divide(found, by, identities=False, seed=0)


def test_the_lint_finds_what_is_wrong(tmp_path):
    pixels, labels = noise(60), np.arange(60) % 2
    pixels[7], pixels[9] = pixels[6], pixels[5]  # a copy of another class, and one of its own
    labels[3] = 2
    found = given(tmp_path, pixels, labels).found
    assert found["contradictions"].rows == (7,)
    assert found["repeats"].rows == (7, 9)
    assert found["alone"].count == 1
    assert found["few"].severity == "warning"
    assert "one class" not in found
    assert given(tmp_path, noise(20), np.zeros(20, int)).found.problems[0].name == "one class"


def test_what_another_part_repeats_is_found(tmp_path):
    pixels = noise(80)
    path = tmp_path / "parts.npz"
    np.savez(
        path,
        x_train=pixels,
        y_train=np.arange(80) % 2,
        x_test=np.concatenate([noise(9, 1), pixels[:3]]),
        y_test=np.zeros(12, int),
    )
    found = material(path)
    assert len(found) == 80
    assert found.found["leak"].count == 3
    assert found.found["leak"].rows == (9, 10, 11)
    assert len(material(path, split="test")) == 12
    with pytest.raises(UnknownName):
        material(path, split="dev")


def test_files_that_cannot_be_read_are_left_out_and_named(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for row, pixels in enumerate(noise(8, len(name))):
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{row}.png")
    (tmp_path / "pets" / "cat" / "broken.png").write_bytes(b"\x89PNG")
    found = material(tmp_path / "pets")
    assert len(found) == 16
    assert found.classes == ["cat", "dog"]
    assert found.pixels.shape == (16, 12, 12, 1)
    assert found.found["broken"].count == 1
    assert "broken.png" in found.found["broken"].sentence


def test_size_and_channels_are_those_of_the_images_unless_asked_for(tmp_path):
    assert given(tmp_path, noise(20)).pixels.shape[1:] == (12, 12, 1)
    assert given(tmp_path, noise(20), size=8, channels=3).pixels.shape[1:] == (8, 8, 3)
    large = np.zeros((20, 112, 92, 3), np.uint8)
    assert given(tmp_path, large).pixels.shape[1:] == (64, 64, 3)
    assert given(tmp_path, noise(20)).digest == given(tmp_path, noise(20)).digest
    assert given(tmp_path, noise(20)).digest != given(tmp_path, noise(20, 1)).digest


def test_five_classes_are_judged_by_at_least(tmp_path):
    found = given(tmp_path, noise(120), np.arange(120) % 12)
    parts = divide(found, "identities", identities=True, seed=0)
    assert len(set(found.labels[parts.judge])) == 5  # of two or three, all are better by chance too often
    assert len(set(found.labels[parts.choose])) == 2


def test_a_part_that_cannot_be_read_stops_nobody(tmp_path):
    np.savez(tmp_path / "m.npz", x_train=noise(60), y_train=np.arange(60) % 2, x_test=np.full((5, 16, 16), np.nan))
    assert len(material(tmp_path / "m.npz")) == 60


def test_a_part_is_no_leak_of_itself(tmp_path):
    np.savez(tmp_path / "m.npz", x_train=noise(60), x_val=noise(60, seed=1))
    assert "leak" not in {one.name for one in material(tmp_path / "m.npz", split="val").found.findings}


def test_files_that_are_not_there_are_counted(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for row, pixels in enumerate(noise(60)):
        image.fromarray(pixels).save(tmp_path / f"{row}.png")
    lines = ["path,label", "absent.png,0", *(f"{row}.png,{row % 2}" for row in range(60))]
    (tmp_path / "images.csv").write_text("\n".join(lines))
    found = material(tmp_path / "images.csv")
    assert len(found) == 60
    assert "absent.png: there is no file" in str(found.found)
