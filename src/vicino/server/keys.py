"""Keys: who may ask a server what, and of which tenant. Each is shown once; the file can check one, not give one back.

A key reads `vicino_ID_SECRET`: the id says which line of the file to check, the secret has 256 random bits. The file is JSON, for
its owner alone (mode 0600), written whole or not at all. A secret is kept as its scrypt digest (Percival 2009, RFC 7914; with
N = 2^14, r = 8, p = 1: 16 MiB and some 50 ms) under a salt of its own, so that a copy of the file opens nothing. `Keyring` pays
that once for each key: what it found right it knows again by a digest in memory, under a secret of this process.

No file at all means that nobody made a key yet. A file without keys means that all were revoked: nobody gets in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import tempfile
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from vicino.artifacts import locked
from vicino.errors import ArtifactCorrupt, ArtifactError, ArtifactTooNew, DuplicateIds, InputError, UnknownName

__all__ = ["FORMAT", "SCOPES", "Key", "Keyring", "Scope", "add", "listed", "revoke"]

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each holds those before it
FORMAT = 1

_TEXT = re.compile(r"vicino_([0-9a-f]{12})_([0-9A-Za-z_-]{43})", re.ASCII)
_NAME = re.compile(r"\w[\w.@-]{0,63}")
_LONGEST_TENANT = 200  # characters


@dataclass(frozen=True)
class Key:
    """What is kept of a key: who has it, what it may (`scope` and those before it), for which tenant, and how to check it."""

    id: str
    name: str
    scope: Scope
    tenant: str
    created: str
    salt: str
    digest: str

    @property
    def scopes(self) -> frozenset[str]:
        """All that it may.

        >>> sorted(Key("0", "ci", "write", "", "", "", "").scopes)
        ['read', 'write']
        """
        return frozenset(SCOPES[: SCOPES.index(self.scope) + 1])


def add(file: Path, name: str, *, scope: str = "read", tenant: str = "") -> tuple[Key, str]:
    """Make a key and keep it; the text, which nobody can see again, is the second value.

    Raises InputError (name, tenant), UnknownName (scope), DuplicateIds (there is a key of this name), ArtifactError.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     key, text = add(Path(folder) / "keys.json", "ci", tenant="acme")
    ...     Keyring(Path(folder) / "keys.json").verify(text) == key
    True
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a key", mend="give up to 64 letters, digits, . _ - and @, such as ann@desk")
    if scope not in SCOPES:
        raise UnknownName.among(scope, SCOPES, kind="scope")
    if len(tenant) > _LONGEST_TENANT or not tenant.isprintable():
        raise InputError(f"{tenant[:50]!r} is no tenant", mend=f"give up to {_LONGEST_TENANT} printable characters")
    secret, salt = secrets.token_urlsafe(32), secrets.token_hex(16)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    key = Key(secrets.token_hex(6), name, scope, tenant, made, salt, _digest(secret, salt))
    _make_folder(file)
    with locked(file.with_name(f".{file.name}.lock")):
        keys = _read(file) or ()
        if name in (each.name for each in keys):
            raise DuplicateIds(f"there is a key {name!r} already", mend=f"give another name, or first: vicino keys revoke {name}")
        _write(file, (*keys, key))
    return key, f"vicino_{key.id}_{secret}"


def listed(file: Path) -> tuple[Key, ...]:
    """The keys there are, the oldest first. Raises InputError, ArtifactError and its kinds for a file that cannot be used."""
    return _read(file) or ()


def revoke(file: Path, name: str) -> Key:
    """Take away the key of a name or an id: servers that run refuse it from then on. Raises UnknownName, and as `add` does."""
    _make_folder(file)
    with locked(file.with_name(f".{file.name}.lock")):
        keys = _read(file) or ()
        found = next((key for key in keys if name in (key.name, key.id)), None)
        if found is None:
            raise UnknownName.among(name, [key.name for key in keys], kind="key")
        _write(file, tuple(key for key in keys if key is not found))
    return found


class Keyring:
    """The keys of a file, read again when it changes, and those that were checked already.

    `refresh`, `closed` and `known` cost next to nothing; `verify` costs a scrypt for every text in the form of a key, there is
    one of its id or not, so that time tells nothing.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, ...] | None = None  # of the file when it was read
        self._keys: dict[str, Key] = {}
        self._checked: dict[bytes, Key] = {}  # digest of the text -> the key; never more than there are keys
        self._secret = secrets.token_bytes(32)
        self._none = Key("", "", "read", "", "", secrets.token_hex(16), secrets.token_hex(64))
        self.closed = False
        self.refresh()

    def refresh(self) -> None:
        """See what was added or revoked. Raises as `listed`; nobody gets in before the file is mended."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            self._seen, self._keys, self._checked = None, {}, {}  # once closed it stays so: a file that is lost opens nothing
            return
        except OSError as error:
            raise ArtifactError(f"{self._file} cannot be read: {error}", mend="check its permissions") from error
        seen = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
        if seen == self._seen:
            return
        self.closed, self._seen, self._keys, self._checked = True, None, {}, {}
        self._keys = {key.id: key for key in listed(self._file)}
        self._seen = seen

    def known(self, text: str) -> Key | None:
        """The key of this text, if it was verified before and still stands."""
        key = self._checked.get(self._mark(text))
        return key if key is not None and self._keys.get(key.id) == key else None  # revoked while it was being verified, perhaps

    def verify(self, text: str) -> Key | None:
        """The key of this text, or None. For a thread: it lasts."""
        read = _TEXT.fullmatch(text)
        if read is None:
            return None
        key = self._keys.get(read[1], self._none)
        right = hmac.compare_digest(_digest(read[2], key.salt), key.digest)
        if not right or key is self._none:
            return None
        self._checked[self._mark(text)] = key
        return key

    def _mark(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._secret).digest()


# The file -----------------------------------------------------------------------------------------------------------


def _digest(secret: str, salt: str) -> str:
    return hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), n=1 << 14, r=8, p=1, dklen=64).hex()


def _read(file: Path) -> tuple[Key, ...] | None:
    """The keys of a file; None where there is none."""
    try:
        with file.open("rb") as handle:
            mode, raw = os.fstat(handle.fileno()).st_mode, handle.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read: {error}", mend="check its permissions") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InputError(f"others on this machine may write {file}, and so make keys", mend=f"chmod 600 {file}")
    try:
        plain = json.loads(raw)
        if plain["format"] > FORMAT:
            raise ArtifactTooNew(f"{file} has format {plain['format']}; this vicino reads up to {FORMAT}", mend="update vicino")
        keys = tuple(Key(**each) for each in plain["keys"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _corrupt(file, type(error).__name__) from error
    for key in keys:
        if not all(isinstance(getattr(key, each.name), str) for each in fields(Key)) or key.scope not in SCOPES:
            raise _corrupt(file, f"the key {key.name!r} lacks its fields")
        if not re.fullmatch(r"(?:[0-9a-f]{2})+", key.salt):
            raise _corrupt(file, f"the key {key.name!r} cannot be checked")
    return keys


def _corrupt(file: Path, why: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"{file} holds no keys that can be read ({why})", mend="restore it, or move it away and make new keys")


def _write(file: Path, keys: tuple[Key, ...]) -> None:
    text = json.dumps({"format": FORMAT, "keys": [asdict(key) for key in keys]}, indent=1)
    try:
        handle, fresh = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            os.replace(fresh, file)
        except OSError:
            Path(fresh).unlink(missing_ok=True)
            raise
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ArtifactError(f"cannot write {file}: {error}", mend="free some space, or check who may write there") from error


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot write {file}: {error}", mend="choose a VICINO_HOME that you may write to") from error
