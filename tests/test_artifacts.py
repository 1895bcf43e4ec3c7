"""Saved folders: whole or not at all, equal to the bit when opened, and honest about damage."""

from __future__ import annotations

import errno
import json
import shutil
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scipy.sparse import csc_array, csr_array, random_array

from vicino import artifacts
from vicino.artifacts import FORMAT, MANIFEST, kind_of, read, replacing, write
from vicino.errors import ArtifactCorrupt, ArtifactError, ArtifactTooNew

ARRAYS = "arrays.safetensors"

NAMES = st.text(string.ascii_letters + "_", min_size=1, max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DTYPES = st.sampled_from(["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8"])
ARRAY = arrays_of.arrays(DTYPES, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
ANY_TEXT = st.text(st.characters(codec=None))  # lone surrogates too: file names on Linux may hold them


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.fixture
def saved(tmp_path) -> Path:
    return write(tmp_path / "saved", kind="thing", data={"n": 1}, arrays={"v": np.arange(6.0).reshape(2, 3)})


# What goes in comes out -----------------------------------------------------------------------------------------------


@given(data=st.dictionaries(st.text(), PLAIN, max_size=4))
def test_plain_data_comes_back_as_it_was(tmp_path_factory, data):
    path = write(tmp_path_factory.mktemp("plain") / "a", kind="thing", data=data)
    assert read(path).data == data


@given(values=st.dictionaries(NAMES, ARRAY, max_size=3))
def test_arrays_come_back_to_the_bit(tmp_path_factory, values):
    path = write(tmp_path_factory.mktemp("arrays") / "a", kind="thing", data={}, arrays=values)
    back = read(path, kind="thing").arrays
    assert back.keys() == values.keys()
    for name, array in values.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == array.tobytes()  # NaN and -0.0 too


@given(texts=st.lists(ANY_TEXT, max_size=6), name=ANY_TEXT)
def test_texts_come_back_whatever_they_hold(tmp_path_factory, texts, name):
    path = write(tmp_path_factory.mktemp("texts") / "a", kind="thing", data={"name": name}, arrays={"texts": texts})
    assert read(path).arrays["texts"] == texts
    assert read(path).data["name"] == name


@given(shape=st.tuples(st.integers(0, 5), st.integers(1, 5)), density=st.floats(0, 1), seed=st.integers(0, 99))
def test_sparse_rows_come_back_to_the_bit(tmp_path_factory, shape, density, seed):
    matrix = csr_array(random_array(shape, density=density, rng=np.random.default_rng(seed), dtype=np.float32))
    path = write(tmp_path_factory.mktemp("rows") / "a", kind="thing", data={}, arrays={"m": matrix})
    back = read(path).arrays["m"]
    assert isinstance(back, csr_array)
    assert back.shape == matrix.shape
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(back, part), getattr(matrix, part), strict=True)


def test_the_order_in_memory_does_not_matter(tmp_path):
    values = np.arange(12, dtype=">f4").reshape(3, 4)
    arrays = {"columns": np.asfortranarray(values), "steps": values[::2, 1::2], "sparse": csc_array(values.astype("f4"))}
    back = read(write(tmp_path / "a", kind="thing", data={}, arrays=arrays)).arrays
    np.testing.assert_array_equal(back["columns"], values)
    np.testing.assert_array_equal(back["steps"], values[::2, 1::2])
    np.testing.assert_array_equal(back["sparse"].toarray(), values)


def test_parts_are_folders_of_their_own(tmp_path):
    def save_part(folder: Path) -> None:
        write(folder, kind="part", data={"p": 1})

    path = write(tmp_path / "whole", kind="whole", data={}, parts={"left": save_part, "right": save_part})
    assert read(path).kind == kind_of(path) == "whole"
    assert read(path / "left", kind="part").data == {"p": 1}
    assert artifacts.folder_bytes(path) == sum(map(len, contents(path).values()))


def test_saving_again_replaces_all_of_the_old(tmp_path):
    path = write(
        tmp_path / "a", kind="thing", data={"n": 1}, arrays={"v": np.ones(3)}, parts={"p": lambda f: write(f, kind="p", data={})}
    )
    write(path, kind="thing", data={"n": 2})
    assert read(path).data == {"n": 2}
    assert list(contents(path)) == [MANIFEST]
    assert leftovers(tmp_path) == []


def test_others_may_read_what_was_saved(saved):
    assert [oct(path.stat().st_mode & 0o777) for path in (saved, saved / MANIFEST, saved / ARRAYS)] == ["0o755", "0o644", "0o644"]


def test_the_same_thing_is_the_same_bytes(tmp_path):
    arrays = {"b": np.ones(3), "a": ["x", "y"]}
    first = write(tmp_path / "1", kind="thing", data={"n": 1}, arrays=arrays)
    assert contents(first) == contents(write(tmp_path / "2", kind="thing", data={"n": 1}, arrays=arrays))


# What is wrong is named -----------------------------------------------------------------------------------------------


def test_a_path_without_anything_saved(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("nowhere", "empty", "file"):
        with pytest.raises(ArtifactError, match=name):
            read(tmp_path / name)


def test_a_thing_of_another_kind(saved):
    with pytest.raises(ArtifactError, match="holds a thing, not a encoder"):
        read(saved, kind="encoder")


@given(data=st.data())
@settings(max_examples=200)
def test_one_changed_byte_is_noticed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("tampered") / "a"
    write(folder, kind="thing", data={"k1": 0.9, "words": ["α", "b"]}, arrays={"v": np.arange(3.0), "t": ["x", "yz"]})
    file = folder / data.draw(st.sampled_from([MANIFEST, ARRAYS]))
    raw = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    before = json.loads(raw) if file.name == MANIFEST else None
    raw[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(raw)
    try:
        read(folder)
    except ArtifactError:
        return
    assert json.loads(raw) == before  # white space between the words of JSON is not content


@pytest.mark.parametrize("file", [MANIFEST, ARRAYS])
@pytest.mark.parametrize("keep", [0, 1, 60])
def test_a_truncated_file_is_noticed(saved, file, keep):
    (saved / file).write_bytes((saved / file).read_bytes()[:keep])
    with pytest.raises(ArtifactCorrupt, match="is damaged"):
        read(saved)


def test_a_missing_array_file_is_noticed(saved):
    (saved / ARRAYS).unlink()
    with pytest.raises(ArtifactCorrupt, match="missing"):
        read(saved)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"format": 1}', "NaN", "[" * 100_000, '{"format": "1", "kind": "x"}'])
def test_a_manifest_that_is_none_is_noticed(saved, text):
    (saved / MANIFEST).write_text(text)
    with pytest.raises(ArtifactCorrupt):
        read(saved)


def test_a_part_that_is_missing_or_another_is_noticed(tmp_path):
    def whole(name: str, number: int) -> Path:
        part = {"part": lambda folder: write(folder, kind="part", data={"n": number})}
        return write(tmp_path / name, kind="whole", data={}, parts=part)

    one, two = whole("one", 1), whole("two", 2)
    shutil.rmtree(one / "part")
    with pytest.raises(ArtifactCorrupt, match="its part part is missing"):
        read(one)
    shutil.copytree(two / "part", one / "part")
    with pytest.raises(ArtifactCorrupt, match="its part part is not the one"):
        read(one)


def test_a_newer_format_asks_for_a_newer_vicino(saved):
    manifest = json.loads((saved / MANIFEST).read_text()) | {"format": FORMAT + 1}
    (saved / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactTooNew, match="pip install --upgrade vicino"):
        read(saved)
    with pytest.raises(ArtifactError, match="choose another path"):
        write(saved, kind="thing", data={})


@pytest.mark.parametrize("dtype", ["c16", "U3", "O", "M8[s]"])
def test_a_type_that_the_format_has_not_is_named_and_leaves_nothing(tmp_path, dtype):
    with pytest.raises(ArtifactError, match="cannot write"):
        write(tmp_path / "a", kind="thing", data={}, arrays={"v": np.zeros(2, dtype=dtype)})
    assert list(tmp_path.iterdir()) == []


# What was there is not lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [{"notes.txt": "mine"}, {"manifest.json": '{"manifest_version": 3}'}, {"manifest.json": "{"}])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path, files):
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    before = contents(folder)
    with pytest.raises(ArtifactError, match="choose another path"):
        write(folder, kind="thing", data={})
    assert contents(folder) == before


def test_a_file_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="choose another path"):
        write(tmp_path / "file", kind="thing", data={})
    with pytest.raises(ArtifactError, match="cannot write"):
        write(tmp_path / "file" / "inside", kind="thing", data={})
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    assert read(write(tmp_path / "empty", kind="thing", data={"n": 1})).data == {"n": 1}


def test_a_failing_part_leaves_the_old_folder_whole(saved):
    before = contents(saved)

    def broken(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ArtifactError, match="No space left"):
        write(saved, kind="thing", data={}, parts={"p": broken})
    assert contents(saved) == before
    assert leftovers(saved.parent) == []


def test_an_error_of_the_caller_passes_through_and_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a"):
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, signal, sys
import numpy as np
from vicino.artifacts import write
from vicino.errors import ArtifactError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    write(sys.argv[1], kind="thing", data={"n": "x" * 500}, arrays={"v": np.ones(5000)})
except ArtifactError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [100, 20_000])
def test_a_full_disk_leaves_the_old_folder_whole(saved, python, limit):
    before = contents(saved)
    assert "free some space" in python(FULL_DISK, saved, limit)
    assert contents(saved) == before
    assert leftovers(saved.parent) == []


# The process kills itself, uncatchably, at the nth call of a step of writing.
KILLED = """
import os, pathlib, signal, sys
import numpy as np
from vicino.artifacts import write
path, owner, step, left = sys.argv[1], *sys.argv[2].split("."), int(sys.argv[3])
owner = {"os": os, "Path": pathlib.Path}[owner]
original = getattr(owner, step)
def dying(*arguments, **options):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
pid = os.fork()
if pid == 0:
    setattr(owner, step, dying)
    write(path, kind="thing", data={"n": 2}, arrays={"v": np.zeros(3)})
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize(
    ("step", "nth", "survivor"),
    [
        ("Path.write_text", 0, 1),  # before the manifest
        ("os.fsync", 0, 1),  # written, not yet in place
        ("Path.rename", 0, 1),  # before the old one moves aside
        ("Path.rename", 1, 1),  # the old one is aside, the new one not yet in place
        ("os.rmdir", 0, 2),  # the new one is in place
    ],
)
def test_a_killed_process_leaves_one_whole_folder(saved, python, step, nth, survivor):
    assert python(KILLED, saved, step, nth).strip() == "-9"
    assert read(saved).data == {"n": survivor}
    write(saved, kind="thing", data={"n": 3})
    assert read(saved).data == {"n": 3}


def test_writing_again_after_a_kill_finds_the_old_one_first(saved, python):
    assert python(KILLED, saved, "Path.rename", 1).strip() == "-9"
    assert not saved.exists()
    with pytest.raises(ZeroDivisionError), replacing(saved):
        1 / 0  # noqa: B018
    assert (saved / MANIFEST).exists()
    assert not [name for name in leftovers(saved.parent) if ".old." in name]  # nothing that might come back from the dead


def test_a_name_with_brackets_is_recovered_too(tmp_path, python):
    path = write(tmp_path / "a[b]*", kind="thing", data={"n": 1})
    assert python(KILLED, path, "Path.rename", 1).strip() == "-9"
    assert read(path).data == {"n": 1}
