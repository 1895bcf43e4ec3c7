"""Batches of pixels: every image once in an order of the epoch, or so many of each class."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'vicino[torch]'")

from vicino.errors import DimensionMismatch, EmptyInput, InputError  # noqa: E402
from vicino.training.images.batches import ClassBatches, PixelBatches  # noqa: E402


def images(n: int = 10) -> np.ndarray:
    """Image i is filled with i; 2 x 3 pixels of 3 channels."""
    return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 2, 3, 3))


def test_every_image_comes_once_with_its_label_in_an_order_of_the_epoch():
    batches = PixelBatches(images(), np.arange(10) * 7, 3)
    first, again, second = (list(batches.epoch(number, 5)) for number in (0, 0, 1))
    assert len(batches) == len(first) == 3
    numbers = [[each["pixels"][:, 0, 0, 0].tolist() for each in epoch] for epoch in (first, again, second)]
    assert numbers[0] == numbers[1] != numbers[2]
    assert len({number for each in numbers[0] for number in each}) == 9
    for each in first:
        assert each["pixels"].shape == (3, 3, 2, 3)
        assert (each["pixels"].dtype, each["label"].dtype) == (torch.uint8, torch.int64)
        assert each["label"].tolist() == (each["pixels"][:, 0, 0, 0].long() * 7).tolist()
        assert each["pixels"].is_contiguous(memory_format=torch.channels_last)


def test_only_the_rows_that_are_given_are_learnt_from_and_labels_may_be_missing():
    batches = PixelBatches(images(), None, 100, rows=np.array([2, 5, 7]))
    (batch,) = batches.epoch(0, 0)
    assert set(batch) == {"pixels"}
    assert sorted(batch["pixels"][:, 0, 0, 0].tolist()) == [2, 5, 7]


def test_pixels_are_read_from_a_file_as_from_memory(tmp_path):
    np.save(tmp_path / "pixels.npy", images())
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    for ours, theirs in zip(PixelBatches(mapped, None, 4).epoch(0, 0), PixelBatches(images(), None, 4).epoch(0, 0), strict=True):
        assert torch.equal(ours["pixels"], theirs["pixels"])


def test_a_batch_of_classes_has_as_many_of_each():
    labels = np.repeat(np.arange(20), 5)
    batches = ClassBatches(images(100), labels, 12, each=3)
    assert (len(batches), batches.batch_size) == (8, 12)
    epochs = [list(batches.epoch(number, 5)) for number in (0, 0, 1)]
    seen = [[each["pixels"][:, 0, 0, 0].tolist() for each in epoch] for epoch in epochs]
    assert seen[0] == seen[1] != seen[2]
    for each in epochs[0]:
        assert sorted(np.bincount(each["label"], minlength=20).tolist(), reverse=True)[:5] == [3, 3, 3, 3, 0]
        assert each["label"].tolist() == labels[each["pixels"][:, 0, 0, 0]].tolist()
        assert len(set(each["pixels"][:, 0, 0, 0].tolist())) == 12  # no image twice, where classes have enough
    classes = np.concatenate([each["label"].unique().numpy() for each in epochs[0][:5]])
    assert sorted(classes.tolist()) == list(range(20))  # all, before any comes again


def test_large_classes_come_no_more_often_and_all_their_images_come():
    labels = np.array([0] * 90 + [1] * 6 + [2] * 4)
    batches = ClassBatches(images(100), labels, 8, each=4)
    drawn = [rows for number in range(20) for rows in batches.order(number, 0)]
    counts = np.bincount(labels[np.concatenate(drawn)])
    assert counts.min() > 0.7 * counts.max()
    assert len(np.unique(np.concatenate(drawn))) == 100


def test_few_classes_fill_a_batch_and_few_images_come_again():
    batches = ClassBatches(images(5), np.array([0, 0, 0, 0, 1]), 6, each=2)
    (batch,) = batches.epoch(0, 0)
    assert np.bincount(batch["label"]).tolist() == [3, 3]
    assert batch["pixels"][:, 0, 0, 0].tolist().count(4) == 3


def test_classes_are_those_of_the_rows_that_are_learnt_from():
    batches = ClassBatches(images(8), np.array([0, 0, 3, 3, 5, 5, 9, 9]), 4, each=2, rows=np.array([2, 3, 6, 7]))
    assert {tuple(sorted(each["label"].tolist())) for each in batches.epoch(0, 0)} == {(3, 3, 9, 9)}


def test_what_cannot_be_is_named():
    with pytest.raises(EmptyInput, match="no images"):
        PixelBatches(images(0), None, 3)
    with pytest.raises(DimensionMismatch, match="uint8"):
        PixelBatches(images().astype(np.float32), None, 3)
    with pytest.raises(DimensionMismatch, match=r"\(10, 2\)"):
        PixelBatches(images()[:, :, 0, 0], None, 3)
    with pytest.raises(DimensionMismatch, match="9 labels"):
        PixelBatches(images(), np.arange(9), 3)
    for labels, changes in (
        (np.zeros(10), {}),
        (np.arange(10), {"each": 1}),
        (np.arange(10), {"batch_size": 6, "each": 4}),
    ):
        with pytest.raises(InputError, match="cannot be"):
            ClassBatches(images(), labels, **{"batch_size": 8, **changes})
