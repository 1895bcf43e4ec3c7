"""Text analysis: Unicode by example, its rules by property, and the corpus encoder against the plain analyser."""

import json
import lzma
import re
import unicodedata
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.text import UNKNOWN, Analyzer, Vocabulary, encode_corpus
from vicino.errors import DuplicateIds, InputError, UnknownName
from vicino.progress import listen

ANALYZERS = [
    Analyzer(),
    Analyzer(lowercase=False),
    Analyzer(min_length=3, stopwords="english"),
    Analyzer(stemmer="english"),
    Analyzer(tokens="code"),
    Analyzer(tokens="code", stemmer="german", lowercase=False, stopwords="english", min_length=2),
]
# Letters and marks that combine, fold, join or have no spaces, beside all of Unicode.
awkward = (
    st.text(st.sampled_from("aAbB_9 .=<'-\t\nßİıŉﬁΣςé\u0301\u0308\u0338\u200c\u200d\u00adªⅣ²½日本ーｶﾞไทย한हि\ud800😀")) | st.text()
)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        (" \t\n.,;!?-'\"", []),
        ("The wing's LIFT, 1.5 m/s", ["the", "wing", "s", "lift", "1", "5", "m", "s"]),
        ("snake_case stays one", ["snake_case", "stays", "one"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ﬁne oﬃce", ["fine", "office"]),
        ("ΟΔΟΣ οδός", ["οδοσ", "οδόσ"]),
        ("cafe\u0301 caf\u00e9", ["caf\u00e9", "caf\u00e9"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("العَرَبِيَّة", ["العَرَبِيَّة"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("東京都", ["東京", "京都"]),
        ("猫", ["猫"]),
        ("スーパーで買う", ["スー", "ーパ", "パー", "ーで", "で買", "買う"]),
        ("iPhoneを買う。", ["iphone", "を買", "買う"]),
        ("ไทย", ["ไท", "ทย"]),
        ("x² + ½ = ①", ["x"]),
        ("“quoted”—dash…", ["quoted", "dash"]),
        ("👩\u200d👩 ok", ["ok"]),
        ("\u0301\u0301", []),
        ("=\u0338", []),
    ],
)
def test_words(text, terms):
    assert Analyzer().terms(text) == terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("parse", ["parse"]),
        ("max_length", ["max_length", "max", "length"]),
        ("maxLength", ["maxlength", "max", "length"]),
        ("parseHTTPBody", ["parsehttpbody", "parse", "http", "body"]),
        ("HTTPServer2", ["httpserver2", "http", "server2"]),
        ("SHA256 base64_encode", ["sha256", "base64_encode", "base64", "encode"]),
        ("__init__", ["__init__", "init"]),
        ("ID, X", ["id", "x"]),
        ("größeÄndern", ["grösseändern", "grösse", "ändern"]),
        ("df.to_csv(path)", ["df", "to_csv", "to", "csv", "path"]),
    ],
)
def test_identifiers_keep_themselves_and_give_their_parts(text, terms):
    assert Analyzer(tokens="code").terms(text) == terms


def test_filters_and_stems():
    text = "The quick foxes were running through a river of rivers"
    assert Analyzer(stopwords="english").terms(text) == ["quick", "foxes", "running", "through", "river", "rivers"]
    assert Analyzer(stemmer="english", min_length=4).terms(text) == ["quick", "fox", "were", "run", "through", "river", "river"]
    assert Analyzer(stemmer="german").terms("die Häuser") == ["die", "haus"]
    assert Analyzer(lowercase=False, stopwords="english").terms("The Wing") == ["Wing"]
    assert Analyzer(min_length=2).terms("a bb 猫 東京") == ["bb", "猫", "東京"]


@given(text=awkward)
def test_terms_are_folded_composed_and_never_empty(text):
    for term in Analyzer().terms(text):
        assert term
        assert unicodedata.is_normalized("NFC", term)
        assert unicodedata.normalize("NFC", term.casefold()) == term
        assert not re.search(r"[\x00-/:-@\[-^`{-\x7f]", term)


@given(text=st.text(st.characters(max_codepoint=127)))
def test_ascii_words_are_regular(text):
    assert Analyzer().terms(text) == re.findall(r"[a-z0-9_]+", text.lower())


@given(left=awkward, right=awkward, analyzer=st.sampled_from(ANALYZERS))
def test_a_space_parts_what_does_not_know_each_other(left, right, analyzer):
    assert analyzer.terms(f"{left} {right}") == analyzer.terms(left) + analyzer.terms(right)


@given(text=awkward)
def test_equivalent_spellings_give_equal_terms(text):
    plain = text.replace("\u0338", "")  # it turns = < > into letters of their own kind, which ASCII pieces do not see
    composed, apart = (unicodedata.normalize(form, plain) for form in ("NFC", "NFD"))
    assert Analyzer().terms(composed) == Analyzer().terms(apart)


@given(texts=st.lists(awkward, max_size=6), analyzer=st.sampled_from(ANALYZERS))
def test_a_corpus_is_its_texts_one_by_one(texts, analyzer):
    corpus = encode_corpus(iter(texts), analyzer)
    expected = [analyzer.terms(text) for text in texts]
    terms = corpus.vocabulary.terms
    assert [[terms[number] for number in corpus[row]] for row in range(len(corpus))] == expected
    assert terms == list(dict.fromkeys(term for row in expected for term in row))  # numbered as they came
    assert corpus.lengths.tolist() == [len(row) for row in expected]
    assert (corpus.ids.dtype, corpus.offsets.dtype) == (np.int32, np.int64)


@given(known=st.lists(awkward, max_size=3), texts=st.lists(awkward, max_size=4), analyzer=st.sampled_from(ANALYZERS))
def test_a_vocabulary_grows_or_stays(known, texts, analyzer):
    vocabulary = encode_corpus(known, analyzer).vocabulary
    before = list(vocabulary)
    kept = encode_corpus(texts, analyzer, vocabulary, grow=False)
    assert list(vocabulary) == before
    expected = [before.index(term) if term in before else UNKNOWN for text in texts for term in analyzer.terms(text)]
    assert kept.ids.tolist() == expected
    grown = encode_corpus(texts, analyzer, vocabulary)
    assert grown.vocabulary is vocabulary
    assert vocabulary.terms[: len(before)] == before
    assert UNKNOWN not in grown.ids


def test_a_long_corpus_is_its_texts_one_by_one():
    texts = [f"text {number} of Straße-{number % 7} parseBody{number}" for number in range(9000)] + [""]
    analyzer = Analyzer(tokens="code", stopwords="english")
    corpus = encode_corpus(texts, analyzer)
    for row in (0, 1, 4321, 8999, -1):
        assert [corpus.vocabulary.terms[number] for number in corpus[row]] == analyzer.terms(texts[row])
    with pytest.raises(IndexError):
        corpus[9001]


@pytest.mark.long
@pytest.mark.parametrize("analyzer", ANALYZERS, ids=str)
def test_wikipedia_is_its_articles_one_by_one(analyzer, shared_data):
    with lzma.open(shared_data("enwiki-2015-slice") / "part-03.jsonl.xz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in islice(lines, 40)]
    corpus = encode_corpus(texts, analyzer)
    for row, text in enumerate(texts):
        assert [corpus.vocabulary.terms[number] for number in corpus[row]] == analyzer.terms(text)


@pytest.mark.parametrize("analyzer", ANALYZERS, ids=str)
def test_an_analyzer_is_plain_data(analyzer):
    assert Analyzer.from_json(json.loads(json.dumps(analyzer.to_json()))) == analyzer


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"tokens": "word"}, UnknownName, "did you mean words"),
        ({"stemmer": "englisch"}, UnknownName, "did you mean english"),
        ({"stopwords": "French"}, UnknownName, "english"),
        ({"min_length": 0}, InputError, "not a length"),
        ({"stemmers": "english"}, InputError, "stemmers"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields, error, message):
    with pytest.raises(error, match=message):
        Analyzer.from_json(fields)


def test_a_vocabulary_numbers_terms_as_they_come():
    vocabulary = Vocabulary(["b", "a"])
    assert [vocabulary.add(term) for term in ("a", "c", "b", "c")] == [1, 2, 0, 2]
    assert list(vocabulary) == vocabulary.terms == ["b", "a", "c"]
    assert (vocabulary["c"], vocabulary.get("d"), "d" in vocabulary, "c" in vocabulary, len(vocabulary)) == (
        2,
        -1,
        False,
        True,
        3,
    )
    with pytest.raises(KeyError):
        vocabulary["d"]
    with pytest.raises(DuplicateIds):
        Vocabulary(["a", "b", "a"])


def test_reading_says_how_far_it_is():
    events = []
    with listen(events.append):
        encode_corpus(["a", "b"], Analyzer(), label="reading the shelf")
    assert [(event.label, event.state, event.done, event.total) for event in events] == [
        ("reading the shelf", "start", 0, 2),
        ("reading the shelf", "finish", 2, 2),
    ]
