"""Known-item queries: what is asked has left the document, and stands for one document only."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.known_items import KnownItems, known_items, normalised
from vicino.data.records import Document
from vicino.data.sentences import sentence_spans
from vicino.errors import DuplicateIds, EmptyInput

BODY = "The air above a wing flows faster than below."
MARKDOWN = {"format": "markdown"}


def asked(made: KnownItems) -> dict[str, str]:
    """Document id -> query, through the judgements."""
    queries = {query.id: query.text for query in made.queries}
    assert [one.query_id for one in made.judgements] == list(queries)
    assert all(one.grade == 1 for one in made.judgements)
    return {one.document_id: queries[one.query_id] for one in made.judgements}


def contents(made: KnownItems) -> dict[str, str]:
    return {document.id: document.content for document in made.documents}


def test_titles_leave_with_their_copies() -> None:
    text = f"ON LIFT!\n\n{BODY} On lift. {BODY} It is on lift and drag."
    made = known_items([Document("1", text, title=" On  lift "), Document("2", f"Drag was on lift. {BODY}", title="Drag")])
    assert asked(made)["1"] == "On lift"
    # copies go, a mention within a sentence stays; a title of one word is no query and stays
    assert contents(made)["1"].split() == f"{BODY} {BODY} It is on lift and drag.".split()
    assert contents(made)["2"].startswith("Drag\n")


def test_a_title_that_is_all_there_is_stays() -> None:
    made = known_items(
        [Document("1", "", title="On lift"), Document("2", "On lift.", title="On lift"), Document("3", BODY, "A b")]
    )
    assert asked(made) == {"3": "A b"}
    assert contents(made)["1"] == "On lift\n"
    assert contents(made)["2"] == "On lift\nOn lift."


def test_headings_of_markdown_only() -> None:
    text = f"Intro.\n\n## On lift ##\n\n{BODY}\n\n# Later heading\n\nMore."
    made = known_items([Document("a", text, metadata=MARKDOWN), Document("b.md", text.replace("lift", "drag"))])
    assert asked(made) == {"a": "On lift", "b.md": "On drag"}
    assert made.documents[0].text == f"Intro.\n\n\n\n{BODY}\n\n# Later heading\n\nMore."
    shell = Document("c", f"# On lift and drag\n{BODY} Here is a sentence without any doubt.")
    assert known_items([shell]).how == {"sentence": 1}


def test_source_code_becomes_its_functions() -> None:
    source = '''\
import os

class A:
    def area(self):
        """Return the area of the wing. In metres."""
        return self.span * self.chord

    def bare(self):
        return 1

    def short(self):
        """Too short."""
'''
    made = known_items(
        [Document("m.py", source), Document("n.py", "x = 1\n"), Document("o.rb", "# Some words of a comment here.\n")]
    )
    assert asked(made) == {"m.py::A.area": "Return the area of the wing."}
    assert contents(made) == {
        "m.py::A.area": "def area(self):\n    return self.span * self.chord",
        "m.py::A.bare": "def bare(self):\n    return 1",
        "m.py::A.short": "def short(self):",  # withheld too: all functions compete on the same terms
        "n.py": "x = 1\n",
        "o.rb": "# Some words of a comment here.\n",  # code gives no sentences
    }


def test_a_file_whose_grammar_is_missing_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tree_sitter_go", None)
    made = known_items([Document("a.go", "// F goes up very far.\nfunc f() {}\n"), Document("1", BODY, "On lift")])
    assert contents(made)["a.go"].startswith("// F")


def test_a_sentence_is_withheld_once_and_stands_nowhere_else() -> None:
    common = "All rights are reserved by us."
    documents = [Document(str(n), f"{common} Number {n} flies over the {n} hills. So it is. {common}") for n in range(30)]
    made = known_items(documents)
    assert made.how == {"sentence": 30}
    for number, text in asked(made).items():
        assert text == f"Number {number} flies over the {number} hills."
        assert contents(made)[number] == f"{common} So it is. {common}"


def test_sentences_that_a_title_repeats_are_not_chosen() -> None:
    title = "Wings of birds and of planes"
    with pytest.raises(EmptyInput):
        known_items([Document("1", "Wings of birds and of planes. Short.", title="Aero"), Document("2", "Short.", title=title)])


def test_ambiguous_queries_are_all_dropped_and_their_documents_stay() -> None:
    documents = [Document("1", BODY, "On lift"), Document("2", BODY, "ON LIFT!"), Document("3", BODY, "On drag")]
    made = known_items(documents)
    assert asked(made) == {"3": "On drag"}
    assert all(document.content == BODY for document in made.documents)


def test_limit_keeps_all_documents_and_query_ids() -> None:
    documents = [Document(str(n), BODY, f"Title number {n}") for n in range(50)]
    every, few = known_items(documents), known_items(documents, limit=10, seed=3)
    assert few.documents == every.documents
    assert len(few.queries) == 10
    assert set(few.queries) < set(every.queries)
    assert few != known_items(documents, limit=10, seed=4)


def test_a_choice_depends_on_the_seed_and_the_id_and_not_on_the_neighbours() -> None:
    text = " ".join(f"Sentence {word} is about {word} alone." for word in "abcdefgh")
    documents = [Document(str(n), text.replace("alone", f"alone in {n}")) for n in range(20)]
    made = asked(known_items(documents))
    assert made == {**asked(known_items(documents[:10])), **asked(known_items(documents[10:]))}
    assert made != asked(known_items(documents, seed=1))
    assert len({text.split()[1] for text in made.values()}) > 3


def test_nothing_to_ask() -> None:
    for documents in (
        [],
        [Document("1", "Too short.")],
        [Document("1", BODY)],
        [Document("1", "x = 1", metadata={"language": "python"})],
    ):
        with pytest.raises(EmptyInput, match="no query can be made"):
            known_items(documents)
    with pytest.raises(DuplicateIds):
        known_items([Document("1", BODY), Document("1", BODY)])


def test_the_note_says_that_they_are_synthetic() -> None:
    documents = [Document(str(n), f"{BODY} Number {n} lifts the rest of it.", "On lift {n}" if n % 2 else "") for n in range(4)]
    made = known_items([*documents, Document("x", BODY, "On drag")])
    assert made.how == {"title": 1, "sentence": 2}  # two titles are equal
    assert made.note == (
        "synthetic known-item queries (1 from titles, 2 from withheld sentences): "
        "good for ranking systems, not for absolute quality"
    )


words = st.lists(
    st.sampled_from([*str.split("lift drag wing air flow speed the of Boeing. Up! 東京。 # ## def"), "\n"]), max_size=40
)
texts = words.map(" ".join)
documents = st.lists(
    st.builds(
        Document,
        id=st.uuids().map(str),
        text=texts,
        title=st.one_of(st.just(""), texts.map(lambda text: text[:30])),
        metadata=st.sampled_from([{}, MARKDOWN]),
    ),
    max_size=6,
)


@given(documents, st.integers(0, 3))
def test_what_is_asked_is_gone(documents: list[Document], seed: int) -> None:
    try:
        made = known_items(documents, seed=seed)
    except EmptyInput:
        return
    before = {document.id: document for document in documents}
    after = {document.id: document for document in made.documents}
    assert list(after) == list(before)
    for name, query in asked(made).items():
        document = after[name]
        assert document.text.strip()
        key = normalised(query)
        pieces = [document.title, *document.text.splitlines()]
        pieces += [document.text[start:end] for start, end in sentence_spans(document.text)]
        assert key not in map(normalised, pieces)
        assert Counter(normalised(document.content).split()) <= Counter(normalised(before[name].content).split())
    keys = Counter(normalised(query.text) for query in made.queries)
    assert set(keys.values()) <= {1}
    assert sum(made.how.values()) == len(made.queries)
