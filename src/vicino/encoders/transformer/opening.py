"""Opening what a model folder holds through transformers: the network, its tokenizer, the device; quietly and with named errors.

Only safetensors are opened, no code of a model is ever run, and a network with weights missing is refused rather than
filled with random numbers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vicino.encoders.transformer.folder import ModelFolder
from vicino.errors import InputError, MissingExtra, UnreadableSource

if TYPE_CHECKING:
    import torch

__all__ = [
    "explained",
    "most_positions",
    "open_network",
    "open_tokenizer",
    "pick_device",
    "quiet",
    "require_torch",
    "require_weights",
]

# What the tables of learnt positions are called: BERT, RoBERTa, MPNet, DistilBERT ...; GPT-2.
_POSITIONS = ("position_embeddings", "wpe")


def require_torch() -> None:
    """Raise MissingExtra where torch or transformers are not installed."""
    try:
        import torch  # noqa: F401 - asked whether they are there
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra.named("torch", needed_by="transformer encoders") from error


def pick_device(name: str) -> torch.device:
    """A device by name; "auto" takes an accelerator where there is one. Raises InputError."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"there is no device {name!r} here", mend="give auto, cpu, cuda, cuda:1, mps ...") from error
    return device


def open_tokenizer(folder: ModelFolder) -> Any:
    """The folder's tokenizer. Raises UnreadableSource."""
    from transformers import AutoTokenizer

    with explained(folder):
        return AutoTokenizer.from_pretrained(
            str(folder.body), local_files_only=True, trust_remote_code=False, **folder.tokenizer_arguments
        )


def open_network(folder: ModelFolder) -> Any:
    """The network in float32, every weight of it read from safetensors. Raises UnreadableSource."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

    where = {"local_files_only": True, "trust_remote_code": False}
    with explained(folder):
        config = AutoConfig.from_pretrained(str(folder.body), **where, **folder.config_arguments)
        config.use_cache = False  # nothing is generated
        # T5 and its kin are encoders here, without their decoder; BART and its kin are whole, as in sentence-transformers.
        halved = config.is_encoder_decoder and type(config) in AutoModelForTextEncoding._model_mapping
        family = AutoModelForTextEncoding if halved else AutoModel
        network, report = family.from_pretrained(
            str(folder.body), config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **where
        )
    require_weights(folder, report, lambda name: "pooler" in name)
    return network.eval().requires_grad_(False)


def require_weights(folder: ModelFolder, report: Mapping[str, Any], dispensable: Callable[[str], bool]) -> None:
    """Raise UnreadableSource where transformers reports a weight that is missing, of another shape, and not dispensable."""
    absent = [name for name in report["missing_keys"] if not ("position_ids" in name or dispensable(name))]
    absent += [str(name) for name in report["mismatched_keys"]]
    if absent:
        raise UnreadableSource(
            f"{folder.body} lacks {len(absent)} of its weights ({absent[0]} ...)", mend="download or save the model again"
        )


def most_positions(network: Any) -> int | None:
    """How many tokens a learnt table of positions holds; None where the network has none."""
    import torch

    for name, table in network.named_modules():
        if isinstance(table, torch.nn.Embedding) and name.rpartition(".")[2] in _POSITIONS:
            first = 0 if table.padding_idx is None else table.padding_idx + 1  # RoBERTa and its kin begin after the padding
            return int(table.num_embeddings) - first
    return None


@contextmanager
def explained(folder: ModelFolder) -> Iterator[None]:
    """Errors of transformers, by name and with what to do."""
    from safetensors import SafetensorError

    named = (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError, SafetensorError)
    try:
        yield
    except Exception as error:
        if not (isinstance(error, named) or type(error) is Exception):  # the tokenizers library raises nothing more exact
            raise
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnreadableSource(
            f"{folder.body} cannot be opened: {first}",
            mend="check that the folder is whole (download or save it again), or: pip install --upgrade transformers",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no bars of transformers while the block runs."""
    from transformers.utils import logging as words

    level, bars = words.get_verbosity(), words.is_progress_bar_enabled()
    words.set_verbosity(logging.CRITICAL)
    words.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        words.set_verbosity(level)
        if bars:
            words.enable_progress_bar()  # type: ignore[no-untyped-call]
