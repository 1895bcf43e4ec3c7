"""Chunks keep their offsets and lose nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.chunking import CHUNKERS, chunk, words
from vicino.data.records import Chunk, Document
from vicino.errors import InputError, UnknownName

PIECES = [
    "word",
    "Wing.",
    " ",
    "\n",
    "\n\n",
    "\r\n\r\n",
    "\f",
    "Dr. ",
    "。",
    "東京",
    "def f():\n    return 1\n",
    "class A:\n",
    "é",
    "\t",
]
prose = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
METHODS = [
    ("whole", {}),
    ("paragraph", {}),
    ("paragraph", {"max_characters": 7}),
    ("paragraph", {"max_characters": 1}),
    ("sentence", {}),
    ("passage", {}),
    ("passage", {"max_characters": 9}),
    ("auto", {}),
    ("window", {"size": 3}),
    ("code", {"language": "python"}),
    ("code", {"language": "python", "max_characters": 10}),
    ("code", {"language": "javascript"}),
    ("code", {"language": "klingon"}),
]


def texts(text: str, method: str, **options: object) -> list[str]:
    return [piece.text for piece in chunk(Document("d", text), method, **options)]


def check(text: str, chunks: list[Chunk]) -> None:
    """Exact offsets, in order, no overlap, no white space at the ends, nothing else left out."""
    at = 0
    for piece in chunks:
        assert piece.text == text[piece.start : piece.end] == piece.text.strip() != ""
        assert piece.start >= at
        assert not text[at : piece.start].strip()
        at = piece.end
    assert not text[at:].strip()


@pytest.mark.parametrize(("method", "options"), METHODS)
@given(text=prose)
def test_chunks_cover_the_document(method: str, options: dict[str, object], text: str) -> None:
    check(text, chunk(Document("d", text), method, **options))


@given(prose, st.integers(1, 5), st.integers(0, 4))
def test_windows_overlap_as_asked(text: str, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    found = chunk(Document("d", text), "window", size=size, overlap=overlap)
    spans = words(text)
    covered = [[span for span in spans if span[0] >= one.start and span[1] <= one.end] for one in found]
    step = size - overlap
    assert covered == [spans[at : at + size] for at in range(0, max(len(spans) - overlap, 1), step)] or not spans
    if not overlap:
        check(text, found)


@given(prose, st.integers(1, 30))
def test_paragraphs_keep_to_their_size(text: str, size: int) -> None:
    assert all(len(piece) <= size for piece in texts(text, "paragraph", max_characters=size))


def test_paragraphs() -> None:
    text = "One.\nStill one.\n\n\n  Two.  \r\n\r\nThree.\n \t\nFour.\fFive."
    assert texts(text, "paragraph") == ["One.\nStill one.", "Two.", "Three.", "Four.", "Five."]


def test_long_paragraphs_are_parted_between_sentences_then_words_then_anywhere() -> None:
    assert texts("Aa bb. Cc dd. Ee ff.", "paragraph", max_characters=14) == ["Aa bb. Cc dd.", "Ee ff."]
    assert texts("Aa bb cc dd. Ee.", "paragraph", max_characters=6) == ["Aa bb", "cc dd.", "Ee."]
    assert texts("abcdefgh ij", "paragraph", max_characters=3) == ["abc", "def", "gh", "ij"]


def test_windows() -> None:
    assert texts("a b c d e", "window", size=2) == ["a b", "c d", "e"]
    assert texts("a b c d e", "window", size=3, overlap=1) == ["a b c", "c d e"]
    assert texts("a b c d", "window", size=3, overlap=2) == ["a b c", "b c d"]
    assert texts("a b", "window", size=5, overlap=4) == ["a b"]
    assert texts("東京 to 大阪", "window", size=2) == ["東京", "to 大", "阪"]


def test_windows_of_a_models_own_tokens() -> None:
    text = "unbelievable wings!"
    offsets = [(0, 0), (0, 2), (2, 12), (13, 18), (18, 19), (0, 0)]  # special tokens are empty
    assert texts(text, "window", size=2, tokenizer=lambda _: offsets) == ["unbelievable", "wings!"]
    # what the tokeniser left out belongs to the token before it, at the start to the first
    assert texts("<< wings >> lift", "window", size=1, tokenizer=lambda _: [(3, 8), (12, 16)]) == ["<< wings >>", "lift"]
    # three tokens for the three bytes of one character
    assert texts("€ a", "window", size=2, tokenizer=lambda _: [(0, 1), (0, 1), (0, 1), (2, 3)]) == ["€ a"]
    assert texts("abc", "window", tokenizer=lambda _: []) == ["abc"]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("window", {"size": 2, "overlap": 2}),
        ("window", {"size": 0}),
        ("window", {"size": 2, "overlap": -1}),
        ("window", {"tokenizer": lambda _: [(1, 2), (0, 1)]}),
        ("window", {"tokenizer": lambda _: [(9, 10)]}),
        ("paragraph", {"max_characters": 0}),
    ],
)
def test_impossible_options_are_named(method: str, options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        texts("a b", method, **options)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="no chunking method named 'paragraf'\n  → did you mean paragraph"):
        texts("a", "paragraf")
    with pytest.raises(UnknownName, match="'lenght'"):
        texts("a", "window", lenght=3)


def test_every_method_is_listed_with_a_line_about_it() -> None:
    assert {method for method, _ in METHODS} == set(CHUNKERS)
    assert all(CHUNKERS.entry(name).summary for name in CHUNKERS)


def test_passages_hold_short_paragraphs_together_and_part_long_ones() -> None:
    text = "Title\n\nOne two three.\n\nFour five. Six seven eight nine.\n\nTen."
    found = [piece.text for piece in chunk(Document("d", text), "passage", max_characters=25)]
    assert found == ["Title\n\nOne two three.", "Four five.", "Six seven eight nine.", "Ten."]
    assert all(len(piece) <= 25 for piece in found)
    assert [piece.text for piece in chunk(Document("d", text), "passage")] == [text]


@pytest.mark.parametrize(
    ("metadata", "pieces"),
    [({}, 1), ({"format": "markdown"}, 2), ({"format": "code", "language": "python"}, 3)],
)
def test_auto_cuts_by_what_a_document_is(metadata: dict[str, str], pieces: int) -> None:
    text = f"def a():\n    return 1\n\ndef b():\n    return {'2 + ' * 300}2\n\ndef c():\n    return 3"
    assert len(chunk(Document("d", text, metadata=metadata), "auto")) >= pieces
    assert (len(chunk(Document("d", text, metadata=metadata), "auto")) == 1) == (not metadata)


def test_code_by_function() -> None:
    source = '''\
"""What it does."""

import os

class A:
    """A class."""

    size = 1

    @property
    def area(self):
        return self.size  # squared

    class Inner:
        async def run(self): pass


def f(é="ü"):
    def g():
        return 1
    return g
'''
    assert texts(source, "code", language="python") == [
        '"""What it does."""\n\nimport os\n\nclass A:\n    """A class."""\n\n    size = 1',
        "@property\n    def area(self):\n        return self.size  # squared",
        "class Inner:",
        "async def run(self): pass",
        'def f(é="ü"):\n    def g():\n        return 1\n    return g',
    ]


def test_code_finds_its_language_by_metadata_or_name() -> None:
    source = "x = 1\ndef f():\n\n    return 1\n"
    for document in (Document("a.py", source), Document("1", source, metadata={"language": "Python"})):
        assert [piece.text for piece in chunk(document, "code")] == ["x = 1", "def f():\n\n    return 1"]
    assert texts(source, "code", max_characters=20) == ["x = 1\ndef f():", "return 1"]  # by paragraphs


def test_closing_brackets_stay_with_what_they_close() -> None:
    source = "class A {\n  f() { return 1; }\n}\n\nlet b = 2;\n"
    assert texts(source, "code", language="javascript") == ["class A {", "f() { return 1; }\n}", "let b = 2;"]
