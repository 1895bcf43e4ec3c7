"""Sentences with tags: every scheme and both formats give the same spans, and what cannot be read is named with its line."""

from __future__ import annotations

import gzip
import json

import pytest

from vicino.data.tagged import Tagged, read_tagged, tables_of, words_of
from vicino.errors import DimensionMismatch, EmptyInput, InputError, UnreadableSource
from vicino.metrics.spans import Span

WORDS = ["Ada", "Lovelace", "of", "London", "met", "Babbage"]
SPANS = [Span(0, 2, "PER"), Span(3, 4, "LOC"), Span(5, 6, "PER")]
SCHEMES = {
    "BIO": "B-PER I-PER O B-LOC O B-PER",
    "IO": "I-PER I-PER O I-LOC O I-PER",
    "IOBES": "B-PER E-PER O S-LOC O S-PER",
    "BILOU": "B-PER L-PER O U-LOC O U-PER",
}


@pytest.fixture
def write(tmp_path):
    def file(name: str, text: str):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return file


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["conll", "jsonl"])
def test_every_scheme_says_the_same(write, scheme, kind):
    tags = SCHEMES[scheme].split()
    if kind == "jsonl":
        path = write("a.jsonl", json.dumps({"tokens": WORDS, "tags": tags}) + "\n")
    else:
        path = write("a.conll", "".join(f"{word} NN x {tag}\n" for word, tag in zip(WORDS, tags, strict=True)))
    found = read_tagged(path)
    assert found.scheme == scheme
    assert found.spans == [SPANS]
    assert found.sentences == [WORDS]
    assert found.types == ["LOC", "PER"]
    assert found.tags(0) == SCHEMES["BIO"].split()


def test_five_letters_of_bmes_are_iobes(write):
    path = write("a.bmes", "a B-X\nb M-X\nc E-X\nd S-X\n")
    assert [tuple(span) for span in read_tagged(path).spans[0]] == [(0, 3, "X"), (3, 4, "X")]


def test_a_conll_file_as_it_is_shipped(tmp_path):
    text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n\nPeter\tNNP\tB-PER\r\n\n"
    text += "-DOCSTART- -X- O O\n\n東京 x B-LOC"
    path = tmp_path / "eng.gz"
    path.write_bytes(gzip.compress(text.encode()))
    found = read_tagged(path)
    assert found.sentences == [["EU", "rejects"], ["Peter"], ["東京"]]
    assert [[span.type for span in each] for each in found.spans] == [["ORG"], ["PER"], ["LOC"]]


def test_sentences_without_words_are_counted_and_left_out(write):
    rows = [{"tokens": [], "tags": []}, {"tokens": ["Ada"], "ner_tags": ["B-PER"]}, "not an object"]
    found = read_tagged(write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert found.sentences == [["Ada"]]
    assert found.left_out == {"a sentence without words": 1, "JSON that is not an object": 1}


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("a.jsonl", '\n{"tokens": ["a", "b", "c"], "tags": ["O", "B-X"]}\n', DimensionMismatch, "line 2: 3 words and 2 tags"),
        ("a.jsonl", '{"tokens": ["a"]}\n', UnreadableSource, "line 1 has no tags"),
        ("a.jsonl", '{"tokens": ["a"], "tags": [3]}\n', UnreadableSource, "line 1 has no tags"),
        ("a.jsonl", '{"tokens": "a", "tags": ["O"]}\n', UnreadableSource, "line 1 has no tokens"),
        ("a.conll", "a O\nb B-X\n\nc\n", UnreadableSource, "line 4: a word without a tag"),
        ("a.conll", "a O\n\nb O\n", EmptyInput, "no word has a tag but O"),
        ("a.conll", "a O\n\nb PERSON\n", InputError, "line 3: the tag 'PERSON'"),
        ("a.conll", "a Q-PER\n", InputError, "line 1: the tag 'Q-PER'"),
        ("a.conll", "a B-X\nb M-X\nc L-X\n", InputError, "no scheme has together"),
        ("a.conll", "-DOCSTART- O\n\n\n", EmptyInput, "no sentences"),
    ],
)
def test_what_cannot_be_read_is_named(write, name, text, error, words):
    path = write(name, text)
    with pytest.raises(error, match=words) as raised:
        read_tagged(path)
    assert str(path) in str(raised.value)


def test_parts_of_a_folder(tmp_path):
    for name in ("train.conll", "valid.jsonl", "test.txt", "README.md", "notes.conll"):
        (tmp_path / name).write_text("a B-X\n")
    assert {part: path.name for part, path in tables_of(tmp_path).items()} == {
        "train": "train.conll",
        "dev": "valid.jsonl",
        "test": "test.txt",
    }
    assert tables_of(tmp_path / "notes.conll") == {"train": tmp_path / "notes.conll"}
    (tmp_path / "dev.conll").write_text("a B-X\n")
    with pytest.raises(InputError, match="more than once"):
        tables_of(tmp_path)
    (tmp_path / "dev.conll").unlink()
    (tmp_path / "train.conll").unlink()
    with pytest.raises(UnreadableSource, match="no part to learn from"):
        tables_of(tmp_path)
    with pytest.raises(UnreadableSource, match="there is no"):
        tables_of(tmp_path / "nothing")


def test_words_of_a_text_are_where_they_say():
    text = "  Mr. O’Neill-Smith, of the EU's 東京 office (3.5%)…\n\tNo_1 x2  "
    words = [text[start:end] for start, end in words_of(text)]
    assert words[:6] == ["Mr", ".", "O’Neill-Smith", ",", "of", "the"]
    assert "EU's" in words
    assert "3.5" in words
    assert "".join(words) == "".join(text.split())  # nothing but white space is left out
    assert words_of(" \n") == []


def test_rows_can_be_taken():
    whole = Tagged([["a"], ["b"]], [[Span(0, 1, "X")], []])
    assert whole.subset([1]).sentences == [["b"]]
    assert len(whole.subset([])) == 0
