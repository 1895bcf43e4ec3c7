"""Remote: models behind an HTTP endpoint, in the shape of OpenAI's, Cohere's or Ollama's.

`shapes` knows what they are asked and how they answer, `calling` sends one request until it is answered, `kept` remembers the
answers on disk, `usage` counts what they cost.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import SplitResult, urlsplit

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.artifacts import home
from vicino.data.files import well_formed
from vicino.encoders.base import Encoder, Role
from vicino.encoders.remote.calling import Caller, Patience, is_loopback
from vicino.encoders.remote.kept import Kept
from vicino.encoders.remote.shapes import SHAPES, Request, Shape
from vicino.encoders.remote.usage import Usage
from vicino.encoders.trust import require_trusted, vouch
from vicino.errors import DimensionMismatch, InputError, InputTooLarge, SpaceMismatch, UnknownName
from vicino.spaces import Canaries, fingerprint
from vicino.vectors import as_vectors

__all__ = ["Remote", "Usage"]

_CHARACTERS = 200_000  # of one request: servers take about 300,000 tokens, of a script with one token a character too
_CHARACTERS_A_TOKEN = 4  # in English; for servers that do not count
_PROBE = "Is this still the same model?"


class Remote(Encoder):
    """A text model behind an HTTP endpoint.

    `shape` says how it is asked: "openai" (also vLLM, TEI, LiteLLM, Mistral, Together ...), "cohere" or "ollama". `url` is where,
    up to and with `/v1`; by default the server that the shape is named after. `model` is its name there, `dimensions` asks for
    shorter vectors. `prompts` ("query", "document") are put before the texts; Cohere is told the role besides. An empty text is
    sent as a space: servers refuse empty ones.

    **The key** is read from the environment when it is needed, and stands nowhere else: from the variable `key_env`; else, for
    the shape's own server only, from OPENAI_API_KEY, or COHERE_API_KEY or CO_API_KEY. It never goes to where a server redirects,
    nor over plain http to another machine, unless `allow_http`. A saved encoder with a `key_env` is refused (InputError) unless
    this process asked its host before, or VICINO_TRUST names the host.

    **Requests** hold up to `batch_size` texts (by default what suits the shape) and 200,000 characters; `max_concurrent` are
    under way at a time. `encode`'s own batch_size is not used. What may pass (408, 409, 425, 429, 5xx, silence for `timeout`
    seconds, a broken connection) is sent again, up to `retries` times, after what Retry-After says or a doubled wait. A batch
    that is too large is halved. A text that is too long is refused by OpenAI's model; Cohere's and Ollama's servers cut it, and
    do not say so.

    **Answers** are kept under `vicino.artifacts.home()`, in cache/remote, batch by batch, unless `cache` is False: a text is paid
    for once, and what was answered before an error, or before the process was killed, is not lost. `usage` counts requests,
    tokens and, at `price_per_million` tokens, money.

    **The space** is shape, host, path, model, dimensions and prompts: all that a client can know. A model that changes silently
    is noticed all the same: a process sends one known text along with its first request, and where its vector moved from the one
    that is kept (cosine under 0.99), SpaceMismatch is raised before old and new can mix. With `cache=False`, the canaries of
    saved retrievers notice.

    Raises InputError (what is asked is wrong: key, url, model, request; with the server's words), InputTooLarge (a text too
    long), InvalidVectors and DimensionMismatch (a wrong answer), EndpointError (a server that fails) and MissingExtra.

    >>> Remote(url="http://localhost:8000/v1", model="bge-small")
    Remote(url='http://localhost:8000/v1', model='bge-small')
    """

    family: ClassVar[str] = "remote"
    pretrained: ClassVar[bool] = True

    _lock = threading.Lock()
    _usage = Usage()
    _opened: Caller | None = None
    _dim: int | None = None
    _verified: frozenset[str] = frozenset()  # roles in which the model was seen to be the one whose answers are kept

    def __init__(  # noqa: PLR0913 - a person names the few that matter
        self,
        *,
        url: str = "",
        model: str = "",
        shape: str = "openai",
        dimensions: int | None = None,
        prompts: Mapping[str, str] | None = None,
        key_env: str | None = None,
        batch_size: int | None = None,
        max_concurrent: int = 4,
        timeout: float = 60.0,
        retries: int = 6,
        price_per_million: float | None = None,
        cache: bool = True,
        allow_http: bool = False,
    ) -> None:
        self.url = url
        self.model = model
        self.shape = shape
        self.dimensions = dimensions
        self.prompts = prompts
        self.key_env = key_env
        self.batch_size = batch_size
        self.max_concurrent = max_concurrent
        self.timeout = timeout
        self.retries = retries
        self.price_per_million = price_per_million
        self.cache = cache
        self.allow_http = allow_http

    def set_params(self, **params: Any) -> Self:
        super().set_params(**params)
        self._opened = self._dim = None
        self._verified = frozenset()
        return self

    @property
    def dim(self) -> int:
        """The width of a vector. Asks the server once, where neither `dimensions` nor an answer told."""
        self._require_possible()
        if self._dim is None:
            self._dim = self.dimensions or self._encode([_PROBE], None, 1, "").shape[1]
        return self._dim

    @property
    def usage(self) -> Usage:
        """What was asked for and paid so far."""
        price = self.price_per_million
        return replace(self._usage, money=None if price is None else price * self._usage.tokens / 1e6)

    # What the contract asks of a family ---------------------------------------------------------------------------------

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:
        """Nothing: the model has learnt already."""

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32]:  # noqa: ARG002
        self._require_possible()
        as_role = "query" if role == "query" else "document"
        prompt = (self.prompts or {}).get(as_role, "")
        texts = [well_formed(prompt + item) or " " for item in items]
        unique = list(dict.fromkeys(texts))
        with closing(Kept(self._kept_file)) as kept:
            shelf = as_role if self._manners.has_roles else ""
            found, spared = kept.get(unique, shelf)
            self._count(cached=len(found), spared=round(spared))
            missing = [text for text in unique if text not in found]
            if missing:
                found |= self._ask_all(missing, as_role, kept)
        vectors = as_vectors([found[text] for text in texts], dim=self._dim)
        self._dim = vectors.shape[1]
        return vectors

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        self._require_possible()
        address = self._address
        plain = {
            "shape": self.shape,
            "url": f"{address.netloc.lower()}{address.path}",
            "model": self._model,
            "dimensions": self.dimensions,
            "prompts": dict(self.prompts or {}),
        }
        return plain, {}

    def _arrays(self) -> dict[str, Any]:
        return {}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002 - there are none
        self._require_trust(folder)

    def _require_trust(self, folder: Path) -> None:
        host = self._address.hostname or ""
        if self.key_env is not None:
            require_trusted(host, f"{folder} wants to send the key in {self.key_env} to {host}")

    # Asking -------------------------------------------------------------------------------------------------------------

    def _ask_all(self, texts: list[str], role: str, kept: Kept) -> dict[str, NDArray[np.float32]]:
        """Batch after batch; the first of all alone, since it tells the width, and whether the model is still the same."""
        call = _Call(role, self._key(), kept, threading.Event())
        probed = kept.path is not None and role not in self._verified
        if probed:
            texts = [_PROBE, *(text for text in texts if text != _PROBE)]
        batches = _batches(texts, self._batch_size)
        found: dict[str, NDArray[np.float32]] = {}
        with progress.task(f"Asking {self._model}", total=len(texts), unit="texts") as work:
            if probed or self._dim is None:
                first = batches.pop(0)
                found |= self._ask(first, call)
                self._verified |= {role}
                work.advance(len(first))
            for answered in self._at_once(batches, call):
                found |= answered
                work.advance(len(answered))
        return found

    def _at_once(self, batches: list[list[str]], call: _Call) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Several requests at a time. The first error stops those that wait; what is under way is still answered, and kept."""

        def ask(batch: list[str]) -> dict[str, NDArray[np.float32]]:
            if call.stop.is_set():
                return {}
            try:
                return self._ask(batch, call)
            except BaseException:
                call.stop.set()
                raise

        with ThreadPoolExecutor(self.max_concurrent, "vicino-remote") as threads:
            waiting = [threads.submit(ask, batch) for batch in batches]
            try:
                for done in as_completed(waiting):
                    yield done.result()
            finally:
                call.stop.set()
                threads.shutdown(cancel_futures=True)

    def _ask(self, texts: list[str], call: _Call) -> dict[str, NDArray[np.float32]]:
        """One batch, in halves where it is too large; what is answered is kept at once."""
        caller, request = self._caller, Request(self._model, texts, call.role, self.dimensions)
        self._count(requests=1)
        try:
            plain = caller.post(
                self._manners.body(request), key=call.key, stop=call.stop, retried=lambda: self._count(requests=1, retries=1)
            )
        except InputTooLarge as error:
            if len(texts) > 1:
                half = len(texts) // 2
                return self._ask(texts[:half], call) | self._ask(texts[half:], call)
            what = f"a text of {len(texts[0]):,} characters is refused, {texts[0][:60]!r}: {error.what}"
            raise InputTooLarge(what, mend="cut documents into chunks first, or leave this one out") from error
        try:
            answer = self._manners.answer(plain, len(texts))
            vectors = as_vectors(answer.vectors)
        except InputError as error:
            raise type(error)(f"{caller.url}: {error.what}", mend=error.mend) from error
        tokens = sum(map(len, texts)) / _CHARACTERS_A_TOKEN if answer.tokens is None else answer.tokens
        self._count(tokens=round(tokens), estimated=answer.tokens is None)
        found = dict(zip(texts, vectors, strict=True))
        shelf = call.role if self._manners.has_roles else ""
        if _PROBE in found:
            self._require_unmoved(found[_PROBE], call.kept, shelf)
        width = self._dim or self.dimensions or vectors.shape[1]
        if vectors.shape[1] != width:
            raise DimensionMismatch(
                f"{caller.url}: vectors of {vectors.shape[1]} dimensions, where {width} were asked for or given before",
                mend="check model= and dimensions=",
            )
        call.kept.put(found, shelf, tokens)
        self._dim = width
        return found

    def _require_unmoved(self, now: NDArray[np.float32], kept: Kept, shelf: str) -> None:
        then = kept.get([_PROBE], shelf)[0].get(_PROBE)
        if then is None:
            return
        try:
            Canaries([_PROBE], then[None]).check(lambda _: now[None])
        except SpaceMismatch as error:
            raise SpaceMismatch(
                f"{self._model} at {self._address.netloc} no longer gives the vectors that it gave: it is another model now",
                mend=f"embed again all that it embedded; first: rm {shlex.quote(str(kept.path))}",
            ) from error

    def _count(self, *, estimated: bool = False, **more: int) -> None:
        with self._lock:
            added = {name: getattr(self._usage, name) + count for name, count in more.items()}
            self._usage = replace(self._usage, estimated=self._usage.estimated or estimated, **added)

    # What the parameters mean -------------------------------------------------------------------------------------------

    def _require_possible(self) -> None:
        """Raise InputError for a number that cannot be."""
        least_of = {"dimensions": 1, "batch_size": 1, "max_concurrent": 1, "retries": 0, "timeout": 1e-3, "price_per_million": 0}
        for name, least in least_of.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value >= least):
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a number of {least:g} or more")

    @property
    def _manners(self) -> Shape:
        if self.shape not in SHAPES:
            raise UnknownName.among(self.shape, SHAPES, kind="shape of server")
        return SHAPES[self.shape]

    @property
    def _model(self) -> str:
        model = self.model or self._manners.model
        if not model:
            raise InputError("no model was named", mend=f"say which: remote(shape={self.shape},model=NAME)")
        return model

    @property
    def _address(self) -> SplitResult:
        """The url, known to be one that holds no secrets."""
        try:
            address = urlsplit((self.url or self._manners.url).strip().rstrip("/"))
            sound = address.scheme in ("http", "https") and address.hostname and (address.port or True)
        except ValueError:
            sound = False
        if not sound:
            raise InputError("the url is not one of a server", mend="write url=https://HOST/PATH")
        if "@" in address.netloc or address.query or address.fragment:
            raise InputError(
                f"the url of {address.hostname} holds more than host and path",
                mend="leave it out; a key is read from the environment: key_env=NAME",
            )
        return address

    @property
    def _caller(self) -> Caller:
        if self._opened is None:
            patience = Patience(float(self.timeout), self.retries)
            self._opened = Caller(self._address.geturl() + self._manners.path, patience, connections=self.max_concurrent)
        return self._opened

    @property
    def _batch_size(self) -> int:
        return self._manners.batch_size if self.batch_size is None else self.batch_size

    @property
    def _kept_file(self) -> Path | None:
        if not self.cache:
            return None
        known_as = re.sub(r"[^A-Za-z0-9._-]+", "-", self._model)[:60]
        made_by = {name: value for name, value in self._identity()[0].items() if name != "prompts"}  # they are in the texts
        return home() / "cache" / "remote" / f"{known_as}-{fingerprint(made_by)}.sqlite"

    def _key(self) -> str:
        """The key, or nothing where none is needed. Raises InputError where one is and is not there, or may not be sent."""
        address, own = self._address, urlsplit(self._manners.url)
        names = (self.key_env,) if self.key_env else self._manners.keys if address.hostname == own.hostname else ()
        key = next((value for name in names if (value := os.environ.get(name, "").strip())), "")
        if names and not key:
            raise InputError(f"{address.hostname} needs a key, and {names[0]} is not set", mend=f"export {names[0]}=your-key")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise InputError(f"what stands in {names[0]} is no key", mend=f"export {names[0]}=your-key")
        if key and address.scheme == "http" and not is_loopback(address.hostname or "") and not self.allow_http:
            raise InputError(
                f"the key in {names[0]} would travel unencrypted to {address.hostname}",
                mend="give an https:// url; on a network that you trust: allow_http=true",
            )
        vouch(address.hostname or "")
        return key


@dataclass(frozen=True)
class _Call:
    """What the requests of one call have in common; `stop` is set when one of them fails."""

    role: str
    key: str = field(repr=False)
    kept: Kept
    stop: threading.Event


def _batches(texts: Sequence[str], size: int) -> list[list[str]]:
    """Texts in order, no more than `size` and _CHARACTERS together.

    >>> [len(batch) for batch in _batches(["a"] * 5, 2)]
    [2, 2, 1]
    """
    batches: list[list[str]] = []
    room = 0
    for text in texts:
        if not batches or len(batches[-1]) == size or len(text) > room:
            batches.append([])
            room = _CHARACTERS
        batches[-1].append(text)
        room -= len(text)
    return batches
