"""Filters: read, written, checked, and what they mean."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vicino.data.filters import (
    And,
    Between,
    Compare,
    Contains,
    Filter,
    In,
    IsNull,
    Not,
    Or,
    check,
    from_json,
    matches,
    parse,
)
from vicino.errors import InputError, InputTooLarge, UnknownName

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.one_of(
    st.sampled_from(["lang", "year", "and", "NOT", "naïve", "a b", 'say "hi"', "1st", "tab\there", "`", "'"]), text.filter(bool)
)
values = st.one_of(text, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
leaves = st.one_of(
    st.builds(Compare, names, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values),
    st.builds(In, names, st.lists(values, min_size=1, max_size=4).map(tuple)),
    st.builds(Between, names, values, values),
    st.builds(Contains, names, text),
    st.builds(IsNull, names),
)


def joined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(And, parts), st.builds(Or, parts), st.builds(Not, inner))


filters = st.recursive(leaves, joined, max_leaves=12)


# Reading and writing --------------------------------------------------------------------------------------------------


def test_every_form_is_read() -> None:
    assert parse(
        "lang = 'en' and (year between 2010 and 2020 or tags contains 'x') and not draft and title is not null"
        " and source in ('a','b')"
    ) == And(
        (
            Compare("lang", "=", "en"),
            Or((Between("year", 2010, 2020), Contains("tags", "x"))),
            Not(Compare("draft", "=", True)),
            Not(IsNull("title")),
            In("source", ("a", "b")),
        )
    )


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("a = 1 or b = 2 and c = 3", "a = 1 or (b = 2 and c = 3)"),  # and binds more tightly
        ("not a = 1 and b = 2", "(not a = 1) and b = 2"),
        ("A NOT IN (1, 2)", "not A in (1, 2)"),
        ("a Not Between 1 And 2", "not a between 1 and 2"),
        ("tags not contains 'x'", "not (tags contains 'x')"),
        ("a <> 1", "a != 1"),
        ("a == TRUE", "a"),
        ("\n( ( a ) )\t", "a = true"),
        ('"in" = .5', '"in" = 0.5'),
        ("a=-1 or b>=+2.e3", "a = -1 or b >= 2000.0"),
        ("a = 'it''s'and b", "a = 'it''s' and b = true"),
    ],
)
def test_other_spellings_of_the_same(written: str, same: str) -> None:
    assert parse(written) == parse(same)


def test_kinds_of_values_are_kept_apart() -> None:
    read = parse("a in ('1', 1, 1.0, true, -9223372036854775808)")
    assert isinstance(read, In)
    assert [type(value) for value in read.values] == [str, int, float, bool, int]


@given(filters)
@example(Not(Not(In("or", ("''", "\x00", "\u2028", "🙂")))))
@example(And((And((IsNull("a"), IsNull("b"))), IsNull("c"))))
def test_what_is_written_is_read_as_the_same_tree(wanted: Filter) -> None:
    assert repr(parse(str(wanted))) == repr(wanted)  # repr, because 1 == 1.0 == True


@given(filters)
def test_json_gives_the_same_tree(wanted: Filter) -> None:
    assert repr(from_json(json.loads(json.dumps(wanted.to_json())))) == repr(wanted)


@given(st.text(max_size=60))
@example("a = '" + "\ud800'")
@example('"" = 1')
def test_any_text_is_a_filter_or_an_error_that_points_into_it(written: str) -> None:
    with contextlib.suppress(InputError):
        parse(written)


@pytest.mark.parametrize(
    ("written", "under", "expected"),
    [
        ("lang =", "", "a value"),
        ("lang = en", "en", "a value"),
        ("a = 1 b", "b", "`and`, `or` or the end"),
        ("(a = 1", "", "`)`"),
        ("a = 'x", "'x", "a name, a value"),
        ("a = 1;drop", ";drop", "a name, a value"),
        ("a in ()", ")", "a value"),
        ("1 = a", "1 = a", "the name of a column"),
        ("a contains 5", "5", "a text in single quotes"),
        ("a between 1 or 2", "or 2", "`and`"),
        ("a not null", "null", "`in`, `between` or `contains`"),
        ("a = \x00 ", "· ", "a name, a value"),
        ("", "", "the name of a column"),
    ],
)
def test_a_mistake_is_pointed_to(written: str, under: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(written)
    _, line, mark = caught.value.what.split("\n")
    assert line[mark.index("^") :] == under
    assert expected in caught.value.what
    assert "write it like this: lang = 'en'" in caught.value.mend


def test_the_mark_stays_near_in_a_long_text() -> None:
    with pytest.raises(InputError) as caught:
        parse("a = 1 and " * 5_000 + "b = ; " + "and c" * 1_000)
    _, line, mark = caught.value.what.split("\n")
    assert len(line) < 150
    assert line[mark.index("^")] == ";"


@pytest.mark.parametrize(
    "written",
    [
        "(" * 10_000 + "a" + ")" * 10_000,
        "not " * 10_000 + "a",
        "a" * 1_000_000,
        "'" * 99_999,
        "or ".join(["a "] * 2_000),
        "a = " + "9" * 90_000,
        "a = 1e999",
        "a = 9223372036854775808",
    ],
)
def test_hostile_text_is_refused_by_name(written: str) -> None:
    with pytest.raises(InputError):
        parse(written)


def test_hostile_trees_are_refused_by_name() -> None:
    deep: Any = {"op": "null", "column": "a"}
    for _ in range(5_000):
        deep = {"op": "not", "part": deep}
    with pytest.raises(InputTooLarge, match="nested more than 32 deep"):
        from_json(deep)
    tree: Filter = IsNull("a")
    for _ in range(31):
        tree = Not(tree)
    with pytest.raises(InputTooLarge, match="nested more than 32 deep"):
        Not(tree)
    wide = Or((IsNull("a"),) * 400)
    with pytest.raises(InputTooLarge, match="1,204 parts"):
        And((wide, wide, wide))
    with pytest.raises(InputTooLarge, match="100,001 values"):
        In("a", tuple(range(100_001)))


@pytest.mark.parametrize(
    "plain",
    [
        *(
            None,
            [],
            "a = 1",
            {},
            {"op": "="},
            {"op": "and", "parts": []},
            {"op": "and", "parts": [{"op": "null", "column": "a"}]},
        ),
        *({"op": "null", "column": 5}, {"op": "null", "column": ""}, {"op": "~", "column": "a", "value": 1}),
        *({"op": "=", "column": "a", "value": None}, {"op": "=", "column": "a", "value": [1]}),
        *({"op": "in", "column": "a", "values": []}, {"op": "in", "column": "a", "values": [[1]]}, {"op": "not", "part": 5}),
        *({"op": "contains", "column": "a", "value": 5}, {"op": "=", "column": "a", "value": float("nan")}),
        {"op": "=", "column": "a", "value": "\ud800"},
    ],
)
def test_json_that_is_no_filter_is_refused(plain: Any) -> None:
    with pytest.raises(InputError):
        from_json(plain)


def test_only_filters_are_joined() -> None:
    with pytest.raises(InputError, match="no filter"):
        And((IsNull("a"), "b = 1"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`or` of 1 filters"):
        Or((IsNull("a"),))


# Meaning --------------------------------------------------------------------------------------------------------------

ROW = {"lang": "en", "year": 2015, "score": 0.5, "draft": False, "tags": ["a", "it's"], "nothing": None}


@pytest.mark.parametrize(
    "written",
    [
        "lang = 'en'",
        "lang != 'de'",
        "lang < 'eo' and lang >= 'en'",
        "lang contains ''",
        "lang contains 'n'",
        "year = 2015.0",
        "year between 2015 and 2015",
        "year in (1, 2015)",
        "score > 0",
        "not draft",
        "draft != true",
        "tags contains 'it''s'",
        "not tags contains 'b'",
        "nothing is null and absent is null and lang is not null",
        "absent = 1 or lang = 'en'",
        "not (absent = 1 and lang = 'de')",
    ],
)
def test_a_row_that_matches(written: str) -> None:
    assert matches(parse(written), ROW)


@pytest.mark.parametrize(
    "written",
    [
        *("lang = 'EN'", "lang = 'e'", "year > 2015", "draft", "tags contains 'A'", "lang is null", "year in (1, 2)"),
        # unknown, and so is its contrary
        *(
            "absent = 1",
            "not absent = 1",
            "nothing != 1",
            "not nothing contains 'x'",
            "not (absent in (1) or absent is not null)",
        ),
        *("not absent between 1 and 2", "not (absent = 1 or lang = 'de')", "not (absent = 1 and lang = 'en')"),
        # of another kind
        *("lang = 1", "lang != 1", "year = true", "year != true", "draft = 0", "draft != 1", "tags = 'a'", "year contains '2'"),
    ],
)
def test_a_row_that_does_not_match(written: str) -> None:
    assert not matches(parse(written), ROW)


def test_nan_is_unknown() -> None:
    assert not matches(parse("a > 1 or not a > 1"), {"a": float("nan")})


@given(filters, filters, st.dictionaries(names, st.one_of(values, st.none(), st.lists(text, max_size=2)), max_size=5))
def test_the_laws_of_three_valued_logic(a: Filter, b: Filter, row: dict[str, Any]) -> None:
    assert matches(Not(Not(a)), row) == matches(a, row)
    assert matches(Not(And((a, b))), row) == matches(Or((Not(a), Not(b))), row)
    assert matches(And((a, b)), row) == (matches(a, row) and matches(b, row))
    assert matches(Or((a, b)), row) == (matches(a, row) or matches(b, row))
    assert not (matches(a, row) and matches(Not(a), row))


# Checking -------------------------------------------------------------------------------------------------------------

COLUMNS: Any = {"lang": "text", "year": "integer", "score": "number", "draft": "flag", "tags": "texts"}


def test_values_take_the_kind_of_their_column() -> None:
    wanted = check(parse("year = 2020.0 and (score in (1, 2.5) or not score between 0 and 1)"), COLUMNS)
    assert str(wanted) == "year = 2020 and (score in (1.0, 2.5) or not score between 0.0 and 1.0)"


@pytest.mark.parametrize(
    "written", ["lang = 'x' or lang contains 'x'", "draft", "draft in (true)", "tags contains 'x'", "tags is null"]
)
def test_what_fits_stays_as_it_is(written: str) -> None:
    assert check(parse(written), COLUMNS) == parse(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("lang = 5", "the column 'lang' holds text"),
        ("lang", "compare it like this: lang = 'en'"),
        ("year = '2020'", "the column 'year' holds whole numbers"),
        ("year > 1.5", "compare it like this: year >= 2020"),
        ("year = 1e30", "out of range"),
        ("not year", "holds whole numbers"),
        ("score between 'a' and 'b'", "the column 'score' holds numbers"),
        ("score in (1, true)", "holds numbers"),
        ("draft = 1", "the column 'draft' holds true or false"),
        ("draft < true", "compare it like this: draft = true"),
        ("draft between false and true", "holds true or false"),
        ("tags = 'x'", "compare it like this: tags contains 'new'"),
        ("tags in ('x')", "the column 'tags' holds lists of text"),
        ("year contains '2'", "holds whole numbers"),
    ],
)
def test_a_value_of_another_kind_is_an_error(written: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        check(parse(f"lang is null and not ({written} or lang is null)"), COLUMNS)
    assert said in str(caught.value)


def test_an_unknown_column_lists_those_that_there_are() -> None:
    with pytest.raises(UnknownName) as caught:
        check(parse("yaer = 5"), COLUMNS)
    assert str(caught.value) == (
        "there is no column named 'yaer'\n  → did you mean year? There are: draft, lang, score, tags, year"
    )
