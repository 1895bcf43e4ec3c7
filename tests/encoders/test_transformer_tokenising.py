"""Token ids are those of the tokenizer itself, counts are honest, and endless texts are read in pieces."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.encoders.transformer import tokenising
from vicino.encoders.transformer.tokenising import Tokenizer
from vicino.errors import InputError, UnreadableSource


@pytest.fixture
def open_(checkpoint):
    """A tokenizer twice: as vicino's, and as transformers opens it."""

    def make(family: str, limit: int | None, **settings: Any) -> tuple[Tokenizer, Any]:
        from transformers import AutoTokenizer

        folder = str(checkpoint(family, **settings))
        return Tokenizer(AutoTokenizer.from_pretrained(folder), limit), AutoTokenizer.from_pretrained(folder)

    return make


def same_ids(found: list[Any], expected: list[list[int]]) -> None:
    assert [ids.tolist() for ids in found] == expected


@pytest.mark.parametrize("family", ["bert", "t5", "roberta", "gpt2", "qwen2"])
@pytest.mark.parametrize("limit", [3, 8, None])
def test_ids_and_full_lengths(open_, phrases, family, limit):
    mine, theirs = open_(family, limit)
    texts = ["", " ", "[SEP] </s> near", *phrases]
    options = {"truncation": True, "max_length": limit} if limit else {}
    same_ids(mine.ids(texts), theirs(texts, **options)["input_ids"])
    assert mine.lengths(texts).tolist() == [len(ids) for ids in theirs(texts)["input_ids"]]


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_side_that_is_cut(open_, phrases, side):
    mine, theirs = open_("bert", 6, truncation_side=side)
    same_ids(mine.ids(phrases), theirs(phrases, truncation=True, max_length=6)["input_ids"])


def test_a_tokenizer_written_in_python(phrases):
    transformers = pytest.importorskip("transformers")
    mine, theirs = Tokenizer(transformers.CanineTokenizer(), 12), transformers.CanineTokenizer()
    same_ids(mine.ids(phrases), theirs(phrases, truncation=True, max_length=12)["input_ids"])
    assert mine.lengths(phrases).tolist() == [len(text) + 2 for text in phrases]


def test_lone_surrogates_are_no_characters(open_):
    mine, theirs = open_("bert", 8)
    same_ids(mine.ids(["near \ud800 far", "\udfff"]), theirs(["near \ufffd far", "\ufffd"])["input_ids"])


def test_the_length_of_a_prompt_leaves_out_the_closing_token(open_):
    mine, _ = open_("bert", 8)
    assert mine.prompt_length("query") == 2  # [CLS] query, without [SEP]
    assert mine.prompt_length("") == 1
    mine, theirs = open_("gpt2", 8)
    assert mine.prompt_length("query ") == len(theirs("query ")["input_ids"])
    assert mine.prompt_length("") == 0


def test_a_limit_that_holds_only_special_tokens(open_):
    with pytest.raises(InputError, match="no room beside 2 special tokens"):
        open_("bert", 2)


def test_types_of_tokens_are_refused():
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer as Plain
    from tokenizers import models, pre_tokenizers, processors

    plain = Plain(models.WordLevel({"<unk>": 0, "a": 1, "<cls>": 2}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.post_processor = processors.TemplateProcessing(single="$A:0 <cls>:2", special_tokens=[("<cls>", 2)])
    with pytest.raises(UnreadableSource, match="gives types to tokens"):
        Tokenizer(transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>"), 8)


# Endless texts --------------------------------------------------------------------------------------------------------


@given(text=st.text(alphabet=" \nab\u2003é", max_size=400), size=st.integers(2, 50))
def test_pieces_make_up_the_text(text, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenising, "_PIECE", size)
        pieces = list(tokenising._pieces(text))
    assert "".join(pieces) == text
    assert all(len(piece) <= size for piece in pieces)
    for piece, following in itertools.pairwise(pieces):
        late = piece[size // 2 :] + following[:1]
        assert following[0].isspace() or not any(letter.isspace() for letter in late)


@given(sizes=st.lists(st.integers(0, 30)))
def test_chunks_keep_order_and_size(sizes):
    texts = ["a" * size for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenising, "_PIECE", 20)
        patch.setattr(tokenising, "_CHUNK", 50)
        chunks = list(tokenising._chunks(texts))
    assert [text for chunk in chunks for text in chunk] == texts
    assert all(sum(min(len(text), 20) for text in chunk) < 70 for chunk in chunks)


@pytest.mark.parametrize("limit", [5, None])
@pytest.mark.parametrize("size", [20, 64])
def test_reading_in_pieces_changes_nothing(open_, phrases, monkeypatch, limit, size):
    mine, _ = open_("bert", limit)
    texts = [*phrases, " " * 500 + "near far", "near\u2003tea " * 60, "bread " + "\n" * 300 + "cello"]
    ids, lengths = mine.ids(texts), mine.lengths(texts)
    monkeypatch.setattr(tokenising, "_PIECE", size)
    monkeypatch.setattr(tokenising, "_CHUNK", 3 * size)
    same_ids(mine.ids(texts), [own.tolist() for own in ids])
    np.testing.assert_array_equal(mine.lengths(texts), lengths)


@pytest.mark.long
def test_an_endless_text_is_not_tokenised_to_its_end(open_, monkeypatch):
    mine, _ = open_("bert", 12)
    read: list[int] = []
    many = mine._many

    def count(texts: list[str]) -> Any:
        read.extend(map(len, texts))
        return many(texts)

    monkeypatch.setattr(mine, "_many", count)
    text = "near far " * 1_000_000
    assert len(mine.ids([text])[0]) == 12
    assert sum(read) <= tokenising._PIECE
    read.clear()
    assert mine.lengths([text]).tolist() == [2_000_002]
    assert sum(read) == len(text)
    assert max(read) <= tokenising._PIECE
