"""Where sentences end. Each case was split by hand; `|` marks the places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.sentences import sentence_spans, trimmed, word_count

CASES = {
    "plain": "One lifts.| Two falls!| Three?| Four",
    "decimals": "Pi is 3.14 and e is 2.718.| Version 3.11.7 is out.",
    "titles": "Dr. Smith met Mr. and Mrs. Jones vs. Prof. Lee.| They talked.",
    "initials": "J. R. R. Tolkien wrote it.| The U.S. Army read it at 5 p.m. on Monday.",
    "latin": "Birds, e.g. gulls, i.e. fliers, cf. Darwin et al. (1859), glide.| Others do not.",
    "figures": "See Fig. 3, Eq. 7 and No. 5.| The answer is no.| But why?",
    "quotes": 'He said "Stop."| Then he left.| "Why?" she asked.| (Nobody knew.)| End.',
    "typographic": "Er sagte „Halt!“ und ging.| «Pourquoi?» dit-elle.| ¿Quién sabe?| ¡Nadie!",
    "ellipsis": "Wait... what?| Well…| Then go.",
    "lists": "1. Introduction to lift\n2. Methods of flight are many.| A. Appendix",
    "years": "It was 1903.| Then they flew.",
    "blank lines": "A heading without a stop\n\n|A paragraph e.g.\n\n|another\r\n\r\n|last\f|page",
    "marks that repeat": "Really?!| Yes!!!| No.",
    "lower case goes on": "The file a.txt. is here. iPhones too",
    "tokenised": "a wing in a slipstream .| an experimental study .| done",
    "chinese": "他说：“是的。”|然后走了！？|真的。",
    "japanese": "これは本です。|「はい。」と言った。|次",
    "hindi": "यह वाक्य है।| दूसरा।",
    "arabic": "هل هذا؟| نعم.",
}


@pytest.mark.parametrize("marked", CASES.values(), ids=CASES)
def test_sentences(marked: str) -> None:
    text = marked.replace("|", "")
    assert [text[start:end] for start, end in sentence_spans(text)] == [part.strip() for part in marked.split("|")]


mixed = st.text(st.one_of(st.sampled_from("abA1 .!?…。」)\"'\n\r\f\u2029"), st.characters()), max_size=80)


@given(mixed)
def test_all_but_white_space_is_covered_in_order(text: str) -> None:
    at = 0
    for start, end in sentence_spans(text):
        assert at <= start < end
        assert not text[at:start].strip()
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


@given(mixed, st.data())
def test_trimmed_agrees_with_strip(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    pieces = [text[first:last] for first, last in trimmed(text, start, end)]
    assert pieces == ([text[start:end].strip()] if text[start:end].strip() else [])


@pytest.mark.long
@pytest.mark.parametrize("hostile", [".", "。", ".)", "。」", "\n ", "\r\n", ". ", ' "', "1.\n", "a. "])
def test_hostile_repetition_comes_to_an_end(hostile: str) -> None:
    text = hostile * (300_000 // len(hostile)) + "と"  # a rule of quadratic cost would take hours
    assert sum(1 for _ in sentence_spans(text)) <= len(text)


def test_word_count() -> None:
    assert word_count("Wings, don't lift.") == 4
    assert word_count("naïve wings") == 2
    assert word_count("飛行機 flies") == 4
    assert word_count(" .,; ") == 0
