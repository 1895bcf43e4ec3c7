"""Folders of two networks: vectors are sentence-transformers' by role, the space is that of both, other Routers are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import vicino
from vicino import encoders
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.routes import is_router, read_router
from vicino.encoders.transformer.towers import TwoTowers
from vicino.errors import ArtifactCorrupt, InputError, UnknownName, UnreadableSource
from vicino.retrieval import from_recipe, parse

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

PROMPTS = {"prompts": {"query": "query near: ", "document": "passage far: ", "map": "map: "}}


@pytest.fixture(scope="module")
def folder(router) -> Path:
    """A pair of one family; only for looking."""
    return router()


@pytest.fixture(scope="module")
def pair(folder) -> TwoTowers:
    return TwoTowers(model=str(folder), precision="float32")


def changed(folder: Path, target: Path, file: str, change) -> Path:
    """A copy in which what a JSON file holds was given to `change`."""
    shutil.copytree(folder, target)
    plain = json.loads((target / file).read_text())
    change(plain)
    (target / file).write_text(json.dumps(plain))
    return target


# The vectors of the peer ----------------------------------------------------------------------------------------------


def equal(path: Path, peer, phrases) -> None:
    """By every role, after a look at whether the roles differ at all."""
    ours, theirs = encoders.make(path, precision="float32"), peer.SentenceTransformer(str(path), device="cpu")
    assert isinstance(ours, TwoTowers)
    for role in ("encode_query", "encode_document", "encode"):
        np.testing.assert_allclose(getattr(ours, role)(phrases), getattr(theirs, role)(phrases), atol=2e-5, err_msg=role)
    assert not np.allclose(ours.encode_query(phrases), ours.encode_document(phrases), atol=1e-3)


@pytest.mark.long
@pytest.mark.parametrize(
    "made",
    [
        {},
        {"after": ("Normalize",)},
        {"query": "bert", "document": "roberta", "limits": (12, 30)},
        {"query": "distilbert", "document": "t5", "whole": PROMPTS},
        {"whole": {**PROMPTS, "default_prompt_name": "map"}, "default_route": "query"},
        {"default_route": None},
        {"whole": {"similarity_fn_name": "dot", "truncate_dim": 7}},
    ],
    ids=str,
)
def test_vectors_are_the_peers_by_role_and_stay_so_when_saved(made, router, sentence_transformers, phrases, tmp_path):
    path = router(**made)
    equal(path, sentence_transformers, phrases)
    opened = encoders.make(path, precision="float32")
    saved = opened.save(tmp_path / "saved")
    again = vicino.load(saved)
    assert again.space == opened.space
    for role in ("encode_query", "encode_document", "encode"):
        np.testing.assert_array_equal(getattr(again, role)(phrases), getattr(opened, role)(phrases))
    equal(saved, sentence_transformers, phrases)


def test_what_the_peer_writes_opens_and_what_vicino_writes_opens_there(checkpoint, sentence_transformers, phrases, tmp_path):
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

    def tower(family, *more):
        return [Transformer(str(checkpoint(family)), max_seq_length=24), Pooling(32, "mean"), *more]

    router = Router.for_query_document(tower("bert", Dense(32, 16)), tower("mpnet", Dense(32, 16)))
    model = sentence_transformers.SentenceTransformer(modules=[router, Normalize()], device="cpu")
    model.save_pretrained(str(tmp_path / "theirs"))
    equal(tmp_path / "theirs", sentence_transformers, phrases)
    saved = encoders.make(tmp_path / "theirs", precision="float32").save(tmp_path / "ours")
    equal(saved, sentence_transformers, phrases)
    sentence_transformers.SentenceTransformer(str(saved), device="cpu").save_pretrained(str(tmp_path / "theirs again"))
    ours, again = (encoders.make(path, precision="float32") for path in (saved, tmp_path / "theirs again"))
    np.testing.assert_allclose(again.encode_query(phrases), ours.encode_query(phrases), atol=2e-5)


def test_a_folder_of_the_old_name_opens(router, pair, tmp_path):
    """sentence-transformers called it Asym, in a folder of its own, and its file config.json."""
    folder = router()
    home = folder / "0_Asym"
    home.mkdir()
    for part in [each for each in folder.iterdir() if each.name.startswith(("query", "document"))]:
        part.rename(home / part.name)
    (folder / "router_config.json").rename(home / "config.json")
    modules = [{"idx": 0, "name": "0", "path": "0_Asym", "type": "sentence_transformers.models.Asym"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    opened = encoders.make(folder, precision="float32")
    assert opened.space == pair.space
    np.testing.assert_array_equal(opened.encode_query(["tea"]), pair.encode_query(["tea"]))


# By role --------------------------------------------------------------------------------------------------------------


def test_each_role_has_its_network_its_tokens_and_its_limit(router, checkpoint, phrases, tmp_path):
    path = router("bert", "roberta", limits=(12, 30))
    pair = TwoTowers(model=str(path), precision="float32")
    document = Transformer(model=str(checkpoint("roberta")), max_seq_length=30, precision="float32")
    np.testing.assert_array_equal(pair.encode_document(phrases), document.encode_document(phrases))
    np.testing.assert_array_equal(pair.encode(phrases), document.encode(phrases))
    assert pair.tokens(phrases[0]).pieces == document.tokens(phrases[0]).pieces
    assert pair.truncation(phrases) == document.truncation(phrases)
    query = Transformer(model=str(checkpoint("bert")), max_seq_length=12)
    asked = pair.encode_query(phrases, output_value="token_embeddings")
    assert [len(each) for each in asked] == [len(query.tokens(text).pieces) for text in phrases]
    saved = pair.save(tmp_path / "saved")  # each half is a model by itself
    for role in ("query", "document"):
        half = Transformer(model=str(saved / role), precision="float32")
        np.testing.assert_array_equal(half.encode(phrases), getattr(pair, f"encode_{role}")(phrases))


def test_a_network_opens_when_it_is_read_with(folder, monkeypatch):
    from vicino.encoders.transformer import opening

    opened, open_network = [], opening.open_network
    monkeypatch.setattr(opening, "open_network", lambda given: opened.append(given.body.name) or open_network(given))
    pair = TwoTowers(model=str(folder), precision="float32")
    assert pair.dim == 32
    assert opened == []
    pair.encode_document(["tea"])
    assert set(opened) == {"document_0_Transformer"}


def test_the_space_is_that_of_both(router, folder, pair, tmp_path):
    def swapped(plain):
        plain["structure"] = {"query": plain["structure"]["document"], "document": plain["structure"]["query"]}

    def turned(plain):
        plain["parameters"]["default_route"] = "query"

    by_query = router(seed=1)
    by_document = shutil.copytree(folder, tmp_path / "document")
    shutil.copy(by_query / "query_0_Transformer" / "model.safetensors", by_document / "document_0_Transformer")
    others = [
        *(by_query, by_document),
        changed(folder, tmp_path / "swapped", "router_config.json", swapped),
        changed(folder, tmp_path / "turned", "router_config.json", turned),
    ]
    ids = [TwoTowers(model=str(path)).space.id for path in others]
    assert len({pair.space.id, *ids}) == 5
    assert TwoTowers(model=str(shutil.copytree(folder, tmp_path / "moved"))).space == pair.space
    assert TwoTowers(model=str(folder), precision="bfloat16").space == pair.space


def test_it_retrieves(folder, pair, phrases, tmp_path):
    documents = [vicino.data.records.Document(str(row), text) for row, text in enumerate(phrases)]
    built = from_recipe(parse(str(folder))).build(documents)
    hits = built.search([phrases[0]], 3)
    asked, told = (each(phrases, normalize_embeddings=True) for each in (pair.encode_query, pair.encode_document))
    np.testing.assert_allclose(hits.scores[0], np.sort(asked[0] @ told.T)[::-1][:3], atol=2e-2)  # bfloat16, where it is fast
    built.save(tmp_path / "saved")
    assert vicino.load(tmp_path / "saved").search([phrases[0]], 3).ids.tolist() == hits.ids.tolist()


# What is refused ------------------------------------------------------------------------------------------------------


def test_damage_is_noticed(pair, tmp_path):
    path = pair.save(tmp_path / "saved")
    for name in ("query/model.safetensors", "document/1_Pooling/config.json", "router_config.json"):
        whole = (path / name).read_bytes()
        (path / name).write_bytes(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])
        with pytest.raises(ArtifactCorrupt, match=name):
            encoders.load(path)
        (path / name).write_bytes(whole)
    encoders.load(path)
    (path / "router_config.json").unlink()
    with pytest.raises(ArtifactCorrupt, match="missing"):
        encoders.load(path)


def _third(plain):
    plain["structure"]["image"] = plain["structure"]["query"]


def _one(plain):
    del plain["structure"]["query"]


def _mapped(plain):
    plain["parameters"]["route_mappings"] = {"('query', 'text')": "document"}


def _unpooled(plain):
    plain["structure"]["query"] = plain["structure"]["query"][:1]


def _unlisted(plain):
    plain["structure"]["document"][1] = "nowhere"


def _nothing(plain):
    plain["structure"]["document"] = []


def _foreign(plain):
    plain["types"]["query_0_Transformer"] = "os.system"


def _static(plain):
    plain["types"]["query_0_Transformer"] = "sentence_transformers.models.StaticEmbedding"


def _outside(plain):
    plain["types"]["../query_1_Pooling"] = plain["types"]["query_1_Pooling"]
    plain["structure"]["query"][1] = "../query_1_Pooling"


def _default(plain):
    plain["parameters"]["default_route"] = "image"


def _senseless(plain):
    plain["structure"] = 5


def _empty(plain):
    plain.clear()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_third, "routes query, document, image"),
        (_one, "routes document"),
        (_mapped, "route_mappings"),
        (_unpooled, "no Pooling on the route query"),
        (_unlisted, "nowhere"),
        (_nothing, "no Pooling on the route document"),
        (_foreign, r"os\.system"),
        (_static, "StaticEmbedding"),
        (_outside, "leads out"),
        (_default, "makes no sense"),
        (_senseless, "makes no sense"),
        (_empty, "structure"),
    ],
)
def test_a_router_that_is_something_else_is_named(harm, message, folder, tmp_path):
    path = changed(folder, tmp_path / "changed", "router_config.json", harm)
    with pytest.raises((UnreadableSource, UnknownName), match=message) as told:
        encoders.make(path).encode_query(["tea"])
    assert told.value.mend


def test_what_is_missing_or_broken_is_named(folder, tmp_path):
    for number, (name, text) in enumerate(
        [("router_config.json", None), ("router_config.json", "{"), ("query_0_Transformer/config.json", None)]
    ):
        path = shutil.copytree(folder, tmp_path / str(number))
        (path / name).unlink() if text is None else (path / name).write_text(text)
        with pytest.raises(UnreadableSource, match=r"cannot be read"):
            TwoTowers(model=str(path)).encode_query(["tea"])
    path = shutil.copytree(folder, tmp_path / "weights")
    (path / "document_0_Transformer" / "model.safetensors").unlink()
    with pytest.raises(UnreadableSource, match="no weights"):
        _ = TwoTowers(model=str(path)).space


def test_vectors_of_two_widths_are_named(folder, tmp_path):
    def twice(plain):
        plain["pooling_mode_cls_token"] = True

    path = changed(folder, tmp_path / "wide", "query_1_Pooling/config.json", twice)
    with pytest.raises(UnreadableSource, match="of 32 and of 64 dimensions"):
        read_router(path)


def test_one_network_is_not_two_and_two_are_not_one(folder, checkpoint, tmp_path):
    assert is_router(folder)
    assert not is_router(checkpoint("bert"))
    assert not is_router(tmp_path / "nowhere")
    with pytest.raises(UnreadableSource, match="not a model of two networks"):
        TwoTowers(model=str(checkpoint("bert"))).encode(["tea"])
    with pytest.raises(UnknownName, match="Router") as told:
        Transformer(model=str(folder)).encode(["tea"])
    assert "towers(model=" in told.value.mend
    with pytest.raises(InputError, match="no model"):
        TwoTowers().encode(["tea"])
