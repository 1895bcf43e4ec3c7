"""One suite for every kind of RETRIEVERS, in several makings: a new kind joins by a line in MAKINGS."""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import methodcaller

import numpy as np
import pytest
from sklearn.base import clone

from vicino import retrieval
from vicino.data.records import Document, Hits, Query, Recipe
from vicino.errors import (
    ArtifactError,
    DuplicateIds,
    EmptyInput,
    InputError,
    NotFitted,
    SpaceMismatch,
    UnknownName,
    WeightsMismatch,
)
from vicino.indexes import INDEXES
from vicino.retrieval import RETRIEVERS, Retriever, from_recipe, parse
from vicino.retrieval.stored import leaves

# Short names of retrievers; each with changes that make another retriever of it.
MAKINGS: dict[str, list[str]] = {
    "bm25": ["bm25(k1=0.9)", "bm25(b=0.4)", "bm25(stemmer=english)", "bm25(stopwords=english)", "bm25(analyzer=code)"],
    "tfidf": ["tfidf(sublinear_tf=false)", "tfidf(min_count=2)", "lsa"],
    "lsa": ["lsa(n_components=3)", "lsa(seed=1)", "lsa(index=hnsw)"],
    "lsa(index=hnsw)": ['lsa(index=hnsw,index_params={"m":8})', "lsa"],
    "bm25+lsa": ["bm25+lsa:tuned", "lsa+bm25", "bm25+tfidf", "bm25(k1=0.9)+lsa", "bm25+lsa+tfidf"],
    "bm25+lsa:tuned": ["bm25+lsa"],
    "bm25@sentence": ["bm25", "bm25@paragraph", "bm25@sentence(pool=mean)", "bm25@window(size=4)", "bm25(k1=0.9)@sentence"],
    "lsa@window(size=4,overlap=2,pool=top2)": ["lsa@window(size=4,overlap=2,pool=top3)", "lsa@window(size=4,pool=top2)"],
    "lsa:svm": ["lsa", "lsa:lda", "lsa:svm(C=1)", "lsa:svm(balanced=false)", "lsa:svm(feedback=1)", "lsa@sentence:svm"],
    "lsa:lda": ["lsa", "lsa:lda(shrinkage=0.5)", "lsa:lda(feedback=2)", "lsa(n_components=3):lda"],
    "lsa@sentence:lda": ["lsa:lda", "lsa@sentence:lda(shrinkage=0.5)", "lsa@sentence", "lsa@sentence(pool=mean):lda"],
    "bm25+lsa>CROSS(blend=0.999)": [
        "bm25+lsa",
        "bm25>CROSS(blend=0.999)",
        "bm25+lsa>CROSS",
        "bm25+lsa>CROSS(blend=0.999,depth=50)",
    ],
}


@pytest.fixture(scope="module", params=list(MAKINGS))
def name(request, need) -> str:
    """Each making whose extras are installed."""
    if "hnsw" in request.param:
        need(INDEXES.entry("hnsw"))
    if "CROSS" in request.param:
        need(RETRIEVERS.entry("reranked"))
    return request.param


@pytest.fixture(scope="module")
def read(request) -> Callable[[str], Recipe]:
    """`parse`, for names in which CROSS stands for the folder of a tiny cross-encoder."""

    def parsed(name: str) -> Recipe:
        return parse(name.replace("CROSS", str(request.getfixturevalue("crossing"))) if "CROSS" in name else name)

    return parsed


@pytest.fixture(scope="module")
def fresh(name, read) -> Retriever:
    """An unbuilt retriever; clone it before building."""
    return from_recipe(read(name))


@pytest.fixture(scope="module")
def retriever(fresh, documents) -> Retriever:
    """A built retriever; only for looking."""
    return fresh.clone().build(documents)


QUERIES = ["black tea in boiling water", "the violin and the cello", "wings of an aeroplane"]


def equal(left: Hits, right: Hits) -> None:
    assert left.ids.tolist() == right.ids.tolist()
    np.testing.assert_array_equal(left.scores, right.scores, strict=True)


def test_every_kind_is_made_here():
    assert {parse(name.replace("CROSS", "org/model")).retriever for name in MAKINGS} == set(RETRIEVERS)


# What is found --------------------------------------------------------------------------------------------------------


def test_the_obvious_document_comes_first(retriever):
    found = retriever.search([*QUERIES, "knead the dough of the bread"], k=1).ids[:, 0]
    assert found[0] in ("d3", "d4")
    assert found[1] in ("d7", "d8", "d11")
    assert found[2:].tolist() == ["d0", "d6"]


def test_answers_are_ranked_without_repeats(retriever, documents):
    hits = retriever.search(QUERIES, k=6)
    assert hits.ids.shape == hits.scores.shape == (3, 6)
    assert hits.scores.dtype == np.float32
    for row in range(3):
        names, scores = zip(*hits.top(row), strict=True)
        assert len(set(names)) == len(names)
        assert set(names) <= {document.id for document in documents}
        assert list(scores) == sorted(scores, reverse=True)
        assert np.isfinite(scores).all()


def test_one_query_is_a_row_and_records_are_read(retriever):
    alone = retriever.search(QUERIES[0], k=3)
    assert alone.ids.shape == (1, 3)
    equal(retriever.search(Query("q", QUERIES[0]), k=3), alone)
    equal(retriever.search([Query("q", text) for text in QUERIES], k=3), retriever.search(iter(QUERIES), k=3))


def test_queries_do_not_disturb_one_another(retriever):
    together = retriever.search(QUERIES, k=5)
    for row, text in enumerate(QUERIES):
        alone = retriever.search(text, k=5)
        assert alone.ids[0].tolist() == together.ids[row].tolist()
        np.testing.assert_allclose(alone.scores[0], together.scores[row], rtol=1e-5)


def test_fewer_answers_are_the_first_of_more(retriever):
    assert retriever.search(QUERIES, k=3).ids.tolist() == retriever.search(QUERIES, k=8).ids[:, :3].tolist()


def test_no_queries_have_no_answers(retriever):
    assert len(retriever.search([])) == 0
    assert retriever.search([], explain=True).why == []


@pytest.mark.parametrize("k", [12, 13, 5000])
def test_a_k_beyond_the_corpus_gives_all_there_is(retriever, documents, k):
    hits = retriever.search(QUERIES, k=k)
    assert hits.ids.shape[1] <= len(documents)
    assert all(0 < len(hits.top(row)) <= len(documents) for row in range(3))


@pytest.mark.parametrize("text", ["", "   ", "zzyzx qqqq", "?!", "\ud800", "\x00", "wings " * 3000])
def test_odd_queries_are_answered_or_have_no_answer(retriever, text):
    hits = retriever.search([text, QUERIES[0]], k=3, explain=True)
    assert len(hits) == 2
    assert len(hits.why[0]) == len(hits.top(0))
    assert len(hits.top(1)) == 3  # the neighbour is not disturbed


def test_odd_documents_are_taken_in(fresh, documents):
    odd = [Document("empty", ""), Document("", "an empty id"), Document("\ud800", "\ud800 lone"), Document("zero", "\x00")]
    retriever = fresh.clone().build([*documents, *odd])
    assert retriever.search(QUERIES[2], k=1).top()[0][0] == "d0"
    assert "" in retriever.search("an empty id", k=3).ids


def test_titles_are_read(fresh, documents):
    retriever = fresh.clone().build([*documents, Document("titled", "It swims.", title="The hippopotamus")])
    assert retriever.search("hippopotamus", k=1).top()[0][0] == "titled"


# Why ------------------------------------------------------------------------------------------------------------------


def test_an_explanation_comes_with_each_answer_and_changes_none(retriever):
    hits = retriever.search(QUERIES, k=5, explain=True)
    equal(hits, retriever.search(QUERIES, k=5))
    assert retriever.search(QUERIES, k=5).why is None
    assert [len(why) for why in hits.why] == [len(hits.top(row)) for row in range(3)]
    assert json.loads(json.dumps(hits.why)) == [list(map(dict, why)) for why in hits.why]  # plain data


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, -1])
def test_less_than_one_is_not_asked_for(retriever, k):
    with pytest.raises(InputError, match="k is"):
        retriever.search("tea", k=k)


@pytest.mark.parametrize("wrong", [5, None, b"tea", [5], ["tea", None], [b"tea"]])
def test_what_is_not_a_query_is_named(retriever, wrong):
    with pytest.raises(InputError, match="str or Query"):
        retriever.search(wrong)


@pytest.mark.parametrize("wrong", [5, None, "text", ["text"], [{"id": "a", "text": "b"}]])
def test_what_are_not_documents_is_named(fresh, wrong):
    with pytest.raises(InputError, match="Document"):
        fresh.clone().build(wrong)


def test_nothing_and_repeats_are_named(fresh, documents):
    with pytest.raises(EmptyInput):
        fresh.clone().build([])
    with pytest.raises(DuplicateIds, match="1 of 13"):
        fresh.clone().build([*documents, documents[0]])


def test_an_unbuilt_retriever_says_so(fresh, tmp_path):
    for use in (lambda: fresh.search("tea"), lambda: fresh.search([]), lambda: fresh.save(tmp_path / "a"), lambda: fresh.nbytes):
        with pytest.raises(NotFitted, match=r"call \.build"):
            use()
    assert list(tmp_path.iterdir()) == []


# Building again, recipes ----------------------------------------------------------------------------------------------


def test_two_builds_are_equal_to_the_bit(fresh, retriever, documents):
    equal(fresh.clone().build(iter(documents)).search(QUERIES), retriever.search(QUERIES))


def test_another_build_replaces_the_first(fresh, retriever, documents):
    again = fresh.clone().build(documents[:5])
    assert set(again.search(QUERIES, k=12).ids.ravel()) <= {f"d{number}" for number in range(5)} | {None}
    equal(again.build(documents).search(QUERIES), retriever.search(QUERIES))


@pytest.mark.parametrize("copy", [methodcaller("clone"), clone], ids=["own", "scikit-learn"])
def test_a_clone_is_empty_and_shares_nothing(fresh, documents, copy):
    retriever = fresh.clone().build(documents)
    before = retriever.search(QUERIES)
    twin = copy(retriever)
    assert twin.recipe == retriever.recipe
    with pytest.raises(NotFitted):
        twin.search("tea")
    twin.build(documents[:3])
    equal(retriever.search(QUERIES), before)


def test_a_recipe_makes_the_same_retriever(fresh, retriever, documents):
    plain = json.loads(json.dumps(retriever.recipe.to_json()))
    again = from_recipe(Recipe.from_json(plain))
    assert type(again) is type(retriever)
    assert again.recipe == retriever.recipe == fresh.recipe
    equal(again.build(documents).search(QUERIES), retriever.search(QUERIES))


def test_an_identity_is_the_recipes_and_stays(name, read, fresh, retriever):
    assert fresh.identity() == retriever.identity() == from_recipe(read(name)).identity()


def test_another_making_has_another_identity(name, read, fresh, need):
    if any("hnsw" in other for other in MAKINGS[name]):
        need(INDEXES.entry("hnsw"))
    identities = [from_recipe(read(other)).identity() for other in MAKINGS[name]]
    assert len({fresh.identity(), *identities}) == 1 + len(MAKINGS[name])


def test_a_changed_parameter_asks_for_another_build(fresh, documents):
    retriever = fresh.clone().build(documents)
    parameter = next(iter(retriever.defaults()))
    retriever.set_params(**{parameter: getattr(retriever, parameter)})
    with pytest.raises(NotFitted):
        retriever.search("tea")


def test_a_parameter_that_does_not_exist_is_named(fresh):
    recipe = fresh.recipe.to_json()
    wrong = Recipe.from_json(recipe | {"params": {**recipe["params"], "mehtod": 1}})
    with pytest.raises(UnknownName, match="mehtod"):
        from_recipe(wrong)


# Kept and opened ------------------------------------------------------------------------------------------------------


def test_a_saved_retriever_answers_the_same_to_the_bit(retriever, tmp_path):
    opened = retrieval.load(retriever.save(tmp_path / "saved"))
    assert type(opened) is type(retriever)
    assert opened.recipe == retriever.recipe
    assert opened.identity() == retriever.identity()
    assert opened.nbytes == retriever.nbytes > 0
    equal(opened.search(QUERIES, k=12), retriever.search(QUERIES, k=12))
    assert opened.search(QUERIES, explain=True).why == retriever.search(QUERIES, explain=True).why


def test_an_opened_retriever_may_be_built_again(retriever, fresh, documents, tmp_path):
    opened = retrieval.load(retriever.save(tmp_path / "saved"))
    equal(opened.build(documents[:5]).search(QUERIES), fresh.clone().build(documents[:5]).search(QUERIES))


def test_a_saved_folder_is_a_candidate(retriever, tmp_path):
    assert parse(str(retriever.save(tmp_path / "saved"))) == retriever.recipe


def test_damage_to_any_saved_file_is_noticed(retriever, tmp_path):
    folder = retriever.save(tmp_path / "saved")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        for harm in (whole[:-3], whole[:30] + bytes([whole[30] ^ 1]) + whole[31:], b""):
            file.write_bytes(harm)
            with pytest.raises((ArtifactError, SpaceMismatch, WeightsMismatch)):
                retrieval.load(folder)
        file.write_bytes(whole)
    assert len(retrieval.load(folder).search("tea")) == 1


# Before the work ------------------------------------------------------------------------------------------------------


def test_warming_up_builds_nothing(fresh):
    retriever = fresh.clone()
    retriever.warm_up()
    with pytest.raises(NotFitted):
        retriever.search("tea")


def test_truncation_is_none_or_counted(retriever, documents):
    cut = retriever.truncation(documents)
    assert cut is None or (cut.items, cut.items_cut) == (len(documents), 0)


# Filters, and following a collection ------------------------------------------------------------------------------------


class Shelf:
    """Passages that stand in memory, and their vectors."""

    def __init__(self, listed: list[Document], encoder=None) -> None:
        self.listed, self.encoder = listed, encoder

    def documents(self, keys):
        return [document for document in self.listed if document.id in keys]

    def vectors(self, keys, space):
        chosen = self.documents(keys)
        return [document.id for document in chosen], self.encoder.encode_document(chosen)


@pytest.fixture
def following(fresh, retriever, documents):
    """(follow, retriever): an unbuilt copy with the fitted encoders of the built one, and what makes it follow documents."""
    if fresh.family == "cut":
        pytest.skip("a collection cuts its documents when they come in: tests/retrieval/test_cut.py")
    copy = fresh.clone()

    encoder = None
    for mine, fitted in zip(leaves(copy), leaves(retriever), strict=True):
        if hasattr(fitted, "encoder_"):
            mine.encoder_, mine.space_ = fitted.encoder_, fitted.space_
            encoder = encoder if fitted.encoder_.sparse else fitted.encoder_
    return lambda listed, one=copy: one.follow({d.id for d in listed}, Shelf(listed, encoder)), copy


def test_allowed_answers_are_those_of_all_without_the_others(retriever, documents):
    allow = [document.id for document in documents[::2]]
    everything, some = retriever.search(QUERIES, 12), retriever.search(QUERIES, 12, allow=allow)
    if retriever.family in ("fused", "reranked"):  # ranks, and with them shares, are those among what is allowed
        assert all(name in allow for row in range(3) for name, _ in some.top(row))
        return
    for row in range(len(QUERIES)):
        expected = {name: score for name, score in everything.top(row) if name in allow}
        assert dict(some.top(row)) == pytest.approx(expected, abs=1e-6)
    assert not any(retriever.search(QUERIES, 3, allow=["a stranger"]).top(row) for row in range(3))


def test_following_all_documents_is_building_over_them(retriever, following, documents):
    follow, copy = following
    assert follow(documents) == len(documents)
    assert follow(documents) == 0
    expected, found = retriever.search(QUERIES, 5), copy.search(QUERIES, 5)
    assert found.ids.tolist() == expected.ids.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_what_came_and_went_leaves_no_trace(retriever, following, documents):
    follow, copy = following
    assert follow([]) == 0
    assert copy.search(QUERIES, 5).ids.shape == (3, 0)
    follow(documents[:6])
    follow(documents[3:9])
    follow([])
    assert not any(copy.search(QUERIES, 5).top(row) for row in range(3))
    follow(documents[4:])
    follow(documents)
    expected, found = retriever.search(QUERIES, 5, explain=True), copy.search(QUERIES, 5, explain=True)
    assert found.ids.tolist() == expected.ids.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    assert [[one.keys() for one in row] for row in found.why] == [[one.keys() for one in row] for row in expected.why]


def test_what_is_kept_is_taken_up_again(following, fresh, documents, tmp_path):
    follow, copy = following
    follow(documents[:-2])
    follow(documents[2:])
    copy.keep(tmp_path / "kept")
    follow_again, before = following[0], copy.search(QUERIES, 5)
    copy.ids_ = None
    for leaf in leaves(copy):
        leaf.ids_ = leaf.index_ = leaf.engine_ = leaf.corpus_ = leaf.gone_ = None
    copy.resume(tmp_path / "kept")
    follow_again(documents[2:])
    after = copy.search(QUERIES, 5)
    if copy.family.startswith("exemplar"):  # sums over all documents, which stand in another order
        assert after.ids.tolist() == before.ids.tolist()
        np.testing.assert_allclose(after.scores, before.scores, atol=1e-3)
    else:
        equal(after, before)
