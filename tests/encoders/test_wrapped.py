"""A Python function as an encoder: how it is called and found, what it may not return, and when it is another function."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vicino import artifacts, encoders, retrieval
from vicino.data.records import Document
from vicino.encoders.wrapped import Callable
from vicino.errors import DimensionMismatch, InputError, InvalidVectors, SpaceMismatch, UnknownName
from vicino.retrieval import from_recipe, parse
from vicino.retrieval.dense import Dense

MODULE = """
import numpy as np

WEIGHTS = np.random.default_rng({seed}).normal(size=(256, 8))

def embed(texts):
    # {comment}
    return np.array([WEIGHTS[list(text.encode("utf-8", "replace"))].sum(axis=0) if text else WEIGHTS[0] for text in texts])

def shout(texts):
    return embed([text.upper() for text in texts])

class Model:
    def __call__(self, texts):
        return embed(texts)
    encode = __call__

model = Model()
number = 5
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current folder with a module of one's own that nobody imported yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    monkeypatch.setattr("vicino.encoders.trust._vouched", set())
    (tmp_path / "mine.py").write_text(MODULE.format(seed=0, comment="first"))
    yield tmp_path
    sys.modules.pop("mine", None)


def again(folder: Path, **changed: object) -> None:
    """The module as another process would find it after a change."""
    (folder / "mine.py").write_text(MODULE.format(**{"seed": 0, "comment": "first"} | changed))
    sys.modules.pop("mine", None)
    for kept in folder.glob("__pycache__/*"):
        kept.unlink()


def lengths(texts: list[str]) -> list[list[float]]:
    return [[len(text), text.count(" "), 1] for text in texts]


# Calling --------------------------------------------------------------------------------------------------------------


def test_it_is_called_with_lists_of_texts_in_batches():
    seen = []

    def embed(texts):
        seen.append(texts)
        return lengths(texts)

    encoder = Callable(function=embed)
    assert encoder.encode(["a b", Document("d", "c", title="t"), "e"], batch_size=2).tolist() == [[3, 1, 1], [3, 0, 1], [1, 0, 1]]
    assert seen == [["a b", "t\nc"], ["e"]]
    assert encoder.dim == 3


@pytest.mark.parametrize("give", [list, tuple, np.array, partial(np.array, dtype=np.float64), partial(np.asarray, order="F")])
def test_anything_that_is_rows_of_numbers_will_do(give):
    encoder = Callable(function=lambda texts: give(lengths(texts)))
    assert encoder.encode(["ab"]).tolist() == [[2, 0, 1]]
    assert encoder.encode(["ab"]).dtype == np.float32


def test_torch_tensors_will_do():
    torch = pytest.importorskip("torch")
    assert Callable(function=lambda texts: torch.tensor(lengths(texts))).encode("ab").tolist() == [2, 0, 1]


def test_queries_may_have_a_function_of_their_own():
    encoder = Callable(function=lengths, query_function=lambda texts: [[9, 9, len(text)] for text in texts])
    assert encoder.encode_query("abc").tolist() == [9, 9, 3]
    assert encoder.encode_document("abc").tolist() == encoder.encode("abc").tolist() == [3, 0, 1]
    with pytest.raises(DimensionMismatch, match="vectors of 2 dimensions where 3"):
        _ = Callable(function=lengths, query_function=lambda texts: [[1, 2]] * len(texts)).space


def test_a_function_cannot_change_what_it_is_given():
    encoder = Callable(function=lambda texts: [[len(texts.pop())] for _ in list(texts)])
    assert encoder.encode(["a", "bb"]).tolist() == [[2], [1]]
    assert encoder.encode(["a", "bb"]).tolist() == [[2], [1]]


def test_a_function_may_fill_one_array_again_and_again():
    rows = np.zeros((1, 2), dtype=np.float32)

    def embed(texts):
        rows[0, 0] = len(texts[0])
        return rows[: len(texts)]

    assert Callable(function=embed).encode(["a", "bb"], batch_size=1).tolist() == [[1, 0], [2, 0]]


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda texts: None, InvalidVectors, "lambda.* returned: "),
        (lambda texts: [1.0] * len(texts), InvalidVectors, r"shape \(2,\)"),
        (lambda texts: [[]] * len(texts), InvalidVectors, r"shape \(2, 0\)"),
        (lambda texts: [["a"]] * len(texts), InvalidVectors, "not vectors"),
        (lambda texts: [[1.0], [1.0, 2.0]][: len(texts)], InvalidVectors, "not vectors"),
        (lambda texts: [[1.0]], InvalidVectors, "1 vectors for 2 texts"),
        (lambda texts: [[1.0]] * 5, InvalidVectors, "5 vectors for 2 texts"),
        (lambda texts: [[float("nan")]] * len(texts), InvalidVectors, "NaN"),
    ],
)
def test_what_is_no_vector_is_named_with_the_function(wrong, error, says):
    with pytest.raises(error, match=f"(?s){says}.*→ let it return one row"):
        Callable(function=wrong).encode(["a", "b"])


def test_a_width_that_changes_is_named():
    encoder = Callable(function=lambda texts: [[1.0] * len(texts)] * len(texts))
    with pytest.raises(DimensionMismatch, match="vectors of 1 dimensions where 2 are needed"):
        encoder.encode(["a", "b", "c"], batch_size=2)


def test_what_the_function_raises_is_left_as_it_is():
    def embed(texts):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        Callable(function=embed).encode("a")


# Names ----------------------------------------------------------------------------------------------------------------


def test_a_name_is_looked_for_in_the_current_folder_too(here):
    encoder = encoders.make("callable(function=mine:embed,query_function=mine:shout)")
    np.testing.assert_array_equal(encoder.encode_document("TEA"), encoder.encode_query("tea"))
    assert sys.path[-1] == str(here)
    encoders.make("callable(function=mine:embed)").encode("a")
    assert sys.path.count(str(here)) == 1
    assert Callable(function="mine:model.encode").encode("tea").tolist() == Callable(function="mine:model").encode("tea").tolist()


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("", InputError, "names no function"),
        (5, InputError, "names no function"),
        ("mine", InputError, "names no function"),
        ("mine:", InputError, "names no function"),
        (":embed", InputError, "names no function"),
        ("mine:embd", UnknownName, "did you mean embed"),
        ("mine:model.enode", UnknownName, "no function in mine named 'enode'"),
        ("mine:number", InputError, "is no function"),
        ("mine:Model", InputError, "is no function"),
        ("yours:embed", InputError, "yours cannot be imported: No module named 'yours'"),
        ("broken:embed", InputError, "broken cannot be imported: No module named 'not_there'"),
        ("..mine:embed", InputError, "names no function"),
    ],
)
def test_a_name_that_leads_nowhere_is_named(here, name, error, says):
    (here / "broken.py").write_text("import not_there\n")
    with pytest.raises(error, match=says):
        Callable(function=name).encode("a")
    with pytest.raises(error, match=says):
        _ = Callable(function=name).space


def test_the_command_line_finds_a_module_in_the_current_folder(here):
    (here / "corpus.jsonl").write_text('{"_id": "a", "text": "wings lift"}\n{"_id": "b", "text": "tea steeps"}\n')
    command = [
        sys.executable,
        "-P",
        "-c",
        "from vicino.cli import main; main()",
        "embed",
        "corpus.jsonl",
        "--out",
        "a.npy",
        "--quiet",
    ]
    done = subprocess.run(
        [*command, "--encoder", "callable(function=mine:embed)"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(here / "a.npy"), Callable(function="mine:embed").encode(["wings lift", "tea steeps"]))


# The space ------------------------------------------------------------------------------------------------------------


def test_the_space_changes_with_the_code_and_with_what_comes_out(here):
    def space() -> str:
        return Callable(function="mine:embed").space.id

    first = space()
    assert Callable(function="mine:shout").space.id != first
    again(here, comment="other words\n\n    # and another layout")
    assert space() == first
    again(here, seed=1)  # other weights behind the same code
    assert space() != first
    again(here)
    assert space() == first
    (here / "mine.py").write_text(MODULE.format(seed=0, comment="first").replace("if text else", "if text.strip() else"))
    sys.modules.pop("mine")
    assert space() != first


def test_a_function_is_the_same_under_another_name(here):
    space = Callable(function="mine:embed").space
    import mine

    assert Callable(function=mine.embed).space == space


def test_functions_without_source_are_told_apart_by_what_they_give():
    left, right = (Callable(function=partial(flat, number=number)) for number in (1, -1))
    assert left.space != right.space
    assert left.space == Callable(function=partial(flat, number=1)).space


def flat(texts: list[str], number: float) -> list[list[float]]:
    return [[number, 1.0]] * len(texts)


# Kept and opened ------------------------------------------------------------------------------------------------------


def test_a_function_of_a_module_is_saved_by_its_name(here, tmp_path):
    encoders.make("callable(function=mine:embed)").encode("a")
    import mine

    for function in ("mine:embed", mine.embed):
        opened = encoders.load(Callable(function=function).save(tmp_path / "saved"))
        assert opened.get_params() == {"function": "mine:embed", "query_function": None}


@pytest.mark.parametrize("function", [lambda texts: lengths(texts), partial(flat, number=1)], ids=["lambda", "object"])
def test_what_no_import_finds_cannot_be_saved(function, tmp_path):
    with pytest.raises(InputError, match=r"cannot be saved: no import finds it\n.*my_module:embed"):
        Callable(function=function).save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_one_keeps_its_space_while_its_vectors_stay(here, tmp_path):
    encoder = Callable(function="mine:embed")
    folder = encoder.save(tmp_path / "saved")
    (here / "mine.py").write_text(
        MODULE.format(seed=0, comment="first").replace("return np.array", "texts = list(texts)\n    return np.array")
    )
    sys.modules.pop("mine")
    assert Callable(function="mine:embed").space != encoder.space
    assert encoders.load(folder).space == encoder.space
    again(here, seed=1)
    with pytest.raises(SpaceMismatch, match="no longer gives the vectors"):
        _ = encoders.load(folder).space


def test_a_folder_runs_no_function_that_nobody_named(here, tmp_path, monkeypatch):
    folder = Callable(function="mine:embed").save(tmp_path / "saved")
    monkeypatch.setattr("vicino.encoders.trust._vouched", set())
    sys.modules.pop("mine")
    with pytest.raises(InputError, match=r"wants to run the Python function mine:embed\n.*export VICINO_TRUST=mine:embed"):
        encoders.load(folder)
    assert "mine" not in sys.modules
    monkeypatch.setenv("VICINO_TRUST", "other:f, mine:embed")
    assert encoders.load(folder).encode("tea").shape == (8,)


def test_a_folder_that_names_another_function_is_not_opened(here, tmp_path):
    folder = Callable(function="mine:embed").save(tmp_path / "saved")
    saved = artifacts.read(folder)
    data = {**saved.data, "params": {**saved.data["params"], "function": "os:system"}}
    artifacts.write(folder, kind="encoder", data=data, arrays=saved.arrays)
    with pytest.raises(InputError, match="os:system"):
        encoders.load(folder)


# Where an encoder can stand -------------------------------------------------------------------------------------------


def test_a_retriever_with_a_function(here, documents, tmp_path):
    retriever = from_recipe(parse("callable(function=mine:embed)")).build(documents)
    opened = retrieval.load(retriever.save(tmp_path / "saved"))
    assert opened.search("black tea", 3).ids.tolist() == retriever.search("black tea", 3).ids.tolist()
    before = retriever.identity()
    again(here, seed=1)
    assert Dense(encoder="callable", encoder_params={"function": "mine:embed"}).identity() != before
    with pytest.raises(SpaceMismatch):
        retrieval.load(tmp_path / "saved")


def test_scikit_learn_may_clone_a_function():
    from sklearn.base import clone

    assert clone(Callable(function=lengths)).encode("ab").tolist() == [2, 0, 1]
