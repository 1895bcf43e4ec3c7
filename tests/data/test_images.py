"""Images as people have them: every mode and format becomes the same pixels, and what is broken is named."""

from __future__ import annotations

import gzip
import io
import struct
import threading

import numpy as np
import pytest

from vicino.data.images import Images, open_image, prepared, read_images, resized, splits_of
from vicino.errors import (
    DimensionMismatch,
    DuplicateIds,
    EmptyInput,
    ImageError,
    InputError,
    UnknownName,
    UnreadableSource,
)

Image = pytest.importorskip("PIL.Image", reason="the extra 'images' is not installed")

COLOURS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = COLOURS[:, :, :1]
NOISE = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def written(image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(array) -> bytes:
    return written(Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array))


@pytest.mark.parametrize("array", [COLOURS, GREY], ids=["colours", "grey"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_a_path_bytes_and_a_pillow_image_are_the_same(tmp_path, array, kind):
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = written(picture, kind, **options)
    expected = np.repeat(array, 3, axis=2) if kind == "WEBP" and array.shape[2] == 1 else array  # WebP knows no grey
    (tmp_path / "a").write_bytes(data)
    for source in (tmp_path / "a", str(tmp_path / "a"), data, Image.open(io.BytesIO(data))):
        opened = open_image(source)
        assert opened.dtype == np.uint8
        np.testing.assert_array_equal(opened, expected)


def test_a_photograph_is_turned_as_its_exif_says():
    picture = Image.fromarray(COLOURS)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise to show
    np.testing.assert_array_equal(open_image(written(picture, "PNG", exif=exif)), np.rot90(COLOURS, -1))


def test_what_is_transparent_shows_white():
    layers = np.zeros((1, 3, 4), np.uint8)
    layers[0, :, 3] = 0, 255, 128
    expected = [[[255] * 3, [0] * 3, [127] * 3]]
    assert open_image(written(Image.fromarray(layers))).tolist() == expected
    assert open_image(layers).tolist() == expected
    grey = Image.fromarray(layers[:, :, 2:])
    assert grey.mode == "LA"
    assert open_image(written(grey)).tolist() == [[[255], [0], [127]]]


def test_a_palette_becomes_its_colours():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    assert open_image(written(picture)).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert open_image(written(picture, transparency=0)).tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_other_modes_have_one_channel_or_three():
    for mode, channels in (("1", 1), ("L", 1), ("CMYK", 3), ("YCbCr", 3), ("HSV", 3), ("LAB", 3)):
        assert open_image(Image.new(mode, (4, 3))).shape == (3, 4, channels)


def test_sixteen_bits_become_eight():
    deep = np.array([[0, 128, 129, 257, 65535]], np.uint16)
    expected = [[[0], [0], [1], [1], [255]]]
    assert open_image(deep).tolist() == expected
    for kind in ("PNG", "TIFF"):
        assert open_image(written(Image.fromarray(deep), kind)).tolist() == expected


def test_arrays_of_all_types():
    expected = [[[0], [255]]]
    for dtype in (bool, np.float16, np.float32, np.float64):
        assert open_image(np.array([[0, 1]], dtype)).tolist() == expected
    for dtype in (np.uint8, np.int16, np.int64):
        assert open_image(np.array([[0, 255]], dtype)).tolist() == expected
    assert open_image(np.array([[0.5, 1.0005]])).tolist() == [[[128], [255]]]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (b"", "zero bytes"),
        (b"no image at all", "not an image"),
        (png(COLOURS)[:20], "cut off"),
        (written(Image.fromarray(COLOURS).resize((300, 300)), "JPEG")[:3000], "cut off"),
        (png(NOISE)[:-600], "cut off"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),  # would start a program
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros((3, 8, 8)), "moveaxis"),
        (np.zeros((0, 8)), "shape"),
        (np.zeros(8), "shape"),
        (np.full((2, 2), np.nan), "NaN"),
        (np.full((2, 2), np.inf), "infinite"),
        (np.full((2, 2), 17.0), "floats of 17 to 17"),
        (np.full((2, 2), -1), "pixels of -1"),
        (np.full((2, 2), "a"), "<U1"),
        (5, "int is no image"),
        ([[0, 1]], "list is no image"),
        (None, "NoneType"),
    ],
    ids=str,
)
def test_what_is_no_image_is_named(source, named):
    with pytest.raises(ImageError, match=named):
        open_image(source)


def test_a_broken_file_is_named_with_its_path(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"a\.png: a file of zero bytes"):
        open_image(tmp_path / "a.png")
    for path in (tmp_path / "b.png", tmp_path, "a\0b"):
        with pytest.raises(UnreadableSource):
            open_image(path)


def test_a_file_too_large_to_be_an_image_is_not_read(tmp_path):
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(2**40)  # a hole, which takes no room
    with pytest.raises(ImageError, match="more than"):
        open_image(tmp_path / "huge.png")


def test_a_bomb_is_refused_before_it_is_decoded():
    head = png(COLOURS)
    for side in (10_000, 60_000):  # Pillow itself warns of the first, and refuses the second
        size = struct.pack(">II", side, side)
        chunk = b"IHDR" + size + head[24:29]
        bomb = head[:12] + chunk + struct.pack(">I", __import__("zlib").crc32(chunk)) + head[33:]
        with pytest.raises(ImageError, match=r"more than 89,478,485 pixels"):
            open_image(bomb)


def test_many_threads_may_open_at_once():
    data, found = png(COLOURS), []
    threads = [threading.Thread(target=lambda: found.append(open_image(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all((each == COLOURS).all() for each in found)


# Sizes ------------------------------------------------------------------------------------------------------------


def test_the_middle_is_kept_unless_told():
    wide = np.zeros((4, 12, 1), np.uint8)
    wide[:, 4:8] = 200
    assert (resized(wide, (4, 4), 1) == 200).all()
    assert resized(wide, (4, 4), 1, crop=False).min() < 50


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255
    inner = resized(stripes, (8, 8), 1)[:, 1:-1].astype(int)
    assert abs(inner - 128).max() < 12  # nearest neighbours would be 0 or 255


def test_one_channel_of_three_and_three_of_one():
    np.testing.assert_array_equal(resized(GREY, (5, 7), 3), np.repeat(GREY, 3, axis=2))
    luma = COLOURS @ [0.299, 0.587, 0.114]
    assert abs(resized(COLOURS, (5, 7), 1)[:, :, 0] - luma).max() < 1
    assert resized(COLOURS, (5, 7), 3) is COLOURS


# Many ---------------------------------------------------------------------------------------------------------------


def test_prepared_images_leave_out_what_is_broken(tmp_path):
    sources = [png(COLOURS), b"", GREY, png(COLOURS)[:30], tmp_path / "none.png", np.zeros((9, 9))]
    images = Images(sources, list("abcdef"), list("xyxyxy"))
    made = prepared(images, (4, 6), 3)
    assert made.pixels.shape == (3, 4, 6, 3)
    assert made.ids == ["a", "c", "f"]
    assert made.labels == ["x", "x", "y"]
    assert list(made.broken) == ["b", "d", "e"]
    assert "zero bytes" in made.broken["b"]
    np.testing.assert_array_equal(made.pixels[0], resized(COLOURS, (4, 6), 3))
    assert made.subset([2, 0]).ids == ["f", "a"]


def test_more_than_the_room_goes_to_a_file():
    images = [np.full((4, 4), value, np.uint8) for value in range(100)]
    small, large = prepared(images, 3, 1), prepared(images, 3, 1, room=10)
    assert isinstance(large.pixels, np.memmap)
    assert not isinstance(small.pixels, np.memmap)
    np.testing.assert_array_equal(small.pixels, large.pixels)


def test_an_array_that_fits_is_taken_as_it_is():
    array = np.zeros((3, 4, 4), np.uint8)
    assert np.shares_memory(prepared(Images(array), None, 1).pixels, array)
    assert prepared(Images(array), 4, 3).pixels.shape == (3, 4, 4, 3)


def test_nothing_and_several_sizes_are_named():
    with pytest.raises(EmptyInput):
        prepared([], 4, 1)
    with pytest.raises(ImageError, match=r"none of 2 images could be read; 0: "):
        prepared([b"", b"x"], 4, 1)
    with pytest.raises(InputError, match=r"images of 7 × 5 and 9 × 9 pixels"):
        prepared([COLOURS, np.zeros((9, 9))], None, 1)
    for size in (0, (1, 2, 3), -4, (2, "a")):
        with pytest.raises(InputError, match="no size"):
            prepared([COLOURS], size, 1)
    with pytest.raises(InputError, match="channels"):
        prepared([COLOURS], 4, 2)


def test_a_collection_of_images_fits_its_names():
    images = Images([COLOURS, GREY], ["a", "b"])
    assert [image.shape for image in images] == [(5, 7, 3), (5, 7, 1)]
    assert images[-1].shape == (5, 7, 1)
    assert isinstance(images[:1], Images)
    with pytest.raises(DimensionMismatch, match="2 images and 1 labels"):
        Images([COLOURS, GREY], labels=["x"])
    with pytest.raises(DuplicateIds):
        Images([COLOURS, GREY], ["a", "a"])


# Where they lie -----------------------------------------------------------------------------------------------------


def folder_of(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(png(COLOURS))
    return root


def test_a_folder_of_classes(tmp_path):
    root = folder_of(tmp_path, "dog/1.png", "cat/b/2.JPG", "cat/1.png", ".hidden/3.png", "dog/.4.png")
    (root / "dog" / "notes.txt").write_text("x")
    images = read_images(root)
    assert images.ids == ["cat/1.png", "cat/b/2.JPG", "dog/1.png"]
    assert images.labels == ["cat", "cat", "dog"]
    assert images.left_out == {"not an image, by its name": 1}
    assert splits_of(root) == []
    np.testing.assert_array_equal(images[2], COLOURS)


def test_a_folder_of_splits(tmp_path):
    root = folder_of(tmp_path, "test/dog/1.png", "train/cat/1.png", "train/dog/2.png", "val/cat/3.png")
    assert splits_of(root) == ["train", "dev", "test"]
    assert read_images(root, split="train").ids == ["train/cat/1.png", "train/dog/2.png"]
    assert read_images(root, split="validation").labels == ["cat"]
    both = read_images(root)
    assert both.parts == ["train", "train", "dev", "test"]
    assert both.labels == ["cat", "dog", "cat", "dog"]
    with pytest.raises(UnknownName, match="tset"):
        read_images(root, split="tset")


def test_a_plain_folder_has_no_labels(tmp_path):
    root = folder_of(tmp_path, "b.png", "a.png", "album/c.png")
    assert read_images(root).ids == ["a.png", "b.png", "album/c.png"]
    assert read_images(root).labels is None
    assert read_images(root / "a.png").ids == ["a.png"]


def test_empty_and_unknown_places_are_named(tmp_path):
    with pytest.raises(EmptyInput, match="holds no images"):
        read_images(tmp_path)
    with pytest.raises(UnreadableSource, match="there is no"):
        read_images(tmp_path / "none")
    (tmp_path / "a.zip").write_bytes(b"x")
    with pytest.raises(UnreadableSource, match="unknown kind"):
        read_images(tmp_path / "a.zip")
    with pytest.raises(EmptyInput, match=r"not an image, by its name \(1\)"):
        read_images(tmp_path)


def idx(array, code: int = 8) -> bytes:
    return (
        struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


PIXELS = np.random.default_rng(1).integers(0, 256, (6, 4, 5), dtype=np.uint8)
CLASSES = np.array([3, 1, 4, 1, 5, 9], dtype=np.uint8)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_files_as_mnist_has_them(tmp_path, end):
    pack = gzip.compress if end else bytes
    for part, rows in (("t10k", slice(4, 6)), ("train", slice(0, 4))):
        (tmp_path / f"{part}-images-idx3-ubyte{end}").write_bytes(pack(idx(PIXELS[rows])))
        (tmp_path / f"{part}-labels-idx1-ubyte{end}").write_bytes(pack(idx(CLASSES[rows])))
    assert splits_of(tmp_path) == ["train", "test"]
    train = read_images(tmp_path, split="train")
    assert train.labels == ["3", "1", "4", "1"]
    np.testing.assert_array_equal(train[2][:, :, 0], PIXELS[2])
    both = read_images(tmp_path)
    np.testing.assert_array_equal(both.sources, PIXELS)
    assert both.ids[3:5] == ["train/3", "test/0"]
    alone = read_images(tmp_path / f"t10k-images-idx3-ubyte{end}")
    assert alone.labels == ["5", "9"]


def test_idx_of_other_types(tmp_path):
    for code, dtype in ((0x0B, np.int16), (0x0C, np.int32), (0x0D, np.float32), (0x0E, np.float64)):
        (tmp_path / "train-images-idx3-x").write_bytes(idx((PIXELS > 99).astype(dtype), code))
        images = read_images(tmp_path)
        assert images.labels is None
        assert images.sources.dtype == dtype
        np.testing.assert_array_equal(images.sources, PIXELS > 99)


def test_a_damaged_idx_file_is_named(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    whole = idx(PIXELS)
    lies = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31)
    for data in (b"", whole[:6], whole[:-1], whole + b"x", b"\1" + whole[1:], lies):
        path.write_bytes(data)
        with pytest.raises(UnreadableSource, match="train-images"):
            read_images(path)
    path.write_bytes(idx(PIXELS[0]))
    with pytest.raises(UnreadableSource, match="2 dimensions"):
        read_images(path)
    path.write_bytes(whole)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(CLASSES[:3]))
    with pytest.raises(DimensionMismatch, match="6 images and 3 labels"):
        read_images(path)


@pytest.mark.parametrize(
    "names", [("images", "labels"), ("x", "y"), ("data", "target"), ("images", "subject"), ("faces", "identity")]
)
def test_arrays_by_their_names(tmp_path, names):
    np.savez_compressed(tmp_path / "a.npz", **dict(zip(names, (PIXELS, CLASSES), strict=True)), other=np.zeros(3))
    for path in (tmp_path / "a.npz", tmp_path):
        images = read_images(path)
        assert images.labels == [str(each) for each in CLASSES]
        np.testing.assert_array_equal(images.sources, PIXELS)
        assert images.ids[:2] == ["0", "1"]


@pytest.mark.parametrize("form", ["{what}_{part}", "{part}_{what}"])
def test_arrays_with_parts(tmp_path, form):
    held = {
        form.format(what=what, part=part): array[rows]
        for part, rows in (("test", slice(4, 6)), ("train", slice(0, 4)))
        for what, array in (("x", PIXELS), ("y", CLASSES[:, None]))
    }
    np.savez(tmp_path / "a.npz", **held)
    assert splits_of(tmp_path / "a.npz") == ["train", "test"]
    assert read_images(tmp_path / "a.npz", split="test").labels == ["5", "9"]
    assert read_images(tmp_path / "a.npz").parts == ["train"] * 4 + ["test"] * 2


def test_one_array_and_channels_that_come_first(tmp_path):
    np.save(tmp_path / "a.npy", np.stack([PIXELS] * 3, axis=1))
    images = read_images(tmp_path / "a.npy")
    assert images[0].shape == (4, 5, 3)
    np.savez(tmp_path / "b.npz", what=PIXELS, labels=np.array(list("abcabc")))
    assert read_images(tmp_path / "b.npz").labels == list("abcabc")


def test_arrays_that_fit_nothing_are_named(tmp_path):
    path = tmp_path / "a.npz"
    for held, error, named in (
        ({"images": PIXELS.reshape(6, -1)}, InputError, "reshape"),
        ({"images": PIXELS, "labels": CLASSES[:3]}, DimensionMismatch, "6 images and 3 labels"),
        ({"images": PIXELS, "labels": np.eye(6)}, InputError, "one class an image"),
        ({"a": PIXELS, "b": PIXELS}, InputError, "none is called images"),
        ({"images": np.array([None])}, UnreadableSource, "object"),
    ):
        np.savez(path, **held)
        with pytest.raises(error, match=named):
            read_images(path)
    path.write_bytes(b"PK\3\4 nothing")
    with pytest.raises(UnreadableSource):
        read_images(path)
    path.write_bytes(b"")
    with pytest.raises(UnreadableSource):
        read_images(path)


def test_a_table_of_paths(tmp_path):
    folder_of(tmp_path, "p/1.png", "p/2.png", "p/3.png")
    table = tmp_path / "t.csv"
    table.write_text(
        "file_name,Label,split\np/1.png,cat,train\np/2.png,dog,test\n,dog,train\np/3.png,,train\np/1.png,dog,train\n"
    )
    assert splits_of(table) == ["train", "test"]
    images = read_images(table, split="train")
    assert images.ids == ["p/1.png", "p/1.png#6"]
    assert images.labels == ["cat", "dog"]
    assert images.left_out == {"a row without a path": 1, "a row without a label": 1}  # once, however many parts there are
    assert read_images(table).left_out == images[:1].left_out == images.left_out
    np.testing.assert_array_equal(images[0], COLOURS)
    (tmp_path / "t.jsonl").write_text('{"where": "p/1.png", "who": 7, "id": "x"}\n{"where": "p/9.png", "who": 8, "id": "y"}\n')
    named = read_images(tmp_path / "t.jsonl", columns={"path": "where", "label": "who"})
    assert named.ids == ["x", "y"]
    assert named.labels == ["7", "8"]
    assert "there is no file" in prepared(named, 4, 3).broken["y"]


def test_a_table_that_says_too_little_is_named(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("where,who\na,b\n")
    with pytest.raises(InputError, match="where, who"):
        read_images(table)
    with pytest.raises(UnknownName, match="'whree'"):
        read_images(table, columns={"path": "whree"})
    with pytest.raises(UnknownName, match="'photo'"):
        read_images(table, columns={"photo": "where"})
    table.write_text("path\n")
    with pytest.raises(EmptyInput):
        read_images(table)


def test_real_data_is_read_as_it_is_shipped(shared_data):
    fashion = shared_data("fashion-mnist")
    assert splits_of(fashion) == ["train", "test"]
    test = read_images(fashion, split="test")
    assert (len(test), len(set(test.labels))) == (10_000, 10)
    faces = read_images(shared_data("orl-faces"))
    assert prepared(faces, None, 1).pixels.shape == (400, 112, 92, 1)
    assert len(set(faces.labels)) == 40
