"""One suite for every entry of ENCODERS: a new family joins by its line in the catalogue and its line in CHANGES."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from vicino import artifacts, encoders
from vicino.data.graphs import Graph
from vicino.data.interactions import Interactions
from vicino.data.records import Chunk, Document, Query
from vicino.encoders import ENCODERS, Encoder
from vicino.errors import ArtifactError, DimensionMismatch, EmptyInput, InputError, NotFitted, UnknownName
from vicino.vectors import Ragged, normalise, quantise

# For each entry, parameters that change the function: each must change the space.
CHANGES: dict[str, list[dict[str, Any]]] = {
    "tfidf": [{"analyzer": "code"}, {"stemmer": "english"}, {"stopwords": "english"}, {"min_count": 2}, {"sublinear_tf": False}],
    "lsa": [{"n_components": 3}, {"stemmer": "english"}, {"stopwords": "english"}, {"min_count": 2}, {"sublinear_tf": False}],
    "lda": [{"n_components": 3}, {"alpha": 0.5}, {"eta": 0.5}, {"learner": "online"}, {"passes": 3}, {"seed": 1}],
    "word2vec": [{"vector_size": 16}, {"window": 2}, {"sg": 0}, {"negative": 2}, {"hs": 1}, {"min_count": 2}, {"seed": 1}],
    "fasttext": [{"vector_size": 16}, {"window": 2}, {"sg": 0}, {"min_n": 2}, {"max_n": 4}, {"bucket": 500}, {"seed": 1}],
    "glove": [{"vector_size": 16}, {"window": 2}, {"weighting": "linear"}, {"x_max": 1}, {"min_count": 2}, {"seed": 1}],
    "swivel": [{"vector_size": 16}, {"window": 2}, {"weighting": "flat"}, {"confidence_base": 1}, {"min_count": 2}, {"seed": 1}],
    "doc2vec": [
        *({"vector_size": 16}, {"dm": 1}, {"dm": 1, "dm_mean": 0}, {"dm": 1, "dm_concat": 1}, {"dm": 1, "window": 2}),
        *({"dbow_words": 1}, {"negative": 2}, {"hs": 1}, {"sample": 0.1}, {"epochs": 50}, {"min_count": 2}, {"seed": 1}),
    ],
    "mean-of-words": [{"words": "word2vec(seed=1)"}, {"weighting": "idf"}, {"weighting": "average"}, {"components": 0}],
    "isotropic": [{"encoder": "lsa(n_components=5)"}, {"cure": "centring"}, {"cure": "whitening"}],
    "deepwalk": [
        *({"vector_size": 16}, {"walk_length": 5}, {"num_walks": 3}, {"window": 2}, {"negative": 2}, {"alpha": 0.05}),
        *({"epochs": 3}, {"directed": True}, {"seed": 1}),
    ],
    "node2vec": [{"p": 0.5}, {"q": 0.5}, {"vector_size": 16}, {"walk_length": 5}, {"window": 2}, {"directed": True}],
    "line": [{"order": 1}, {"order": 2}, {"vector_size": 16}, {"negative": 2}, {"epochs": 3}, {"directed": True}, {"seed": 1}],
    "two-tower": [
        *({"vector_size": 16}, {"softmax": "full"}, {"log_q": False}, {"temperature": 0.2}),
        *({"hard_negatives": 2}, {"targets": 2}, {"history": 2}, {"dropout": 0.1}, {"epochs": 9}),
        *({"batch_size": 5}, {"learning_rate": 0.01}, {"seed": 1}),
    ],
    "static": [{"n_components": 8}, {"weighting": "zipf"}, {"weighting": "none"}, {"a": 0.1}],
    "pixels": [{"size": 9}, {"size": (9, 8)}, {"channels": 1}],
    "eigenimages": [{"n_components": 8}, {"size": 9}, {"channels": 1}, {"whiten": True}, {"sample": 10}],
    "image": [{"layer": "stage1"}, {"size": 12}, {"crop": False}],
    "module": [{"layer": "2"}, {"preprocess": "functions:mirrored"}, {"module": "functions:sharper"}],
    "ready": [{"path": "more.vec"}, {"path": "fewer.txt"}, {"queries": "more.vec"}, {"words": False}, {"model": "mine"}],
    "callable": [{"function": "functions:other"}, {"query_function": "functions:other"}],
    "remote": [{"model": "other"}, {"dimensions": 16}, {"shape": "ollama"}, {"prompts": {"query": "query: "}}],
    "towers": [{"prompts": {"document": "passage: "}}, {"truncate_dim": 8}, {"max_seq_length": 9}],
    "transformer": [{"pooling": "max"}, {"prompts": {"document": "passage: "}}, {"truncate_dim": 8}, {"max_seq_length": 9}],
}

# Texts that no tidy corpus holds.
ODD = [
    "",
    " \n\t",
    "\x00",
    "\ud800 lone",
    "e\u0301 é",
    "🛩️👩‍🚀",
    "ﷺ \u202e right to left",
    "…!?",
    "a" * 5000,
    "東京都",
    "İstanbul ß ẞ",
]


@dataclass(frozen=True)
class Examples:
    """What families of a kind are fitted on, and what they encode then."""

    data: list[Any]
    fewer: list[Any]  # a part of the data, which is enough to encode all items
    nothing: Any  # holds nothing to learn
    items: list[str]
    odd: list[str]


NODES = [*"abcdefghijkl"]
EDGES = [(left, right) for at, left in enumerate(NODES) for right in NODES[at + 1 : at + 2 + at % 3]]
STRANGERS = [(NODES[at % 12], name) for at, name in enumerate(ODD) if name]  # odd texts are odd names too


# What the fit of these keeps is no more than the shape of an image: a few others change nothing.
KEEP_A_SHAPE = {"pixels"}
# A repeat says nothing new to these.
COUNT_ONCE = {"two-tower"}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> tuple[list[str], list[str]]:
    """Files of twelve images that differ, and of images that no tidy collection holds."""
    Image = pytest.importorskip("PIL.Image", reason="the extra 'images' is not installed")
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    blocks = [np.kron(random.integers(0, 256, (3, 3, 3), np.uint8), np.ones((7, 8, 1), np.uint8)) for _ in range(12)]
    odd = {
        "dot": Image.new("L", (1, 1), 9),
        "wide": Image.new("RGB", (300, 2), "red"),
        "deep": Image.fromarray(random.integers(0, 2**16, (9, 9), np.uint16)),
        "glass": Image.fromarray(random.integers(0, 256, (30, 10, 4), np.uint8)),
        "print": Image.new("CMYK", (8, 8)),
        "palette": Image.fromarray(blocks[0]).convert("P"),
        "bits": Image.new("1", (5, 5), 1),
    }
    shown = {f"{row:02}": Image.fromarray(pixels) for row, pixels in enumerate(blocks)}
    paths = []
    for name, image in (shown | odd).items():
        image.save(folder / f"{name}.{'tiff' if name == 'print' else 'png'}")
        paths.append(str(folder / f"{name}.{'tiff' if name == 'print' else 'png'}"))
    return paths[:12], paths[12:]


def examples_of(name: str, texts: list[str], request: Any) -> Examples:
    """By what the family says that it accepts."""
    if ENCODERS[name].accepts == {"image"}:
        shown, odd = request.getfixturevalue("pictures")
        return Examples(shown, shown[:9], [], shown, odd)
    if ENCODERS[name].accepts == {"user", "item"}:  # each has met the item of the same name; others met several
        names = [*NODES, *(name for name in ODD if name)]
        met = [*zip(names, names, strict=True), *((f"user {at % 5}", name) for at, name in enumerate(names * 2))]
        nobody = Interactions((), (), *(np.empty(0, kind) for kind in (np.int64, np.int64, np.float32)))
        return Examples(met, met[:-7], nobody, NODES, names[len(NODES) :])
    if ENCODERS[name].accepts == {"node"}:
        data = [*EDGES, *STRANGERS, ("a", "l"), ("b", "k"), ("c", "h")]
        alone = Graph.of_edges([], [], nodes=NODES)
        return Examples(data, data[:-3], alone, NODES, [name for _, name in STRANGERS])
    return Examples(texts, texts[:5], ["", " "], texts, ODD)


# Second names of a family: they need no second round of everything.
ALIASES = {"minilm": "transformer"}


@pytest.fixture(scope="module", params=[name for name in ENCODERS if name not in ALIASES])
def name(request, need) -> str:
    """Each family whose extra is installed."""
    need(ENCODERS.entry(request.param))
    return request.param


FUNCTIONS = """
import zlib
def embed(texts, dim=48):
    rows = [[0.25] + [0] * (dim - 1) for _ in texts]
    for row, text in zip(rows, texts):
        for word in text.lower().split():
            number = zlib.crc32(word.encode("utf-8", "replace"))
            row[number % dim] += 1 if number >> 16 & 1 else -1
    return rows
def other(texts):
    return [row[::-1] for row in embed(texts)]
def network(scale=1):
    import torch
    from torch import nn
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 24))
    made[0].weight.data *= scale
    return made
def sharper():
    return network(2)
def squeezed(image):
    from vicino.data.images import resized
    return resized(image, (16, 16), 3).transpose(2, 0, 1) / 255 - 0.5
def mirrored(image):
    return squeezed(image)[:, :, ::-1].copy()
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory, texts) -> Iterator[Path]:
    """A folder with what families are given that have no model of their own; the current one while they are tested."""
    folder = tmp_path_factory.mktemp("here")
    words = sorted({word for text in texts for word in text.replace(".", "").split()})
    for name, dim, known in (("words.txt", 32, words), ("more.vec", 32, [*words, "more"]), ("fewer.txt", 24, words)):
        rows = np.random.default_rng(dim).normal(size=(len(known), dim)).round(3)
        lines = [f"{word} {' '.join(map(str, row))}" for word, row in zip(known, rows, strict=True)]
        (folder / name).write_text("\n".join([f"{len(known)} {dim}", *lines]) + "\n")
    (folder / "functions.py").write_text(FUNCTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("VICINO_HOME", str(folder / "home"))
        yield folder


@pytest.fixture(scope="module")
def params(name, request) -> Iterator[dict[str, Any]]:
    """What makes the entry small enough to be opened thirty times, and gives a model to those that have none."""
    if name == "transformer":
        yield {"model": str(request.getfixturevalue("checkpoint")("bert"))}
    elif name == "image":
        yield {"model": str(request.getfixturevalue("image_model"))}
    elif name == "towers":
        yield {"model": str(request.getfixturevalue("router")(limits=(48, 48)))}
    elif name in ("ready", "callable"):
        request.getfixturevalue("here")
        yield {"path": "words.txt"} if name == "ready" else {"function": "functions:embed"}
    elif name == "module":
        request.getfixturevalue("here")
        yield {"module": "functions:network", "preprocess": "functions:squeezed"}
    elif name == "remote":
        request.getfixturevalue("here")
        with request.getfixturevalue("endpoints")() as server:
            yield {"url": f"{server.url}/v1", "model": "test"}
    elif name == "static":
        yield {"model": str(request.getfixturevalue("checkpoint")("bert"))}
    elif name == "isotropic":
        yield {"encoder": "lsa"}
    elif name == "two-tower":
        yield {"epochs": 5, "vector_size": 32, "batch_size": 16, "threads": 1}
    elif name in ("deepwalk", "node2vec"):
        yield {"num_walks": 20, "walk_length": 10, "epochs": 5}
    else:
        yield {}


@pytest.fixture(scope="module")
def examples(name, texts, request) -> Examples:
    return examples_of(name, texts, request)


@pytest.fixture(scope="module")
def items(examples) -> list[str]:
    """What the family encodes."""
    return examples.items


@pytest.fixture(scope="module")
def data(examples) -> list[Any]:
    """What the family learns from."""
    return examples.data


@pytest.fixture(scope="module")
def fewer(examples) -> list[Any]:
    """A part of it."""
    return examples.fewer


@pytest.fixture(scope="module")
def reads_text(encoder) -> bool:
    """Skips what only encoders of text can do."""
    if "text" not in encoder.accepts:
        pytest.skip(f"{type(encoder).__name__} encodes {', '.join(encoder.accepts)}")
    return True


@pytest.fixture(scope="module")
def fresh(name, params) -> Encoder:
    """An unfitted encoder; clone it before fitting."""
    return encoders.make(name, **params)


@pytest.fixture(scope="module")
def encoder(fresh, data) -> Encoder:
    """A fitted encoder; only for looking."""
    return fresh.clone().fit(data)


@pytest.fixture(scope="module")
def learns(encoder) -> bool:
    """Skips what only families that must be fitted can do."""
    if encoder.pretrained:
        pytest.skip(f"{type(encoder).__name__} has learnt already")
    return True


def dense(vectors: Any) -> np.ndarray:
    return vectors.toarray() if hasattr(vectors, "toarray") else np.asarray(vectors)


def same(left: Any, right: Any) -> None:
    """Equal to the bit."""
    np.testing.assert_array_equal(dense(left), dense(right), strict=True)


def near(left: Any, right: Any) -> None:
    """Equal but for the order in which numbers were added."""
    np.testing.assert_allclose(dense(left), dense(right), atol=1e-5)


# What comes out -------------------------------------------------------------------------------------------------------


def test_vectors_are_finite_float32_rows_of_the_stated_width(encoder, items):
    vectors = encoder.encode(items)
    assert vectors.shape == (len(items), encoder.dim)
    assert vectors.dtype == np.float32
    assert hasattr(vectors, "indptr") == encoder.sparse
    assert np.isfinite(dense(vectors)).all()
    assert dense(vectors).any(axis=1).all()


def test_different_items_are_told_apart_and_equal_ones_are_not(encoder, items):
    vectors = normalise(dense(encoder.encode([items[0], items[3], items[0]])))
    assert vectors[0] @ vectors[1] < 0.99
    assert vectors[0] @ vectors[2] == pytest.approx(1, abs=1e-5)


def test_one_item_alone(encoder, items):
    alone, row = encoder.encode(items[2]), encoder.encode(items)[2]
    assert alone.shape == ((1, encoder.dim) if encoder.sparse else (encoder.dim,))
    near(dense(alone).ravel(), dense(row).ravel())


def test_no_items_at_all(encoder):
    for method in (encoder.encode, encoder.encode_query, encoder.encode_document):
        vectors = method([])
        assert vectors.shape == (0, encoder.dim)
        assert vectors.dtype == np.float32
        assert hasattr(vectors, "indptr") == encoder.sparse


def test_any_iterable_of_items_will_do(encoder, items):
    expected = encoder.encode(items)
    for some in (iter(items), tuple(items), np.array(items), dict.fromkeys(items)):
        same(encoder.encode(some), expected)


def test_records_are_read_by_their_text(encoder, reads_text, texts):
    expected = encoder.encode(texts[:2])
    same(encoder.encode([Document("a", texts[0]), Document("b", texts[1])]), expected)
    same(encoder.encode([Query("a", texts[0]), Chunk("b", 0, 1, texts[1])]), expected)
    same(encoder.encode([Document("a", texts[1], title=texts[0])]), encoder.encode([f"{texts[0]}\n{texts[1]}"]))
    same(encoder.encode(Document("a", texts[0])), encoder.encode(texts[0]))


def test_queries_and_documents_share_the_space(encoder, items):
    for method in (encoder.encode_query, encoder.encode_document):
        vectors = method(items)
        assert vectors.shape == (len(items), encoder.dim)
        assert method(items[0]).shape == encoder.encode(items[0]).shape
    queries, documents = (normalise(dense(method(items))) for method in (encoder.encode_query, encoder.encode_document))
    ranked = queries @ documents.T
    assert (ranked.argmax(axis=1) == np.arange(len(items))).all()  # each item is nearest to itself


def test_the_order_of_items_does_not_matter(encoder, items):
    order = np.random.default_rng(0).permutation(len(items))
    near(encoder.encode([items[place] for place in order]), dense(encoder.encode(items))[order])


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_the_batch_size_does_not_matter(encoder, items, batch_size):
    near(encoder.encode(items, batch_size=batch_size), encoder.encode(items))


def test_odd_items_have_vectors_too(encoder, examples):
    vectors = dense(encoder.encode(examples.odd))
    assert vectors.shape == (len(examples.odd), encoder.dim)
    assert np.isfinite(vectors).all()
    near(vectors, np.concatenate([dense(encoder.encode([item])) for item in examples.odd]))


def test_a_progress_bar_changes_nothing(encoder, items, capsys):
    same(encoder.encode(items, show_progress_bar=True), encoder.encode(items, show_progress_bar=False))
    assert capsys.readouterr().out == ""


# Fewer dimensions, fewer bits -----------------------------------------------------------------------------------------


def test_normalised_rows_are_of_length_one(encoder, items):
    vectors = dense(encoder.encode(items, normalize_embeddings=True))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors, normalise(dense(encoder.encode(items))), atol=1e-6)


def test_fewer_dimensions(encoder, items):
    if encoder.sparse:
        with pytest.raises(InputError, match="not a dense matrix"):
            encoder.encode(items, truncate_dim=2)
        return
    full = encoder.encode(items)
    same(encoder.encode(items, truncate_dim=2), full[:, :2])
    same(encoder.encode(items[0], truncate_dim=2), encoder.encode(items[0])[:2])
    same(encoder.encode(items, truncate_dim=2, normalize_embeddings=True), normalise(full[:, :2]))
    assert encoder.encode([], truncate_dim=2).shape == (0, 2)
    for dim in (0, -1, encoder.dim + 1):
        with pytest.raises(DimensionMismatch):
            encoder.encode(items, truncate_dim=dim)


@pytest.mark.parametrize("precision", ["float16", "int8", "binary", "ubinary"])
def test_fewer_bits(encoder, items, precision):
    if encoder.sparse:
        with pytest.raises(InputError, match="not a dense matrix"):
            encoder.encode(items, precision=precision)
        return
    full = encoder.encode(items)
    same(encoder.encode(items, precision=precision), quantise(full, precision))
    same(encoder.encode(items, precision=precision, truncate_dim=8), quantise(full[:, :8], precision))
    assert encoder.encode([], precision=precision).shape[0] == 0


def test_every_stated_output_is_given(encoder, items):
    for output in encoder.outputs:
        found = encoder.encode(items[:3], output_value=output)
        assert len(found) == 3 if isinstance(found, Ragged) else found.shape[0] == 3
    if "token_embeddings" in encoder.outputs:
        pieces = encoder.encode(items[:3], output_value="token_embeddings", normalize_embeddings=True)
        assert isinstance(pieces, Ragged)
        np.testing.assert_allclose(np.linalg.norm(pieces.values, axis=1), 1, atol=1e-5)
        assert encoder.encode(items[0], output_value="token_embeddings").shape[1] == pieces.values.shape[1]
        assert len(encoder.encode([], output_value="token_embeddings")) == 0


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [5, None, b"bytes", [b"bytes"], [5], ["text", None], [["nested"]], np.ones((2,) * 5), {1: 2}])
def test_what_is_no_item_is_named(encoder, wrong):
    with pytest.raises(InputError, match=r"item|list"):
        encoder.encode(wrong)


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"output_value": "sentence"}, {"precision": "int4"}, {"truncate_dim": -1}], ids=str
)
def test_options_that_do_not_exist_are_named(encoder, items, options):
    with pytest.raises(InputError):
        encoder.encode(items, **options)


def test_parameters_that_do_not_exist_are_named(name):
    with pytest.raises(UnknownName, match="no parameter of"):
        encoders.make(name, n_compnents=3)


def test_fitting_on_nothing_or_on_no_list_is_named(fresh):
    with pytest.raises(EmptyInput):
        fresh.clone().fit([])
    with pytest.raises(InputError):
        fresh.clone().fit("one text")


def test_an_unfitted_encoder_says_so(fresh, learns, items, tmp_path):
    encoder = fresh.clone()
    uses = [
        lambda: encoder.encode(items),
        lambda: encoder.encode(items[0]),
        lambda: encoder.encode([]),
        lambda: encoder.encode_query(items),
        lambda: encoder.dim,
        lambda: encoder.space,
        lambda: encoder.save(tmp_path / "unfitted"),
        *([] if type(encoder).tokens is Encoder.tokens else [lambda: encoder.tokens(items[0])]),
    ]
    for use in uses:
        with pytest.raises(NotFitted, match="fit"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_learnt_nothing_says_so(fresh, learns, examples):
    with pytest.raises(EmptyInput):
        fresh.clone().fit(examples.nothing)


# Learning -------------------------------------------------------------------------------------------------------------


def test_two_fits_are_equal_to_the_bit(fresh, encoder, items, data):
    again = fresh.clone().fit(data)
    same(again.encode(items), encoder.encode(items))
    assert again.space == encoder.space


def test_another_fit_replaces_the_first(fresh, encoder, items, data, fewer):
    refitted = fresh.clone().fit(fewer)
    refitted.encode(items)
    _ = refitted.space
    refitted.fit(data)
    same(refitted.encode(items), encoder.encode(items))
    assert refitted.space == encoder.space


@pytest.mark.parametrize("copy", [methodcaller("clone"), clone], ids=["own", "scikit-learn"])
def test_a_clone_has_the_parameters_and_nothing_learnt(encoder, items, data, copy):
    twin = copy(encoder)
    assert type(twin) is type(encoder)
    assert twin.get_params() == encoder.get_params()
    if not encoder.pretrained:
        with pytest.raises(NotFitted):
            twin.encode(items)
    same(twin.fit(data).encode(items), encoder.encode(items))


def test_a_changed_parameter_asks_for_another_fit(name, fresh, learns, items, data):
    changed = fresh.clone().fit(data).set_params(**CHANGES[name][0])
    with pytest.raises(NotFitted):
        changed.encode(items)


def test_a_step_of_a_pipeline(fresh, reads_text, texts):
    labels = [text.startswith(("The", "A ")) for text in texts]
    model = make_pipeline(clone(fresh), LogisticRegression(C=100, max_iter=10_000))
    assert model.fit(texts, labels).predict(texts).tolist() == labels
    assert clone(model).fit(texts, labels).score(texts, labels) == 1


def test_the_names_that_scikit_learn_calls(fresh, encoder, items, examples):
    same(encoder.transform(items), encoder.encode(items))
    if examples.data is items:
        same(fresh.clone().fit_transform(items), encoder.encode(items))


# Kept and opened ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(encoder, tmp_path_factory):
    return encoder.save(tmp_path_factory.mktemp("saved") / "encoder")


def test_a_saved_encoder_is_the_same_to_the_bit(encoder, folder, items, examples):
    for opened in (encoders.load(folder), type(encoder).load(folder), encoders.make(folder)):
        assert type(opened) is type(encoder)
        assert opened.get_params() == encoder.get_params()
        assert opened.space == encoder.space
        same(opened.encode(items + examples.odd), encoder.encode(items + examples.odd))
        same(opened.encode_query(items), encoder.encode_query(items))


def test_an_opened_encoder_saves_the_same_files(folder, tmp_path):
    again = encoders.load(folder).save(tmp_path / "again")
    for file in folder.rglob("*.*"):
        if file.is_file():
            assert (again / file.relative_to(folder)).read_bytes() == file.read_bytes()


def test_an_opened_encoder_may_be_fitted_again(folder, fresh, items, fewer):
    reopened = encoders.load(folder)
    same(reopened.fit(fewer).encode(items), fresh.clone().fit(fewer).encode(items))


def test_damage_to_any_saved_file_is_noticed(encoder, items, tmp_path):
    folder = encoder.save(tmp_path / "damaged")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        for harm in (whole[: len(whole) // 2], whole[:20] + bytes([whole[20] ^ 1]) + whole[21:], b""):
            file.write_bytes(harm)
            with pytest.raises(ArtifactError, match=r"damaged|format"):
                encoders.load(folder).encode(items[:1])
        file.write_bytes(whole)
    encoders.load(folder).encode(items[:1])


def test_another_family_is_not_opened_as_this_one(name, encoder, tmp_path, texts):
    other = encoders.make("tfidf" if encoder.family != "tfidf" else "lsa").fit(texts).save(tmp_path / "other")
    with pytest.raises(InputError, match=r"vicino\.load"):
        type(encoder).load(other)


# The space ------------------------------------------------------------------------------------------------------------


def test_the_space_is_that_of_the_vectors(encoder):
    assert encoder.space.dim == encoder.dim
    assert encoder.space.similarity == encoder.similarity
    assert encoder.space is encoder.space


def test_every_change_of_the_function_changes_the_space(name, fresh, encoder, data):
    spaces = {encoder.space.id}
    for change in CHANGES[name]:
        spaces.add(fresh.clone().set_params(**change).fit(data).space.id)
    assert len(spaces) == 1 + len(CHANGES[name])


def test_another_corpus_is_another_space(name, fresh, encoder, learns, data, fewer):
    if name in KEEP_A_SHAPE:
        pytest.skip(f"{name} keeps the shape of an image alone")
    assert fresh.clone().fit(fewer).space.id != encoder.space.id
    assert name in COUNT_ONCE or fresh.clone().fit([*data, data[0]]).space.id != encoder.space.id


def test_use_does_not_change_the_space(encoder, items):
    before = encoder.space
    encoder.encode(items, batch_size=2, precision="float32", normalize_embeddings=True)
    encoder._space = None
    assert encoder.space == before


ELSEWHERE = """
import json, os, sys
from vicino import encoders
for line in sys.stdin:
    name, params, data, folder, home = json.loads(line)
    os.chdir(folder)
    os.environ["VICINO_HOME"] = home
    print(encoders.make(name, **params).fit(data).space.id, flush=True)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Iterator[list[subprocess.Popen[str]]]:
    """Two more processes, whose sets have other orders; each fits what a line names."""
    with ExitStack() as stack:
        said = stack.enter_context((tmp_path_factory.mktemp("elsewhere") / "stderr").open("w+"))
        command = [sys.executable, "-c", ELSEWHERE]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said, "text": True}
        yield [
            stack.enter_context(subprocess.Popen(command, env={**os.environ, "PYTHONHASHSEED": seed}, **pipes)) for seed in "12"
        ]


@pytest.mark.long
def test_other_processes_find_the_same_space(name, params, encoder, data, elsewhere):
    asked = json.dumps([name, params, data, str(Path.cwd()), str(artifacts.home())])
    for process in elsewhere:
        print(asked, file=process.stdin, flush=True)
    assert [process.stdout.readline().strip() for process in elsewhere] == [encoder.space.id] * 2


def test_every_entry_says_what_changes_its_function():
    assert {*CHANGES, *ALIASES} == set(ENCODERS), "give each entry of ENCODERS a line in CHANGES"


@pytest.mark.parametrize(("alias", "family"), ALIASES.items())
def test_a_second_name_is_a_family_with_its_defaults(alias, family, need, texts):
    need(ENCODERS.entry(alias))
    encoder = encoders.make(alias)
    assert encoder.family == family
    assert encoder.get_params() == encoders.make(family).get_params()
    assert encoder.encode(texts[:3]).shape == (3, encoder.dim)


# How text becomes numbers ---------------------------------------------------------------------------------------------


def test_tokens_are_pieces_with_their_rows(encoder, items):
    if type(encoder).tokens is Encoder.tokens:
        with pytest.raises(InputError, match="does not read tokens"):
            encoder.tokens(items[0])
        return
    found = encoder.tokens(items[0] + " zzyzx")
    n = len(found.pieces)
    assert n >= 5
    assert found.ids.shape == found.known.shape == (n,)
    assert found.known.dtype == bool
    assert (found.ids[found.known] >= 0).all()
    assert (found.ids < found.vocabulary).all()
    if found.rows is not None:
        assert found.rows.shape[0] == n
        assert found.rows.dtype == np.float32
        assert not found.rows[~found.known].any() or (found.ids[~found.known] >= 0).all()
    for text in ODD:
        assert len(encoder.tokens(text).pieces) == len(encoder.tokens(text).ids)


def test_truncation_is_counted_where_there_is_a_limit(encoder, items):
    cut = encoder.truncation([*items, "word " * 3000])
    if cut is not None:
        assert cut.items == len(items) + 1
        assert cut.items_cut == 1
        assert 0 < cut.share < 1
        assert sum(tenth[1] for tenth in cut.deciles) == cut.items
