"""One suite for every entry of ENCODERS: a new family joins by its line in the catalogue and its line in CHANGES."""

from __future__ import annotations

import json
from collections.abc import Iterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from vicino import encoders
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
    "mean-of-words": [{"words": "word2vec(seed=1)"}, {"weighting": "idf"}, {"weighting": "average"}, {"components": 0}],
    "ready": [{"path": "more.vec"}, {"path": "fewer.txt"}, {"queries": "more.vec"}, {"words": False}, {"model": "mine"}],
    "callable": [{"function": "functions:other"}, {"query_function": "functions:other"}],
    "remote": [{"model": "other"}, {"dimensions": 16}, {"shape": "ollama"}, {"prompts": {"query": "query: "}}],
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
    elif name in ("ready", "callable"):
        request.getfixturevalue("here")
        yield {"path": "words.txt"} if name == "ready" else {"function": "functions:embed"}
    elif name == "remote":
        request.getfixturevalue("here")
        with request.getfixturevalue("endpoints")() as server:
            yield {"url": f"{server.url}/v1", "model": "test"}
    else:
        yield {}


@pytest.fixture(scope="module")
def fresh(name, params) -> Encoder:
    """An unfitted encoder; clone it before fitting."""
    return encoders.make(name, **params)


@pytest.fixture(scope="module")
def encoder(fresh, texts) -> Encoder:
    """A fitted encoder; only for looking."""
    return fresh.clone().fit(texts)


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


def test_vectors_are_finite_float32_rows_of_the_stated_width(encoder, texts):
    vectors = encoder.encode(texts)
    assert vectors.shape == (len(texts), encoder.dim)
    assert vectors.dtype == np.float32
    assert hasattr(vectors, "indptr") == encoder.sparse
    assert np.isfinite(dense(vectors)).all()
    assert dense(vectors).any(axis=1).all()


def test_different_texts_are_told_apart_and_equal_ones_are_not(encoder, texts):
    vectors = normalise(dense(encoder.encode([texts[0], texts[3], texts[0]])))
    assert vectors[0] @ vectors[1] < 0.99
    assert vectors[0] @ vectors[2] == pytest.approx(1, abs=1e-5)


def test_one_item_alone(encoder, texts):
    alone, row = encoder.encode(texts[2]), encoder.encode(texts)[2]
    assert alone.shape == ((1, encoder.dim) if encoder.sparse else (encoder.dim,))
    near(dense(alone).ravel(), dense(row).ravel())


def test_no_items_at_all(encoder):
    for method in (encoder.encode, encoder.encode_query, encoder.encode_document):
        vectors = method([])
        assert vectors.shape == (0, encoder.dim)
        assert vectors.dtype == np.float32
        assert hasattr(vectors, "indptr") == encoder.sparse


def test_any_iterable_of_texts_will_do(encoder, texts):
    expected = encoder.encode(texts)
    for items in (iter(texts), tuple(texts), np.array(texts), dict.fromkeys(texts)):
        same(encoder.encode(items), expected)


def test_records_are_read_by_their_text(encoder, texts):
    expected = encoder.encode(texts[:2])
    same(encoder.encode([Document("a", texts[0]), Document("b", texts[1])]), expected)
    same(encoder.encode([Query("a", texts[0]), Chunk("b", 0, 1, texts[1])]), expected)
    same(encoder.encode([Document("a", texts[1], title=texts[0])]), encoder.encode([f"{texts[0]}\n{texts[1]}"]))
    same(encoder.encode(Document("a", texts[0])), encoder.encode(texts[0]))


def test_queries_and_documents_share_the_space(encoder, texts):
    for method in (encoder.encode_query, encoder.encode_document):
        vectors = method(texts)
        assert vectors.shape == (len(texts), encoder.dim)
        assert method(texts[0]).shape == encoder.encode(texts[0]).shape
    queries, documents = (normalise(dense(method(texts))) for method in (encoder.encode_query, encoder.encode_document))
    ranked = queries @ documents.T
    assert (ranked.argmax(axis=1) == np.arange(len(texts))).all()  # each text is nearest to itself


def test_the_order_of_items_does_not_matter(encoder, texts):
    order = np.random.default_rng(0).permutation(len(texts))
    near(encoder.encode([texts[place] for place in order]), dense(encoder.encode(texts))[order])


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_the_batch_size_does_not_matter(encoder, texts, batch_size):
    near(encoder.encode(texts, batch_size=batch_size), encoder.encode(texts))


def test_odd_texts_have_vectors_too(encoder):
    vectors = dense(encoder.encode(ODD))
    assert vectors.shape == (len(ODD), encoder.dim)
    assert np.isfinite(vectors).all()
    near(vectors, np.concatenate([dense(encoder.encode([text])) for text in ODD]))


def test_a_progress_bar_changes_nothing(encoder, texts, capsys):
    same(encoder.encode(texts, show_progress_bar=True), encoder.encode(texts, show_progress_bar=False))
    assert capsys.readouterr().out == ""


# Fewer dimensions, fewer bits -----------------------------------------------------------------------------------------


def test_normalised_rows_are_of_length_one(encoder, texts):
    vectors = dense(encoder.encode(texts, normalize_embeddings=True))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors, normalise(dense(encoder.encode(texts))), atol=1e-6)


def test_fewer_dimensions(encoder, texts):
    if encoder.sparse:
        with pytest.raises(InputError, match="not a dense matrix"):
            encoder.encode(texts, truncate_dim=2)
        return
    full = encoder.encode(texts)
    same(encoder.encode(texts, truncate_dim=2), full[:, :2])
    same(encoder.encode(texts[0], truncate_dim=2), encoder.encode(texts[0])[:2])
    same(encoder.encode(texts, truncate_dim=2, normalize_embeddings=True), normalise(full[:, :2]))
    assert encoder.encode([], truncate_dim=2).shape == (0, 2)
    for dim in (0, -1, encoder.dim + 1):
        with pytest.raises(DimensionMismatch):
            encoder.encode(texts, truncate_dim=dim)


@pytest.mark.parametrize("precision", ["float16", "int8", "binary", "ubinary"])
def test_fewer_bits(encoder, texts, precision):
    if encoder.sparse:
        with pytest.raises(InputError, match="not a dense matrix"):
            encoder.encode(texts, precision=precision)
        return
    full = encoder.encode(texts)
    same(encoder.encode(texts, precision=precision), quantise(full, precision))
    same(encoder.encode(texts, precision=precision, truncate_dim=8), quantise(full[:, :8], precision))
    assert encoder.encode([], precision=precision).shape[0] == 0


def test_every_stated_output_is_given(encoder, texts):
    for output in encoder.outputs:
        found = encoder.encode(texts[:3], output_value=output)
        assert len(found) == 3 if isinstance(found, Ragged) else found.shape[0] == 3
    if "token_embeddings" in encoder.outputs:
        pieces = encoder.encode(texts[:3], output_value="token_embeddings", normalize_embeddings=True)
        assert isinstance(pieces, Ragged)
        np.testing.assert_allclose(np.linalg.norm(pieces.values, axis=1), 1, atol=1e-5)
        assert encoder.encode(texts[0], output_value="token_embeddings").shape[1] == pieces.values.shape[1]
        assert len(encoder.encode([], output_value="token_embeddings")) == 0


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [5, None, b"bytes", [b"bytes"], [5], ["text", None], [["nested"]], np.ones((2, 2)), {1: 2}])
def test_what_is_not_text_is_named(encoder, wrong):
    with pytest.raises(InputError, match=r"item|list"):
        encoder.encode(wrong)


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"output_value": "sentence"}, {"precision": "int4"}, {"truncate_dim": -1}], ids=str
)
def test_options_that_do_not_exist_are_named(encoder, texts, options):
    with pytest.raises(InputError):
        encoder.encode(texts, **options)


def test_parameters_that_do_not_exist_are_named(name):
    with pytest.raises(UnknownName, match="no parameter of"):
        encoders.make(name, n_compnents=3)


def test_fitting_on_nothing_or_on_no_list_is_named(fresh):
    with pytest.raises(EmptyInput):
        fresh.clone().fit([])
    with pytest.raises(InputError):
        fresh.clone().fit("one text")


def test_an_unfitted_encoder_says_so(fresh, learns, texts, tmp_path):
    encoder = fresh.clone()
    uses = [
        lambda: encoder.encode(texts),
        lambda: encoder.encode(texts[0]),
        lambda: encoder.encode([]),
        lambda: encoder.encode_query(texts),
        lambda: encoder.tokens(texts[0]),
        lambda: encoder.dim,
        lambda: encoder.space,
        lambda: encoder.save(tmp_path / "unfitted"),
    ]
    for use in uses:
        with pytest.raises(NotFitted, match="fit"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_learnt_nothing_says_so(fresh, learns):
    with pytest.raises(EmptyInput):
        fresh.clone().fit(["", " "])


# Learning -------------------------------------------------------------------------------------------------------------


def test_two_fits_are_equal_to_the_bit(fresh, encoder, texts):
    again = fresh.clone().fit(texts)
    same(again.encode(texts), encoder.encode(texts))
    assert again.space == encoder.space


def test_another_fit_replaces_the_first(fresh, encoder, texts):
    refitted = fresh.clone().fit(texts[:4])
    refitted.encode(texts)
    _ = refitted.space
    refitted.fit(texts)
    same(refitted.encode(texts), encoder.encode(texts))
    assert refitted.space == encoder.space


@pytest.mark.parametrize("copy", [methodcaller("clone"), clone], ids=["own", "scikit-learn"])
def test_a_clone_has_the_parameters_and_nothing_learnt(encoder, texts, copy):
    twin = copy(encoder)
    assert type(twin) is type(encoder)
    assert twin.get_params() == encoder.get_params()
    if not encoder.pretrained:
        with pytest.raises(NotFitted):
            twin.encode(texts)
    same(twin.fit(texts).encode(texts), encoder.encode(texts))


def test_a_changed_parameter_asks_for_another_fit(name, fresh, learns, texts):
    changed = fresh.clone().fit(texts).set_params(**CHANGES[name][0])
    with pytest.raises(NotFitted):
        changed.encode(texts)


def test_a_step_of_a_pipeline(fresh, texts):
    labels = [text.startswith(("The", "A ")) for text in texts]
    model = make_pipeline(clone(fresh), LogisticRegression(C=100, max_iter=10_000))
    assert model.fit(texts, labels).predict(texts).tolist() == labels
    assert clone(model).fit(texts, labels).score(texts, labels) == 1


def test_the_names_that_scikit_learn_calls(fresh, encoder, texts):
    same(encoder.transform(texts), encoder.encode(texts))
    same(fresh.clone().fit_transform(texts), encoder.encode(texts))


# Kept and opened ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(encoder, tmp_path_factory):
    return encoder.save(tmp_path_factory.mktemp("saved") / "encoder")


def test_a_saved_encoder_is_the_same_to_the_bit(encoder, folder, texts):
    for opened in (encoders.load(folder), type(encoder).load(folder), encoders.make(folder)):
        assert type(opened) is type(encoder)
        assert opened.get_params() == encoder.get_params()
        assert opened.space == encoder.space
        same(opened.encode(texts + ODD), encoder.encode(texts + ODD))
        same(opened.encode_query(texts), encoder.encode_query(texts))


def test_an_opened_encoder_saves_the_same_files(folder, tmp_path):
    again = encoders.load(folder).save(tmp_path / "again")
    for file in folder.rglob("*.*"):
        if file.is_file():
            assert (again / file.relative_to(folder)).read_bytes() == file.read_bytes()


def test_an_opened_encoder_may_be_fitted_again(folder, fresh, texts):
    reopened = encoders.load(folder)
    same(reopened.fit(texts[:5]).encode(texts), fresh.clone().fit(texts[:5]).encode(texts))


def test_damage_to_any_saved_file_is_noticed(encoder, tmp_path):
    folder = encoder.save(tmp_path / "damaged")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        for harm in (whole[: len(whole) // 2], whole[:20] + bytes([whole[20] ^ 1]) + whole[21:], b""):
            file.write_bytes(harm)
            with pytest.raises(ArtifactError, match=r"damaged|format"):
                encoders.load(folder).encode(["text"])
        file.write_bytes(whole)
    encoders.load(folder).encode(["text"])


def test_another_family_is_not_opened_as_this_one(name, encoder, tmp_path, texts):
    other = encoders.make("tfidf" if encoder.family != "tfidf" else "lsa").fit(texts).save(tmp_path / "other")
    with pytest.raises(InputError, match=r"vicino\.load"):
        type(encoder).load(other)


# The space ------------------------------------------------------------------------------------------------------------


def test_the_space_is_that_of_the_vectors(encoder):
    assert encoder.space.dim == encoder.dim
    assert encoder.space.similarity == encoder.similarity
    assert encoder.space is encoder.space


def test_every_change_of_the_function_changes_the_space(name, fresh, encoder, texts):
    spaces = {encoder.space.id}
    for change in CHANGES[name]:
        spaces.add(fresh.clone().set_params(**change).fit(texts).space.id)
    assert len(spaces) == 1 + len(CHANGES[name])


def test_another_corpus_is_another_space(fresh, encoder, learns, texts):
    assert fresh.clone().fit(texts[:-1]).space.id != encoder.space.id
    assert fresh.clone().fit([*texts, texts[0]]).space.id != encoder.space.id


def test_use_does_not_change_the_space(encoder, texts):
    before = encoder.space
    encoder.encode(texts, batch_size=2, precision="float32", normalize_embeddings=True)
    encoder._space = None
    assert encoder.space == before


AFRESH = """
import json, sys
from vicino import encoders
print(encoders.make(sys.argv[1], **json.loads(sys.argv[2])).fit(sys.argv[3:]).space.id)
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_finds_the_same_space(name, params, encoder, texts, python, seed):
    assert python(AFRESH, name, json.dumps(params), *texts, PYTHONHASHSEED=seed).strip() == encoder.space.id


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


def test_tokens_are_pieces_with_their_rows(encoder, texts):
    if type(encoder).tokens is Encoder.tokens:
        with pytest.raises(InputError, match="does not read tokens"):
            encoder.tokens(texts[0])
        return
    found = encoder.tokens(texts[0] + " zzyzx")
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


def test_truncation_is_counted_where_there_is_a_limit(encoder, texts):
    cut = encoder.truncation([*texts, "word " * 3000])
    if cut is not None:
        assert cut.items == len(texts) + 1
        assert cut.items_cut == 1
        assert 0 < cut.share < 1
        assert sum(tenth[1] for tenth in cut.deciles) == cut.items
