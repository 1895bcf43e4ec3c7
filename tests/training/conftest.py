"""The tiny checkpoints of the encoders' tests, and pairs that a tiny network can learn."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("checkpoints", Path(__file__).parents[1] / "encoders" / "conftest.py")
_checkpoints = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_checkpoints)
checkpoint, router = _checkpoints.checkpoint, _checkpoints.router
sentence_transformers = _checkpoints.sentence_transformers


@pytest.fixture(scope="session")
def base(checkpoint) -> str:
    return str(checkpoint("bert"))


@pytest.fixture
def ctrl_c() -> Callable[..., AbstractContextManager[None]]:
    """`with ctrl_c(place, "name", at=3):` presses Ctrl-C in the third call of `place.name`, which ends the block."""

    @contextmanager
    def pressed(place, name, at):
        work, calls = getattr(place, name), itertools.count(1)

        def interrupted(*given, **more):
            if next(calls) == at:
                os.kill(os.getpid(), signal.SIGINT)
            return work(*given, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(place, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                yield

    return pressed


@pytest.fixture(scope="session")
def ciphered(tmp_path_factory) -> Callable[..., Path]:
    """`ciphered(shuffled=False)`: a file of pairs, where each word of an answer stands for a word of its question.

    Nothing but training tells which; where answers are shuffled nothing does.
    """

    @functools.cache
    def write(*, shuffled: bool = False, n: int = 400) -> Path:
        random = np.random.default_rng(0)
        words = [word for word in _checkpoints.WORDS.split() if len(word) > 2]
        code = dict(zip(words, random.permutation(words), strict=True))
        asked = [random.permutation(words)[:5].tolist() for _ in range(n)]
        answers = [" ".join(code[word] for word in each) for each in asked]
        if shuffled:
            answers = random.permutation(answers).tolist()
        path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
        rows = [{"question": " ".join(each), "answer": answer} for each, answer in zip(asked, answers, strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write
