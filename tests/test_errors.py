"""The exception tree: drawn as it is, and each error able to travel between processes."""

from __future__ import annotations

import copy
import inspect
import re

import pytest

from vicino import errors
from vicino.errors import InputError, MissingExtra, UnknownName, VicinoError

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
every_error = pytest.mark.parametrize("kind", TREE, ids=[kind.__name__ for kind in TREE])


def test_the_drawn_tree_is_the_real_one():
    drawn, above = {}, {}
    for line in errors.__doc__.split("::")[1].splitlines():
        found = re.match(r"^    (?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: \((?P<builtin>\w+)\))?", line)
        if found:
            depth = len(found["branch"]) // 4
            above[depth] = found["name"]
            drawn[found["name"]] = {above[depth - 1] if depth else "Exception", *filter(None, [found["builtin"]])}
    assert drawn == {kind.__name__: {base.__name__ for base in kind.__bases__} for kind in TREE}


def test_every_error_is_public():
    assert sorted(kind.__name__ for kind in TREE) == errors.__all__


@every_error
def test_an_error_says_what_is_wrong_and_what_mends_it(kind):
    error = kind("the shelf is full", mend="free some space")
    assert str(error) == "the shelf is full\n  → free some space"
    assert (error.what, error.mend) == ("the shelf is full", "free some space")
    assert isinstance(error, VicinoError)
    with pytest.raises(TypeError, match="mend"):
        kind("the shelf is full")


@every_error
def test_an_error_survives_the_trip_from_another_process(kind):
    error = kind("the shelf is full", mend="free some space")
    for travelled in (copy.copy(error), copy.deepcopy(error)):  # what a process pool uses, without naming it
        assert type(travelled) is kind
        assert str(travelled) == str(error)


def test_builtin_kin_lets_callers_catch_what_they_know():
    assert issubclass(InputError, ValueError)
    assert issubclass(UnknownName, LookupError)
    assert issubclass(MissingExtra, ImportError)


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("bm52", "did you mean bm25? There are: bm25, lsa, tfidf"),
        ("tfidff", "did you mean tfidf? There are: bm25, lsa, tfidf"),
        ("zzz", "There are: bm25, lsa, tfidf"),
        ("", "There are: bm25, lsa, tfidf"),
    ],
)
def test_an_unknown_name_offers_the_nearest(name, offered):
    error = UnknownName.among(name, ["tfidf", "bm25", "lsa"], kind="candidate")
    assert error.what == f"there is no candidate named {name!r}"
    assert error.mend == offered


def test_an_unknown_name_may_bring_its_own_listing_and_an_empty_list():
    assert UnknownName.among("x", ["y"], kind="thing", listing="see the shelf").mend == "see the shelf"
    assert UnknownName.among("x", [], kind="thing").mend == "There are: none yet"


def test_a_missing_extra_ends_with_the_command_that_installs_it():
    told = str(MissingExtra.named("torch", needed_by="transformers"))
    assert "→ pip install 'vicino[torch]' (in a checkout: pip install -c constraints.txt -e '.[torch]')" in told
