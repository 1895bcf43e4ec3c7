"""Catalogues: lazy, listed in order, and helpful where a name or an extra is missing."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.catalog import Catalog, Entry, call, spell, split
from vicino.errors import InputError, MissingExtra, UnknownName

CODECS = Catalog(
    "codec",
    {
        "json": Entry("json:dumps", "plain text"),
        "wave": Entry("wave:open", "sound"),
        "absent": Entry("no_such_module_anywhere:Thing", "is not there", "torch"),
        "broken": Entry("no_such_module_anywhere:Thing", "is not there and needs nothing"),
    },
)


def test_listing_imports_nothing(python):
    program = """
import sys
from vicino.catalog import Catalog, Entry
codecs = Catalog("codec", {"wave": Entry("wave:open", "sound")})
print(list(codecs), codecs.entry("wave").summary, "wave" in codecs, len(codecs), "wave" in sys.modules)
codecs["wave"]
print("wave" in sys.modules)
"""
    assert python(program).split("\n")[:2] == ["['wave'] sound True 1 False", "True"]


def test_a_package_offers_the_classes_of_its_catalogue(python):
    program = """
import sys
from vicino.encoders import Callable, named
print(Callable.__name__, named.__name__, "vicino.encoders.words" in sys.modules)
try:
    from vicino.encoders import Calable
except ImportError as error:
    print(error)
"""
    first, second = python(program).splitlines()
    assert first == "Callable vicino.encoders.named False"
    assert "cannot import name 'Calable'" in second


def test_an_entry_is_imported_when_asked_for():
    assert CODECS["json"] is json.dumps
    assert CODECS["wave"] is sys.modules["wave"].open


def test_a_mapping_in_the_given_order():
    assert list(CODECS) == ["json", "wave", "absent", "broken"]
    assert "json" in CODECS
    assert "jsno" not in CODECS
    assert CODECS.entry("absent").extra == "torch"


@pytest.mark.parametrize("look_up", [CODECS.__getitem__, CODECS.entry])
def test_an_unknown_name_is_met_with_the_nearest(look_up):
    with pytest.raises(UnknownName, match=r"no codec named 'jsno'\n  → did you mean json\?"):
        look_up("jsno")


def test_a_missing_extra_is_named_and_a_broken_entry_is_not_called_one():
    with pytest.raises(MissingExtra, match=r"pip install 'vicino\[torch\]'"):
        CODECS["absent"]
    with pytest.raises(ModuleNotFoundError):
        CODECS["broken"]


def test_a_class_knows_its_short_name():
    listed = Catalog("catalogue", {"own": Entry("vicino.catalog:Catalog", "this one")})
    assert listed.name_of(Catalog) == "own"
    with pytest.raises(UnknownName):
        listed.name_of(Entry)


# Names with parameters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mark", "parts"),
    [
        ("a,b", ",", ["a", "b"]),
        (" a , b ", ",", ["a", "b"]),
        ("a(c=1,d=2),b", ",", ["a(c=1,d=2)", "b"]),
        ('a(i={"m":8,"n":[1,2]}),b', ",", ['a(i={"m":8,"n":[1,2]})', "b"]),
        ("a(b=1+2)+c", "+", ["a(b=1+2)", "c"]),
        (",,a,", ",", ["a"]),
        ("", ",", []),
    ],
)
def test_text_is_split_outside_brackets(text, mark, parts):
    assert split(text, mark) == parts


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("bm25", "bm25", {}),
        ("bm25()", "bm25", {}),
        (" bm25 ( k1 = 0.9 , b=1 ) ", "bm25", {"k1": 0.9, "b": 1}),
        ("lsa(stemmer=english,min_count=2)", "lsa", {"stemmer": "english", "min_count": 2}),
        ('x(a="1",b=true,c=null,d=[1,2])', "x", {"a": "1", "b": True, "c": None, "d": [1, 2]}),
        ("org/model(p=a=b)", "org/model", {"p": "a=b"}),
        ('columns(text=5" pipe,label=6" pipe)', "columns", {"text": '5" pipe', "label": '6" pipe'}),
        (
            r'x(a="on, and (on: ",b="say \"so, it\" ",d=")")',
            "x",
            {"a": "on, and (on: ", "b": 'say "so, it" ', "d": ")"},
        ),
    ],
)
def test_a_call_is_read(text, name, parameters):
    assert call(text) == (name, parameters)


@pytest.mark.parametrize("text", ["", " ", "()", "bm25(k1=0.9", "bm25)", "(k1=1)", "bm25(k1)", "bm25)x", "bm25(=1)"])
def test_what_is_not_a_call_is_named(text):
    with pytest.raises(InputError):
        call(text)


@given(st.text())
def test_any_text_is_read_or_refused_by_name(text):
    try:
        name, parameters = call(text)
    except InputError:
        return
    assert name == name.strip() != ""
    assert all(isinstance(key, str) for key in parameters)


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.integers())


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), VALUES))
def test_plain_parameters_survive_a_round_trip(parameters):
    written = ", ".join(f"{key}={json.dumps(value)}" for key, value in parameters.items())
    assert call(f"name({written})") == ("name", parameters)


TEXT = st.from_regex(r"[a-z0-9 ./:=_\",()\[\]\\-]{0,12}", fullmatch=True)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), VALUES | TEXT))
def test_what_is_spelled_is_read_back(parameters):
    assert call(spell("name", parameters)) == ("name", parameters)


def test_calls_in_calls_are_spelled():
    inner = spell("lsa", {"n_components": 8, "stemmer": "english"})
    assert spell("isotropic", {"encoder": inner}) == "isotropic(encoder=lsa(n_components=8, stemmer=english))"
    assert call(spell("isotropic", {"encoder": inner}))[1] == {"encoder": inner}
