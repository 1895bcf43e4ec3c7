"""Requests that are sent again: done once, told twice."""

from __future__ import annotations

import json

import pytest

from vicino.errors import ArtifactError
from vicino.server.failures import Refused
from vicino.server.idempotency import Requests, require_key


@pytest.fixture
def now():
    return [1000.0]


@pytest.fixture
def requests(tmp_path, now):
    return Requests(tmp_path / "requests", keep_s=100, clock=lambda: now[0])


def did(requests, key="k", body=b"x", scope=("me", "docs"), what=None):
    with requests.once(scope, key, body) as once:
        if once.did is None and what is not None:
            once.done(what)
        return once.did


def test_what_was_done_is_told_again_also_by_another_process(requests, tmp_path, now):
    assert did(requests, what={"new": 1}) is None
    assert did(requests, what={"new": 2}) == {"new": 1}
    assert did(Requests(tmp_path / "requests", keep_s=100, clock=lambda: now[0])) == {"new": 1}


def test_keys_are_each_tenants_and_collections_own(requests):
    did(requests, what={"new": 1})
    assert did(requests, scope=("they", "docs")) is None
    assert did(requests, scope=("me", "other")) is None
    assert did(requests, key="other") is None


def test_a_key_means_one_body(requests):
    did(requests, what={"new": 1})
    with pytest.raises(Refused, match="another request") as caught:
        did(requests, body=b"y")
    assert caught.value.status == 422


def test_what_failed_may_be_sent_again(requests):
    with pytest.raises(KeyError), requests.once(["me"], "k", b"x"):
        raise KeyError
    with requests.once(["me"], "k", b"x") as once:
        assert once.did is None


def test_while_one_runs_the_other_waits(requests):
    with requests.once(["me"], "k", b"x"), pytest.raises(Refused, match="is running") as caught:
        did(requests, scope=["me"])
    assert caught.value.status == 409
    assert did(requests, scope=["me"]) is None


def test_it_is_forgotten_after_its_time_and_swept_away(requests, now):
    did(requests, what={"new": 1})
    now[0] += 101
    assert did(requests) is None
    (requests.folder / "old.json").write_text("{}")
    now[0] = (requests.folder / "old.json").stat().st_mtime + 1000
    did(requests, key="another")
    assert not (requests.folder / "old.json").exists()


def test_a_damaged_note_is_as_none(requests):
    did(requests, what={"new": 1})
    for wrong in ("", "[]", '{"at": "never"}', json.dumps({"at": 1000.0, "body": 1, "did": {}})):
        next(requests.folder.glob("*.json")).write_text(wrong)
        assert did(requests) is None


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot note"):
        did(Requests(tmp_path / "file"))


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "é"])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(Refused):
        require_key(key)
    assert require_key("7b1e-4f") == "7b1e-4f"
