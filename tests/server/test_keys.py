"""Keys: made once, kept as digests, found again, revoked; and the commands that do it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from vicino import cli
from vicino.errors import ArtifactCorrupt, ArtifactError, ArtifactTooNew, DuplicateIds, InputError, UnknownName
from vicino.server import keys
from vicino.server.keys import Keyring, add, listed, revoke


@pytest.fixture
def file(tmp_path):
    return tmp_path / "home" / "keys.json"


@pytest.fixture
def scrypts(monkeypatch):
    """A list that grows by one with every scrypt."""
    made, real = [], hashlib.scrypt
    monkeypatch.setattr(hashlib, "scrypt", lambda *given, **named: made.append(1) or real(*given, **named))
    return made


def test_a_key_is_found_by_its_text_and_by_no_other(file):
    key, text = add(file, "ci", scope="write", tenant="acme")
    other, another = add(file, "ops", scope="admin")
    ring = Keyring(file)
    assert ring.verify(text) == key
    assert ring.verify(another) == other
    assert (key.scopes, other.scopes) == ({"read", "write"}, {"read", "write", "admin"})
    changed = text[:-1] + ("a" if text[-1] != "a" else "b")
    mixed = f"vicino_{key.id}_{another.rpartition(f'{other.id}_')[2]}"  # the id of one, the secret of the other
    for wrong in (changed, mixed, text[:-1], text + "a", text.upper(), f" {text}", f"{text}\n", "", "vicino__", key.digest):
        assert ring.verify(wrong) is None
        assert ring.known(wrong) is None


def test_the_file_holds_no_secret_and_is_its_owners_alone(file):
    _, text = add(file, "ci")
    raw = file.read_bytes()
    assert text.rpartition("_")[2].encode() not in raw
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    one, two = (json.loads(raw)["keys"][0], add(file.with_name("other.json"), "ci")[0])
    assert one["salt"] != two.salt
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_digest_is_scrypt_as_its_rfc_has_it(file):
    key, text = add(file, "ci")
    secret = text[len(f"vicino_{key.id}_") :]
    told = hashlib.scrypt(secret.encode(), salt=bytes.fromhex(key.salt), n=2**14, r=8, p=1, dklen=64)
    assert key.digest == told.hex()
    assert len(secret) == 43  # 256 bits in base64


def test_what_was_verified_once_costs_no_scrypt_again(file, scrypts):
    _, text = add(file, "ci")
    ring = Keyring(file)
    assert ring.known(text) is None
    scrypts.clear()
    key = ring.verify(text)
    assert len(scrypts) == 1
    assert ring.known(text) == key
    assert len(scrypts) == 1


def test_an_unknown_id_costs_as_much_as_a_wrong_secret(file, scrypts):
    key, _ = add(file, "ci")
    ring = Keyring(file)
    for wrong in (f"vicino_{key.id}_{'a' * 43}", f"vicino_{'0' * 12}_{'a' * 43}"):
        scrypts.clear()
        assert ring.verify(wrong) is None
        assert len(scrypts) == 1
    scrypts.clear()
    assert ring.verify("sk-no-key-of-ours") is None
    assert not scrypts


def test_a_running_ring_sees_keys_come_and_go(file):
    ring = Keyring(file)
    assert not ring.closed
    _, text = add(file, "ci")
    ring.refresh()
    assert ring.closed
    assert ring.verify(text).name == "ci"
    revoke(file, "ci")
    ring.refresh()
    assert ring.known(text) is None
    assert ring.verify(text) is None
    assert ring.closed  # the last key is gone: nobody comes in
    file.unlink()
    ring.refresh()
    assert ring.closed
    assert Keyring(file).closed is False  # nobody ever made one, as far as a new server can tell


def test_a_key_revoked_while_it_is_being_verified_is_not_known_afterwards(file, monkeypatch):
    _, text = add(file, "ci")
    ring = Keyring(file)
    real = hashlib.scrypt

    def meanwhile(*given, **named):
        monkeypatch.setattr(hashlib, "scrypt", real)
        revoke(file, "ci")
        ring.refresh()
        return real(*given, **named)

    monkeypatch.setattr(hashlib, "scrypt", meanwhile)
    ring.verify(text)
    assert ring.known(text) is None


def test_many_at_once_lose_no_key(file):
    names = [f"n{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        made = dict(zip(names, pool.map(lambda name: add(file, name)[0], names), strict=True))
    assert {key.name: key for key in listed(file)} == made
    assert revoke(file, made["n3"].id).name == "n3"
    assert len(listed(file)) == 11


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_full_disk_leaves_the_keys_there_were(file, monkeypatch, broken):
    add(file, "ci")
    before = file.read_bytes()

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(ArtifactError, match="No space left"):
        add(file, "another")
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert {path.name for path in file.parent.iterdir()} == {"keys.json", ".keys.json.lock"}  # nothing half written stays


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"name": ""}, InputError),
        ({"name": "a b"}, InputError),
        ({"name": "a\n"}, InputError),
        ({"name": "../a"}, InputError),
        ({"name": "a" * 65}, InputError),
        ({"name": "a", "scope": "root"}, UnknownName),
        ({"name": "a", "tenant": "x\x1b[2J"}, InputError),
        ({"name": "a", "tenant": "x" * 201}, InputError),
        ({"name": "ci"}, DuplicateIds),
    ],
)
def test_what_makes_no_key(file, given, error):
    add(file, "ci")
    with pytest.raises(error) as caught:
        add(file, **given)
    assert caught.value.mend
    assert [key.name for key in listed(file)] == ["ci"]


def test_revoking_what_is_not_there_offers_what_is(file):
    with pytest.raises(UnknownName, match="none yet"):
        revoke(file, "ci")
    assert not file.exists()  # it would close the server
    add(file, "desk")
    with pytest.raises(UnknownName, match="did you mean desk"):
        revoke(file, "dsk")


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", ArtifactCorrupt),
        (b"{", ArtifactCorrupt),
        (b"[]", ArtifactCorrupt),
        (b"\xff\xfe", ArtifactCorrupt),
        (b"[" * 100_000, ArtifactCorrupt),
        (b'{"format": 1, "keys": [{"id": "x"}]}', ArtifactCorrupt),
        (b'{"format": 1, "keys": 3}', ArtifactCorrupt),
        (b'{"format": "1", "keys": []}', ArtifactCorrupt),
        (b'{"format": 2, "keys": []}', ArtifactTooNew),
    ],
)
def test_a_damaged_file_lets_nobody_in(file, raw, error):
    _, text = add(file, "ci")
    ring = Keyring(file)
    ring.verify(text)
    file.write_bytes(raw)
    for _ in range(2):  # not the second time either
        with pytest.raises(error):
            ring.refresh()
        assert ring.closed
        assert ring.known(text) is None
    with pytest.raises(error):
        add(file, "another")
    assert file.read_bytes() == raw


@pytest.mark.parametrize("field", ["scope", "salt", "tenant"])
def test_a_key_without_sense_is_not_passed_over(file, field):
    add(file, "ci")
    plain = json.loads(file.read_text())
    plain["keys"][0][field] = {"scope": "root", "salt": "zz", "tenant": None}[field]
    file.write_text(json.dumps(plain))
    with pytest.raises(ArtifactCorrupt, match="ci"):
        listed(file)


def test_a_file_that_others_may_write_is_not_believed(file):
    add(file, "ci")
    file.chmod(0o666)
    with pytest.raises(InputError, match="chmod 600"):
        Keyring(file)


# The commands ---------------------------------------------------------------------------------------------------------


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    try:
        cli.main(["keys", *arguments])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_keys_are_made_listed_and_revoked_on_the_command_line(file, capsys, monkeypatch):
    monkeypatch.setenv("VICINO_HOME", str(file.parent))
    assert "vicino keys add" in run(capsys, "list")[2]
    code, text, hint = run(capsys, "add", "ann", "--scope", "admin")
    assert code == 0
    assert Keyring(file).verify(text.strip()).scope == "admin"
    assert text.strip() not in hint  # hints go to terminals and logs
    made = json.loads(run(capsys, "add", "bob", "--tenant", "acme", "--json")[1])
    assert Keyring(file).verify(made["key"]).tenant == "acme"
    code, shown, _ = run(capsys, "list")
    assert code == 0
    assert all(word in shown for word in ("ann", "admin", "bob", "acme", made["id"]))
    rows = json.loads(run(capsys, "list", "--json")[1])
    assert [row["name"] for row in rows] == ["ann", "bob"]
    assert {"salt", "digest", "key"}.isdisjoint(rows[0])
    assert run(capsys, "revoke", "ann")[0] == 0
    code, _, hint = run(capsys, "revoke", made["id"])
    assert code == 0
    assert "nobody comes in" in hint
    assert run(capsys, "revoke", "ann")[0] == 2
    assert run(capsys, "add", "x", "--scope", "rite")[0] == 2
    assert listed(file) == ()


def test_making_keys_takes_no_extra(python):
    program = "import sys, vicino.cli.keys, vicino.server.keys, vicino.server.settings\n"
    loaded = python(program + "print(*[name for name in ('fastapi', 'starlette', 'numpy') if name in sys.modules])")
    assert "fastapi" not in loaded
    assert "starlette" not in loaded


def test_scopes_hold_those_before_them():
    assert keys.SCOPES == ("read", "write", "admin")
