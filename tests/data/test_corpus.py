"""A corpus: the fast way gives the words that the plain analyser gives, whatever the source, the bytes and the threads."""

from __future__ import annotations

import errno
import gzip
import json
import lzma
import math
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data import corpus_pieces
from vicino.data.corpus import Corpus, Rules, join_phrases, open_corpus, read_corpus
from vicino.data.text import Analyzer, Vocabulary
from vicino.errors import ArtifactCorrupt, ArtifactError, EmptyInput, InputError, UnreadableSource
from vicino.progress import listen

awkward = (
    st.text(st.sampled_from("aAbB_9 .=<'-\t\n\r\0ßİıﬁΣςé\u0301\u0338\u200c\u2028\ufeffªⅣ²½日本ーｶไทยहि\ud800😀")) | st.text()
)
ALL = Rules(min_count=1)


def words_of(corpus: Corpus) -> list[list[str]]:
    return [[corpus.vocabulary.terms[word] for word in corpus[row]] for row in range(len(corpus))]


def plain(texts, analyzer: Analyzer | None = None) -> list[list[str]]:
    """What a corpus should hold: each line analysed alone, lines without a word left out."""
    lines = (line for text in texts for line in text.replace("\r", "\n").split("\n"))
    return [words for line in lines if (words := (analyzer or Analyzer()).terms(line))]


# The same words as the plain way --------------------------------------------------------------------------------------


@given(
    texts=st.lists(awkward, max_size=6),
    analyzer=st.sampled_from([Analyzer(), Analyzer(lowercase=False), Analyzer(tokens="code", stopwords="english")]),
    threads=st.integers(1, 3),
)
def test_texts_are_their_lines_one_by_one(texts, analyzer, threads):
    expected = plain(texts, analyzer)
    rules = Rules(analyzer, min_count=1)
    if not expected:
        with pytest.raises(EmptyInput):
            read_corpus(texts, rules, threads=threads)
        return
    corpus = read_corpus(iter(texts), rules, threads=threads)
    counts = Counter(word for line in expected for word in line)
    assert words_of(corpus) == expected
    assert corpus.vocabulary.terms == sorted(counts, key=lambda word: (-counts[word], word))
    assert corpus.counts.tolist() == [counts[word] for word in corpus.vocabulary]
    assert (corpus.ids.dtype, corpus.offsets.dtype, corpus.counts.dtype) == (np.int32, np.int64, np.int64)


@given(data=st.binary(max_size=300), threads=st.integers(1, 2))
def test_any_bytes_are_read_as_if_decoded_with_replacement(data, threads, tmp_path_factory):
    data = data.replace(b"\0", b" ")
    data = data[2:] if data[:2] in (b"\xff\xfe", b"\xfe\xff") else data
    path = tmp_path_factory.mktemp("bytes") / "text.txt"
    path.write_bytes(data + b" end")
    corpus = read_corpus(path, ALL, threads=threads)
    assert words_of(corpus) == plain([(data + b" end").decode(errors="replace")])
    assert (corpus.undecodable > 0) == ("\ufffd" in data.decode(errors="replace") and not _is_utf8(data))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.long
@pytest.mark.parametrize("size", [1, 2, 7, 64])
@pytest.mark.parametrize("threads", [1, 3])
def test_where_blocks_end_does_not_matter(size, threads, tmp_path, monkeypatch):
    text = "Straße naïve\r\n東京都 a_b, x.y\n\n" * 30 + "\n".join(f"word{number} the 9th" for number in range(3000))
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8", newline="")
    whole = read_corpus(path, ALL)
    monkeypatch.setattr(corpus_pieces, "_BLOCK", size)
    corpus = read_corpus(path, ALL, threads=threads)
    assert words_of(whole) == plain([text])
    np.testing.assert_array_equal(corpus.ids, whole.ids)
    np.testing.assert_array_equal(corpus.offsets, whole.offsets)
    assert corpus.vocabulary.terms == whole.vocabulary.terms


@pytest.mark.parametrize("shard", range(8))
def test_wikipedia_is_its_articles_one_by_one(shard, shared_data, tmp_path):
    with lzma.open(shared_data("enwiki-2015-slice") / f"part-0{shard}.jsonl.xz", "rt", encoding="utf-8") as lines:
        rows = list(islice(lines, 30))
    path = tmp_path / "part.jsonl"
    path.write_text("".join(rows), encoding="utf-8")
    articles = [json.loads(row) for row in rows]
    assert words_of(read_corpus(path, ALL)) == plain(f"{each['title']}\n{each['text']}" for each in articles)


# From anywhere --------------------------------------------------------------------------------------------------------

TEXT = "A wing lifts.\nThe wing drags\n\na kite"
WORDS = [["a", "wing", "lifts"], ["the", "wing", "drags"], ["a", "kite"]]


def written(path: Path, kind: str) -> Path:
    if kind == "jsonl":
        path = path / "rows.jsonl"
        path.write_text(json.dumps({"text": TEXT}) + "\n" + "broken\n", encoding="utf-8")
    elif kind in ("gz", "xz"):
        path = path / f"text.txt.{kind}"
        path.write_bytes((gzip if kind == "gz" else lzma).compress(TEXT.encode()))
    elif kind == "utf-16":
        path = path / "text.txt"
        path.write_bytes(TEXT.encode("utf-16"))
    elif kind == "no ending":
        path = path / "text8"
        path.write_text(TEXT, encoding="utf-8-sig")
    else:
        (path / "b").mkdir()
        (path / "a.txt").write_text("A wing lifts.\nThe wing drags", encoding="utf-8")
        (path / "b" / "c.jsonl").write_text(json.dumps({"text": "a kite"}), encoding="utf-8")
        (path / "photo.jpg").write_bytes(b"\0\1")
        (path / "d.txt").write_bytes(b"binary \0\1")
    return path


@pytest.mark.parametrize("kind", ["jsonl", "gz", "xz", "utf-16", "no ending", "folder"])
def test_files_of_every_kind(kind, tmp_path):
    corpus = read_corpus(written(tmp_path, kind), ALL)
    assert words_of(corpus) == WORDS
    told = {"jsonl": "broken JSON (1, first rows.jsonl line 2)", "folder": "binary data (1, first d.txt)"}
    assert told.get(kind, "") in corpus.left_out
    assert bool(corpus.left_out) == (kind in told)


def test_lists_of_words_are_taken_as_they_are():
    corpus = read_corpus([["New York", "the"], [], ("the",)], ALL)
    assert words_of(corpus) == [["New York", "the"], ["the"]]
    many = [[f"w{number % 7}", "x"] for number in range(9000)]
    assert words_of(read_corpus(iter(many), ALL)) == many


def test_texts_as_sentences_of_their_own():
    rules = Rules(min_count=1, lines=False, max_sentence=2)
    assert words_of(read_corpus(["a b\nc", "", "..", "d"], rules)) == [["a", "b", "c"], [], [], ["d"]]


@pytest.mark.parametrize(
    "source", [5, None, b"bytes", [5], ["text", 5], ["text", ["list"]], [["list"], "text"], [["a", 5]], [[["a"]]]]
)
def test_what_is_not_text_is_named(source):
    with pytest.raises(InputError, match=r"text|item|type"):
        read_corpus(source)


def test_paths_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(UnreadableSource, match="not a regular file"):
        read_corpus(tmp_path / "nothing.txt")
    (tmp_path / "binary.txt").write_bytes(b"a\0b")
    with pytest.raises(UnreadableSource, match=r"binary\.txt: binary"):
        read_corpus(tmp_path / "binary.txt")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"some words " * 1000)[:-10])
    with pytest.raises(UnreadableSource, match="ends too early"):
        read_corpus(tmp_path / "cut.txt.gz")


@pytest.mark.long
@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("last", [True, False])
def test_a_file_that_breaks_off_ends_its_document(lines, last, tmp_path):
    """What was read of it was learnt from, which is said; and no word of it meets one of another file."""
    text = b"".join(b"before%d and " % number for number in range(300_000))
    whole = gzip.compress(text, 1)
    (tmp_path / "b.txt.gz").write_bytes(whole[: len(whole) * 3 // 4])
    (tmp_path / "a.txt" if last else tmp_path / "c.txt").write_text("a whole file")
    corpus = read_corpus(tmp_path, Rules(min_count=1, lines=lines, max_sentence=10**9))
    assert len(corpus) == 2
    assert words_of(corpus)[0 if last else 1] == ["a", "whole", "file"]
    assert words_of(corpus)[1 if last else 0][:3] == ["before0", "and", "before1"]
    assert "ends too early; what comes before was read (1, first b.txt.gz)" in corpus.left_out


# Which words, which sentences -----------------------------------------------------------------------------------------


def test_rare_words_go_and_their_neighbours_meet():
    corpus = read_corpus(["a x b", "a y b", "z"], Rules(min_count=2))
    assert words_of(corpus) == [["a", "b"], ["a", "b"]]
    assert corpus.counts.tolist() == [2, 2]
    assert words_of(read_corpus(["a a b b b c"], Rules(min_count=1, max_vocab=2))) == [["a", "a", "b", "b", "b"]]


def test_a_large_corpus_leaves_out_rare_words_by_itself():
    rare = [["rare"] * 4, ["known"] * 5]
    assert read_corpus(rare).vocabulary.terms == ["known", "rare"]
    assert read_corpus([*rare, *[["often"] * 5000] * 200]).vocabulary.terms == ["often", "known"]


def test_long_sentences_are_cut():
    corpus = read_corpus(["a " * 25, "b"], Rules(min_count=1, max_sentence=10))
    assert corpus.lengths.tolist() == [10, 10, 5, 1]
    whole = read_corpus(["word " * 2_000_000], ALL)  # ten megabytes
    assert whole.lengths.tolist() == [10_000] * 200


def test_a_word_of_ten_megabytes_is_a_word(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a " + b"x" * 10_000_000 + b" b")
    assert [len(word) for word in read_corpus(path, ALL).vocabulary] == [1, 1, 10_000_000]


@pytest.mark.parametrize(
    ("source", "rules", "told"), [([], ALL, "no word"), (["…"], ALL, "no word"), (["a a b"], Rules(min_count=3), "2 times")]
)
def test_no_words_are_named(source, rules, told):
    with pytest.raises(EmptyInput, match=told):
        read_corpus(source, rules)


@pytest.mark.parametrize("changes", [{"min_count": 0}, {"max_vocab": 0}, {"max_sentence": 1}, {"min_count": 1.5}], ids=str)
def test_rules_that_cannot_be_are_named(changes):
    with pytest.raises(InputError, match="cannot be"):
        Rules(**changes)


def test_a_known_vocabulary_keeps_its_numbers():
    known = Vocabulary(["kite", "absent", "a"])
    corpus = read_corpus(["a wing lifts a wing", "rare"], Rules(min_count=2), vocabulary=known)
    assert corpus.vocabulary.terms == ["kite", "absent", "a", "wing"]
    assert corpus.counts.tolist() == [0, 0, 2, 2]
    assert words_of(corpus) == [["a", "wing", "a", "wing"]]
    assert known.terms == ["kite", "absent", "a"]


# Kept -----------------------------------------------------------------------------------------------------------------


def test_a_named_folder_opens_again(tmp_path):
    corpus = read_corpus(TEXT.split("\n"), ALL, folder=tmp_path / "deep" / "corpus")
    again = open_corpus(tmp_path / "deep" / "corpus")
    assert words_of(again) == words_of(corpus) == WORDS
    np.testing.assert_array_equal(again.counts, corpus.counts)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["corpus"]
    assert again.ids.base is not None  # mapped


def test_a_temporary_folder_goes_with_the_corpus():
    corpus = read_corpus(["some words"], ALL)
    folder = corpus.folder
    assert folder.is_dir()
    del corpus
    assert not folder.parent.exists()


@pytest.mark.parametrize("folder", [None, "corpus"])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch, folder):
    """Ids are written through a map of their file: a disk that gets full meanwhile would kill the process."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ArtifactError, match=f"{tmp_path}.* has no room for") as caught:
        read_corpus(["some words"], ALL, folder=folder and tmp_path / folder)
    assert "TMPDIR" in caught.value.mend
    assert not list(tmp_path.iterdir())


def test_a_damaged_folder_is_named(tmp_path):
    folder = tmp_path / "corpus"
    read_corpus(TEXT.split("\n"), ALL, folder=folder)
    ids = folder / "tokens" / "ids.npy"
    whole = ids.read_bytes()
    for harm in (whole[:-4], whole[:-4] + b"\xff\xff\xff\x7f", b"", whole[:40]):
        ids.write_bytes(harm)
        with pytest.raises(ArtifactCorrupt, match="damaged"):
            open_corpus(folder)
    ids.unlink()
    with pytest.raises(ArtifactCorrupt, match="damaged"):
        open_corpus(folder)
    with pytest.raises(ArtifactError):
        open_corpus(tmp_path)


def test_reading_says_how_far_it_is():
    events = []
    with listen(events.append):
        read_corpus(["four", "words", "in here"], label="reading the shelf")
    assert events[0].label == "reading the shelf"
    assert (events[-1].state, events[-1].done, events[-1].unit) == ("finish", 19, "bytes")


# Phrases --------------------------------------------------------------------------------------------------------------


def joined(sentences, threshold, min_count):
    """The plain way to do it."""
    words = Counter(word for sentence in sentences for word in sentence)
    pairs = Counter(pair for sentence in sentences for pair in pairwise(sentence))
    n = words.total()
    chosen = {
        (a, b)
        for (a, b), times in pairs.items()
        if times >= min_count and math.log(times * n / (words[a] * words[b])) >= -threshold * math.log(times / n) - 1e-12
    }
    result = []
    for sentence in sentences:
        left, row = list(sentence), []
        while left:
            row.append("_".join([left.pop(0), left.pop(0)]) if tuple(left[:2]) in chosen else left.pop(0))
        result.append(row)
    return result


@given(
    sentences=st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8), min_size=1, max_size=12),
    threshold=st.sampled_from([-1, 0.05, 0.31, 0.52]),
    min_count=st.integers(1, 3),
)
def test_phrases_are_those_of_the_plain_way(sentences, threshold, min_count):
    corpus = join_phrases(read_corpus(sentences, ALL), threshold=threshold, min_count=min_count)
    assert words_of(corpus) == joined(sentences, threshold, min_count)
    assert corpus.counts.tolist() == np.bincount(corpus.ids).tolist()


def test_a_phrase_that_is_a_word_already_is_that_word(tmp_path):
    corpus = join_phrases(read_corpus([["new", "york"], ["new_york"]], ALL), min_count=1, folder=tmp_path / "joined")
    assert words_of(open_corpus(tmp_path / "joined")) == words_of(corpus) == [["new_york"], ["new_york"]]
    assert corpus.counts.tolist() == [2]
    with pytest.raises(InputError, match="mutual information"):
        join_phrases(corpus, threshold=3)
