"""Late interaction: what tokens find, texts read once each, and what opens as which reranker."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import encoders
from vicino.data.records import Document, Query
from vicino.encoders import rerankers
from vicino.encoders.rerankers import LateInteraction, open_reranker
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.crossing import CrossEncoder, trainable_pairs
from vicino.errors import InputError, UnreadableSource
from vicino.vectors import Ragged

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

QUERIES = ["black tea in boiling water", "wings"]
TEXTS = ["wings lift an aeroplane because air flows faster", "tea", "bread is made of dough", "violin and cello"]
PAIRS = [(query, text) for query in QUERIES for text in TEXTS]


@pytest.fixture(scope="module")
def encoder(checkpoint) -> Transformer:
    return Transformer(model=str(checkpoint("bert")), precision="float32")


def by_hand(encoder, pair) -> float:
    """The definition, for one pair."""
    asked = encoder.encode_query(pair[0], output_value="token_embeddings").astype(np.float64)
    told = encoder.encode_document(pair[1], output_value="token_embeddings").astype(np.float64)
    cosines = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in told] for a in asked]
    return sum(map(max, cosines)) / len(cosines)


def test_each_token_finds_its_best_and_the_mean_counts(encoder):
    scores = LateInteraction(encoder).predict(PAIRS)
    np.testing.assert_allclose(scores, [by_hand(encoder, pair) for pair in PAIRS], atol=1e-5)
    assert scores.dtype == np.float32
    assert LateInteraction(encoder).predict([("tea", "tea")])[0] == pytest.approx(1, abs=1e-5)


def test_a_document_is_read_once_for_all_that_ask(encoder, monkeypatch):
    read = []
    plain = Transformer._encode

    def counted(self, items, role, *more):
        read.append((role, list(items)))
        return plain(self, items, role, *more)

    monkeypatch.setattr(Transformer, "_encode", counted)
    monkeypatch.setattr(rerankers, "_DOCUMENTS", 3)
    scores = LateInteraction(encoder).predict(PAIRS[::-1] + PAIRS)
    assert [(role, len(items)) for role, items in read] == [("query", 2), ("document", 3), ("document", 1)]
    np.testing.assert_allclose(scores[: len(PAIRS)][::-1], scores[len(PAIRS) :], atol=1e-6)


def test_records_are_texts_and_a_ranking_is_best_first(encoder):
    late = LateInteraction(encoder)
    listed = [Document(str(number), text) for number, text in enumerate(TEXTS)]
    scores = late.predict([(QUERIES[0], text) for text in TEXTS])
    assert late.rank(Query("q", QUERIES[0]), listed, 2) == [(int(at), float(scores[at])) for at in np.argsort(-scores)[:2]]
    assert late.predict([]).shape == (0,)
    shares = late.shares(np.array([-0.5, 0.25], dtype=np.float32))
    assert shares.tolist() == [0, 0.25]
    with pytest.raises(InputError, match="item 0 is no pair"):
        late.predict(["tea"])


def test_texts_without_tokens_score_nothing():
    nothing = np.empty((0, 2), dtype=np.float32)
    asked = Ragged.of([np.array([[1, 0], [0, 1]], dtype=np.float32), nothing, np.array([[0, 1]], dtype=np.float32)], 2)
    told = np.array([[0.6, 0.8], [1, 0]], dtype=np.float32)
    np.testing.assert_allclose(rerankers._mean_of_best(asked, told), [0.9, 0, 0.8], atol=1e-6)
    assert rerankers._mean_of_best(asked, nothing).tolist() == [0, 0, 0]


def test_the_id_is_that_of_the_encoder_and_the_family(encoder, checkpoint):
    late = LateInteraction(encoder)
    assert late.id == LateInteraction(Transformer(model=str(checkpoint("bert")))).id
    assert late.id != LateInteraction(Transformer(model=str(checkpoint("bert")), max_seq_length=9)).id
    assert late.id != encoder.space.id


def test_a_name_opens_what_it_names(encoder, checkpoint, tmp_path):
    plain = checkpoint("bert")
    assert isinstance(open_reranker(plain), LateInteraction)
    saved = LateInteraction(encoder).save(tmp_path / "encoder")
    opened = open_reranker(saved)
    assert isinstance(opened, LateInteraction)
    assert opened.id == LateInteraction(encoder).id
    np.testing.assert_array_equal(opened.predict(PAIRS), LateInteraction(encoder).predict(PAIRS))
    folder = tmp_path / "pairs"
    folder.mkdir()
    trainable_pairs(str(plain), limit=None, dropout=0.0, seed=1).save(folder)
    assert isinstance(open_reranker(folder), CrossEncoder)
    assert isinstance(open_reranker(CrossEncoder(model=str(folder)).save(tmp_path / "saved")), CrossEncoder)


def test_what_has_no_tokens_to_compare_is_refused(tmp_path):
    counts = encoders.make("tfidf").fit(TEXTS).save(tmp_path / "counts")
    for name in (counts, "lsa"):
        with pytest.raises(InputError, match="gives no vectors of tokens"):
            open_reranker(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableSource, match=r"config\.json"):
        open_reranker(tmp_path / "empty").predict(PAIRS)
