"""A tiny cross-encoder, made on the spot."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("checkpoints", Path(__file__).parents[1] / "encoders" / "conftest.py")
_checkpoints = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_checkpoints)
checkpoint = _checkpoints.checkpoint


@pytest.fixture(scope="session")
def crossing(checkpoint, tmp_path_factory) -> Path:
    """Its folder, as vicino saves it; its weights are random."""
    import torch

    from vicino.encoders.transformer.crossing import CrossEncoder, trainable_pairs

    model = trainable_pairs(str(checkpoint("bert", model_max_length=48)), limit=None, dropout=0.0, seed=1)
    with torch.no_grad():
        model.network.classifier.weight.mul_(20)
    plain = tmp_path_factory.mktemp("plain")
    model.save(plain)
    return CrossEncoder(model=str(plain), precision="float32").save(tmp_path_factory.mktemp("crossing") / "rr")
