"""What a sentence-transformers folder says, read without torch: where it is, which modules follow one another, and what it is.

The folder format is that of sentence-transformers: `modules.json` lists the modules, `sentence_bert_config.json` holds the
length limit, `config_sentence_transformers.json` the prompts. A folder without `modules.json` is a plain transformers
checkpoint. Weights are read from safetensors only: nothing is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar, get_args

from vicino.encoders.base import Role
from vicino.encoders.transformer.modules import CHOOSE, Module, listed, making_sense, read_json
from vicino.encoders.transformer.sources import digest
from vicino.errors import UnknownName, UnreadableSource
from vicino.vectors import Similarity

__all__ = [
    "POOLINGS",
    "VOCABULARY",
    "Dense",
    "ModelFolder",
    "Normalize",
    "Pooling",
    "Step",
    "Task",
    "pooling_modes",
    "read_folder",
]

# Pooling modes and the flags that named them before sentence-transformers 5.4, in the order in which flags concatenate.
POOLINGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
_LENGTHS = (  # where sentence-transformers has kept the length limit over the years
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
VOCABULARY = (
    *("tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt"),
    *("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "tokenizer.model.v3", "bpe.codes", "vocab.bpe"),
)
_PICKLED = ("*.bin", "*.pt", "*.ckpt", "*.h5", "*.msgpack")
# Keys that name where a file came from or how it is computed with, not what it computes.
_HEARSAY = {
    *("_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "is_local"),
    *("local_files_only", "special_tokens_map_file", "tokenizer_file", "model_max_length", "_attn_implementation_autoset"),
}
_OURS = ("trust_remote_code", "use_cache", "token", "revision", "cache_dir", "local_files_only")  # not for a folder to say
Task = Literal["feature-extraction", "sequence-classification"]
_OUTPUTS = {  # of a network with this task: what sentence-transformers calls it, and what transformers does
    "feature-extraction": ("token_embeddings", "last_hidden_state"),
    "sequence-classification": ("scores", "logits"),
}
T = TypeVar("T")
_NO_LIMIT = 10**9  # transformers writes 1e30 where a tokenizer has no limit


@dataclass(frozen=True)
class Pooling:
    """From one vector a token to one a text; several modes are concatenated."""

    modes: tuple[str, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """A linear layer and its activation (a class of torch.nn), with weights in `weights`."""

    weights: Path
    width: int
    activation: str
    residual: bool


@dataclass(frozen=True)
class Normalize:
    """Division by the Euclidean length."""


Step = Pooling | Dense | Normalize


@dataclass(frozen=True)
class ModelFolder:
    """A model folder as its JSON files describe it; `steps` follow the network, a Pooling first."""

    path: Path
    body: Path  # where config.json, the weights and the tokenizer are: `path` or a subfolder of it
    config: Mapping[str, Any]
    steps: tuple[Step, ...]
    limit: int | None  # tokens, special ones included
    lower: bool
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    similarity: Similarity
    truncate_dim: int | None
    config_arguments: Mapping[str, Any]
    tokenizer_arguments: Mapping[str, Any]

    @property
    def pooling(self) -> Pooling:
        """The first step."""
        return next(step for step in self.steps if isinstance(step, Pooling))

    @property
    def width(self) -> int:
        """The width of a sentence vector before `truncate_dim`."""
        for step in reversed(self.steps):
            if isinstance(step, Dense):
                return step.width
        return self.token_width * len(self.pooling.modes)

    @property
    def token_width(self) -> int:
        """The width of a token vector."""
        inner = self.config.get("text_config")
        for config in (self.config, inner if isinstance(inner, Mapping) else {}):
            for key in ("hidden_size", "d_model", "n_embd", "dim"):
                if isinstance(config.get(key), int):
                    return int(config[key])
        raise UnreadableSource(
            f"{self.body / 'config.json'} does not say how wide its vectors are", mend="choose a text model of transformers"
        )

    @property
    def weights(self) -> tuple[Path, ...]:
        """The network's safetensors files. Raises UnreadableSource where there are none."""
        return _weights(self.body)

    def prompt(self, role: Role) -> str:
        """What is put before a text: a query's prompt, a document's, or the default one."""
        if role is None:
            return self.prompts.get(self.default_prompt_name or "", "")
        names = ("query",) if role == "query" else ("document", "passage", "corpus")
        return next((self.prompts[name] for name in names if name in self.prompts), "")

    def identity(self) -> dict[str, Any]:
        """All that decides a vector, by content; the SHA-256 of weights is the figure that a model hub shows."""
        tokenizer = read_json(self.body / "tokenizer_config.json")
        vocabulary = [self.body / name for name in VOCABULARY if (self.body / name).is_file()]
        return {
            "weights": [digest(file) for file in self.weights],
            "vocabulary": {file.name: digest(file) for file in vocabulary},
            "network": {**_without_hearsay(self.config), **self.config_arguments},
            "tokenizer": {**_without_hearsay(tokenizer), **self.tokenizer_arguments},
            "steps": [_described(step) for step in self.steps],
            "limit": self.limit,
            "lower": self.lower,
            "prompts": {role or "default": self.prompt(role) for role in (None, *_ROLES)},
            "truncate_dim": self.truncate_dim,
        }


_ROLES: tuple[Role, ...] = ("query", "document")


def read_folder(path: Path, *, task: Task = "feature-extraction", modules: Sequence[Module] | None = None) -> ModelFolder:
    """Read and check a model folder's JSON files; nothing may follow a network whose task is to give scores itself.

    `modules` stand in the place of those that the folder lists: see `routes`. Raises UnknownName (a module that vicino does not
    have) or UnreadableSource (missing or broken files, or a setting that would change the vectors and is not supported).
    """
    with making_sense(path):
        return _read(path, task, modules or listed(path))


def _read(path: Path, task: Task, modules: Sequence[Module]) -> ModelFolder:
    if [kind for kind, _ in modules].count("Transformer") != 1 or modules[0][0] != "Transformer":
        raise UnreadableSource(f"{path / 'modules.json'} does not begin with its one Transformer", mend=CHOOSE)
    body = path / modules[0][1]
    config = read_json(body / "config.json", required=True)
    if (body / "adapter_config.json").is_file():
        raise UnreadableSource(
            f"{body} holds an adapter, not a whole model",
            mend="merge it into its base with peft's merge_and_unload(), save the result, and give that folder",
        )
    text = next(filter(None, (read_json(body / name) for name in _LENGTHS)), {})
    _require_plain_text(body, text, task)
    steps = tuple(_step(kind, path / place) for kind, place in modules[1:])
    if task == "feature-extraction":
        steps = steps or (_usual_pooling(config),)
        if not isinstance(steps[0], Pooling) or any(isinstance(step, Pooling) for step in steps[1:]):
            raise UnreadableSource(f"{path / 'modules.json'} does not have one Pooling after its Transformer", mend=CHOOSE)
    elif steps:
        raise UnreadableSource(f"{path / 'modules.json'} has modules after its Transformer", mend=CHOOSE)
    whole = read_json(path / "config_sentence_transformers.json")
    return ModelFolder(
        path=path,
        body=body,
        config=config,
        steps=steps,
        limit=_limit(config, text, read_json(body / "tokenizer_config.json")),
        lower=bool(text.get("do_lower_case")),
        prompts={name: _of(str, prompt) or "" for name, prompt in (whole.get("prompts") or {}).items()},
        default_prompt_name=_of(str, whole.get("default_prompt_name")),
        similarity=_similarity(path, whole.get("similarity_fn_name") or "cosine"),
        truncate_dim=_of(int, whole.get("truncate_dim")),
        config_arguments=_arguments(text, "config_kwargs", "config_args"),
        tokenizer_arguments=_arguments(text, "processor_kwargs", "tokenizer_args"),
    )


def _step(kind: str, folder: Path) -> Step:
    config = read_json(folder / "config.json", required=kind != "Normalize")
    read, written = config.get("module_input_name", "sentence_embedding"), config.get("module_output_name")
    if {read, written or read} != {"sentence_embedding"}:
        raise UnreadableSource(f"{folder} works on {read}, not on the vectors of sentences", mend=CHOOSE)
    if kind == "Pooling":
        return Pooling(_modes(config, folder), bool(config.get("include_prompt", True)))
    if kind == "Normalize":
        return Normalize()
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    if not activation.startswith("torch.nn."):
        raise UnreadableSource(f"{folder} uses the activation {activation}, which is not torch's", mend=CHOOSE)
    return Dense(
        weights=_weights(folder)[0],
        width=int(config["out_features"]),
        activation=activation.rpartition(".")[2],
        residual=bool(config.get("use_residual")),
    )


def _modes(config: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    asked = config.get("pooling_mode") or [mode for mode, flag in POOLINGS.items() if config.get(flag)] or "mean"
    return pooling_modes(asked, where=f" (in {folder})")


def pooling_modes(asked: str | Sequence[str], *, where: str = "") -> tuple[str, ...]:
    """The modes of a pooling. Raises UnknownName.

    >>> pooling_modes("mean"), pooling_modes(["cls", "max"])
    (('mean',), ('cls', 'max'))
    """
    modes = (asked,) if isinstance(asked, str) else tuple(asked)
    for mode in modes:
        if mode not in POOLINGS:
            raise UnknownName.among(f"{mode}{where}", POOLINGS, kind="pooling")
    return modes


def _usual_pooling(config: Mapping[str, Any]) -> Pooling:
    """For a plain checkpoint: the last token where a model only ever looks back, else the mean."""
    causal = any(str(name).endswith("ForCausalLM") for name in (config.get("architectures") or [])[:1])
    return Pooling(("lasttoken" if causal and config.get("is_causal", True) else "mean",))


def _limit(config: Mapping[str, Any], text: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int | None:
    """The longest text in tokens, special ones included, as sentence-transformers settles it; None where there is no limit."""
    arguments = _arguments(text, "processor_kwargs", "tokenizer_args")
    stated = arguments.get("model_max_length", text.get("max_seq_length"))
    if stated is None:
        positions = config.get("max_position_embeddings")
        if positions is None and "t5" not in str(config.get("model_type")):  # T5 has the key and no table
            positions = config.get("n_positions")
        known = [limit for limit in (tokenizer.get("model_max_length"), positions) if limit is not None and limit > 0]
        stated = min(known, default=_NO_LIMIT)
    return int(stated) if stated < _NO_LIMIT else None


def _require_plain_text(body: Path, text: Mapping[str, Any], task: Task) -> None:
    """Refuse what would change the output and is not done here."""
    named, output = _OUTPUTS[task]
    usual = {"transformer_task": task, "module_output_name": named}
    unusual = [key for key, value in usual.items() if text.get(key, value) != value]
    unusual += [key for key in ("processing_kwargs", "query_length", "document_length", "query_expansion") if text.get(key)]
    plain = {"method": "forward", "method_output_name": output}
    modality = text.get("modality_config", {"text": plain})
    if "message" in modality or modality.get("text") != plain:
        unusual.append("modality_config")
    if unusual:
        raise UnreadableSource(f"{body} asks for {', '.join(unusual)}, which vicino does not do", mend=CHOOSE)


def _similarity(path: Path, name: str) -> Similarity:
    known: Similarity
    for known in get_args(Similarity):
        if name == known and name != "maxsim":
            return known
    raise UnreadableSource(
        f"{path} was made for the similarity {name!r}",
        mend="write cosine, dot or euclidean as similarity_fn_name in its config_sentence_transformers.json",
    )


def _arguments(text: Mapping[str, Any], *names: str) -> dict[str, Any]:
    found: dict[str, Any] = next((text[name] for name in names if text.get(name)), {})
    return {key: value for key, value in found.items() if key not in _OURS}


def _weights(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a folder; never anything pickled."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return (single,)
    if index.is_file():
        shards = sorted({PurePosixPath(name).name for name in read_json(index).get("weight_map", {}).values()})
        missing = [name for name in shards if not (folder / name).is_file()]
        if shards and not missing:
            return tuple(folder / name for name in shards)
        raise UnreadableSource(f"{folder} lacks {', '.join(missing) or 'its weights'}", mend="download the model again")
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    if pickled:
        convert = f"SentenceTransformer('{folder}').save_pretrained('{folder.name}-safe')"
        raise UnreadableSource(
            f"{folder} keeps its weights in {pickled[0]}, which can run code when it is opened; vicino opens only safetensors",
            mend=f'if you trust it: python -c "from sentence_transformers import SentenceTransformer; {convert}"',
        )
    raise UnreadableSource(f"{folder} holds no weights in safetensors", mend="give a folder that holds model.safetensors")


def _of(kind: type[T], value: Any) -> T | None:
    """The value, which is of this kind or None."""
    if value is None or isinstance(value, kind):
        return value
    raise TypeError(f"{value!r} is not of type {kind.__name__}")


def _described(step: Step) -> list[Any]:
    if isinstance(step, Pooling):
        return ["pooling", step.modes, step.include_prompt]
    if isinstance(step, Dense):
        return ["dense", digest(step.weights), step.activation, step.residual]
    return ["normalize"]


def _without_hearsay(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _HEARSAY}
