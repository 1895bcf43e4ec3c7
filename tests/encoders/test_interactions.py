"""Two towers of users and items: what they learn from, by which loss, and what they say of those whom nobody knows."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import artifacts, encoders
from vicino.data.interaction_splits import Held, leave_one_out
from vicino.data.interactions import Interactions
from vicino.encoders.interactions import TwoTower
from vicino.encoders.interactions.examples import NOTHING, Examples, HardNegatives, Histories
from vicino.errors import ArtifactCorrupt, EmptyInput, InputError, NotFitted, UnknownName
from vicino.vectors import normalise

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

SMALL = {"vector_size": 8, "epochs": 6, "batch_size": 16, "threads": 1}


@pytest.fixture(scope="module")
def tastes() -> Interactions:
    """Two groups of users with six items each; "new" met none, nobody met "cold" and "dark", and of "cold" the kind is told."""
    random = np.random.default_rng(0)
    pairs = [(f"u{user}", f"i{item + 6 * (user % 2)}") for user in range(40) for item in random.permutation(6)[: 3 + user % 3]]
    found = Interactions.of([user for user, _ in pairs], [item for _, item in pairs])
    kinds = {f"i{item}": (f"kind:{item // 6}", f"only:{item}") for item in range(12)} | {"cold": ("kind:1", "never:seen")}
    users = {user: ("odd",) if int(user[1:]) % 2 else ("even",) for user in found.users} | {"new": ("odd",)}
    rows = (found.user, found.item, found.weight)
    return Interactions((*found.users, "new"), (*found.items, "cold", "dark"), *rows, None, users, kinds)


@pytest.fixture(scope="module")
def towers(tastes) -> TwoTower:
    """They have learnt; only for looking."""
    return TwoTower(**SMALL | {"epochs": 20}).fit(tastes)


# What is learnt from --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [1, 2, 5])
def test_each_interaction_is_a_target_once_in_an_epoch_and_never_in_its_own_history(tastes, targets):
    met = Histories.of(tastes)
    examples = Examples(met, batch_size=7, targets=targets, history=100)
    seen = []
    batches = list(examples.epoch(3, 0))
    assert len(batches) == len(examples)
    for batch in batches:
        assert batch["target"].shape[1] == targets
        for user, target, history in zip(*(batch[name].tolist() for name in ("user", "target", "history")), strict=True):
            own = set(met.items[met.offsets[user] : met.offsets[user + 1]].tolist())
            wanted, known = set(target) - {NOTHING}, [item for item in history if item != NOTHING]
            assert 1 <= len(wanted) <= max(1, len(own) // 2)
            assert (set(known), len(known)) == (own - wanted, len(own) - len(wanted))
            seen += [(user, item) for item in wanted]
    assert len(seen) == len(set(seen)) == len(met.items)


def test_epochs_are_the_same_for_their_number_and_seed(tastes):
    examples = Examples(Histories.of(tastes), batch_size=16, targets=2, history=2)

    def drawn(number: int, seed: int) -> list:
        return [{name: values.tolist() for name, values in batch.items()} for batch in examples.epoch(number, seed)]

    assert drawn(1, 0) == drawn(1, 0)
    assert drawn(1, 0) != drawn(2, 0)
    assert drawn(1, 0) != drawn(1, 1)
    assert {len(row) for batch in drawn(0, 0) for row in batch["history"]} == {2}


def test_a_user_of_one_item_is_known_by_nothing_else():
    met = Histories.of(Interactions.of(["ann", "bob", "bob"], ["tea", "tea", "rice"]))
    for batch in Examples(met, batch_size=9, targets=4, history=9).epoch(0, 0):
        lone = batch["user"] == 0
        assert (batch["history"][lone] == NOTHING).all()
        assert batch["target"][lone].tolist() == [[0, NOTHING, NOTHING, NOTHING]]


def test_chances_are_those_of_the_candidates(tastes):
    """Counted over many epochs, an item is a candidate as often as its log_q says."""
    met = Histories.of(tastes)
    mined = np.array([[0, 1], [2, NOTHING]], np.int32)[np.arange(len(met.lengths)) % 2]
    examples = Examples(met, batch_size=16, targets=2, history=9, negatives=HardNegatives(lambda _: mined, 1, 3))
    counts, told, users = np.zeros(met.size), np.zeros(met.size), 0
    for number in range(1, 200):
        for batch in examples.epoch(number, 0):
            users += len(batch["user"])
            for name in ("target", "negative"):
                real = batch[name] != NOTHING
                np.add.at(counts, batch[name][real].numpy(), 1)
                told[batch[name][real].numpy()] = batch[f"{name}_log_q"][real].exp().numpy()
    warm = counts > 0
    np.testing.assert_allclose(told[warm], counts[warm] / users, rtol=0.1)


def test_hard_negatives_are_mined_anew_kept_and_found_again(tmp_path):
    asked: list[int] = []

    def mine(number: int) -> np.ndarray:
        asked.append(number)
        return np.full((2, 3), number, np.int32)

    first = HardNegatives(mine, 2, 1, tmp_path)
    assert [first.of_epoch(number) is None for number in range(3)] == [True, True, False]
    assert first.of_epoch(3).tolist() == [[1] * 3] * 2
    assert first.of_epoch(4).tolist() == [[2] * 3] * 2
    again = HardNegatives(mine, 2, 1, tmp_path)  # a training that goes on
    assert again.of_epoch(2).tolist() == [[1] * 3] * 2
    assert asked == [1, 2]


def test_what_is_mined_was_not_met(tastes):
    from vicino.encoders.interactions.learning import Lesson

    lesson = Lesson(TwoTower(**SMALL, hard_negatives=1), tastes, None, None)
    mined = lesson._mined(1)
    for user, row in enumerate(mined.tolist()):
        own = set(lesson.met.items[lesson.met.offsets[user] : lesson.met.offsets[user + 1]].tolist())
        assert set(row) - {NOTHING} == set(range(lesson.met.size)) - own


# By which loss --------------------------------------------------------------------------------------------------------


@pytest.fixture
def batch() -> dict:
    return {
        "user": torch.tensor([0, 1, 2]),
        "target": torch.tensor([[0, 3], [1, NOTHING], [3, 4]]),
        "history": torch.tensor([[2, NOTHING], [0, 4], [NOTHING, NOTHING]]),
        "negative": torch.tensor([[1, NOTHING], [5, 2], [1, 0]]),
        "target_log_q": torch.linspace(-3, -1, 6).view(3, 2),
        "negative_log_q": torch.linspace(-4, -2, 6).view(3, 2),
    }


@pytest.fixture
def network():
    from vicino.encoders.interactions.network import Towers

    torch.manual_seed(0)
    return Towers(3, 6, 4, dropout=0.0, known={}).double()


def cosine(network, batch, example: int, item: int) -> float:
    """By hand: a user is a row and the sum of the history over the root of its length."""
    history = [each for each in batch["history"][example].tolist() if each != NOTHING]
    user = network.user[batch["user"][example]].clone()
    for each in history:
        user = user + network.item[each] / len(history) ** 0.5
    return float(torch.nn.functional.cosine_similarity(user, network.item[item], dim=0).detach())


def met(batch, example: int) -> set[int]:
    return {*batch["target"][example].tolist(), *batch["history"][example].tolist()}


@pytest.mark.parametrize("log_q", [True, False])
@pytest.mark.parametrize("hard", [True, False])
def test_in_a_batch_each_target_stands_against_what_the_user_did_not_meet(network, batch, log_q, hard):
    from vicino.encoders.interactions.network import in_batch_softmax

    if not hard:
        del batch["negative"], batch["negative_log_q"]
    loss = in_batch_softmax(0.5, log_q=log_q)
    found = loss.of(network, batch, *(tower(network, batch) for tower in loss.towers))
    drawn = [
        (item, chance)
        for name in ("target", "negative")[: 1 + hard]
        for item, chance in zip(batch[name].flatten().tolist(), batch[f"{name}_log_q"].flatten().tolist(), strict=True)
        if item != NOTHING
    ]
    expected = []
    for example, row in enumerate(batch["target"].tolist()):
        for place, target in enumerate(row):
            if target != NOTHING:
                own = cosine(network, batch, example, target) / 0.5 - log_q * float(batch["target_log_q"][example, place])
                rest = [
                    cosine(network, batch, example, item) / 0.5 - log_q * chance
                    for item, chance in drawn
                    if item not in met(batch, example)
                ]
                expected.append(np.log(np.exp([own, *rest]).sum()) - own)
    assert float(found.detach()) == pytest.approx(np.mean(expected), rel=1e-4)


def test_in_full_each_target_stands_against_all_that_the_user_did_not_meet(network, batch):
    from vicino.encoders.interactions.network import full_softmax

    expected = []
    for example, row in enumerate(batch["target"].tolist()):
        rest = [cosine(network, batch, example, item) / 0.5 for item in range(6) if item not in met(batch, example)]
        for target in row:
            own = cosine(network, batch, example, target) / 0.5
            expected.append(0.0 if target == NOTHING else np.log(np.exp([own, *rest]).sum()) - own)
    loss = full_softmax(0.5)(network, batch)
    assert float(loss.detach()) == pytest.approx(np.mean(expected), rel=1e-6)
    batch["history"] = torch.tensor([[2, 1, 4, 5], [0, 4, 2, 3], [0, 1, 2, 5]])  # who met everything learns nothing from it
    full_softmax(0.5)(network, batch).backward()
    assert torch.isfinite(network.item.grad).all()


def test_a_history_is_left_out_by_chance_only_as_it_learns(network, batch):
    network.dropout = 0.5
    network.eval()
    same = [network.users(batch["user"], batch["history"]) for _ in range(2)]
    assert torch.equal(*same)
    network.train()
    drawn = {tuple(network.users(batch["user"], batch["history"]).flatten().tolist()) for _ in range(20)}
    assert len(drawn) > 1


@pytest.mark.parametrize("features", [True, False])
def test_the_arrays_say_what_the_network_says(tastes, features):
    from vicino.encoders.interactions.learning import Lesson

    encoder = TwoTower(**SMALL, features=features).fit(tastes)
    lesson = Lesson(encoder, tastes, None, None)
    lesson.run(None, None)
    network = lesson.network.eval()
    longest = int(lesson.met.lengths.max())
    history = np.full((len(lesson.met.lengths), longest), NOTHING)
    for user, length in enumerate(lesson.met.lengths.tolist()):
        history[user, :length] = lesson.met.items[lesson.met.offsets[user] :][:length]
    with torch.no_grad():
        users = network.users(torch.arange(len(history)), torch.from_numpy(history)).numpy()
        items = network.items(torch.arange(lesson.met.size)).numpy()
    np.testing.assert_allclose(encoder.user_vectors()[:40], normalise(users), atol=1e-5)
    np.testing.assert_allclose(encoder.item_vectors()[:12], normalise(items), atol=1e-5)


# What is known of whom ------------------------------------------------------------------------------------------------


def test_users_are_near_what_they_would_like(towers, tastes):
    scores = towers.encode_query(list(tastes.users[:40])) @ towers.encode_document(list(tastes.items[:12])).T
    groups = np.array([int(item[1:]) // 6 for item in tastes.items[:12]])
    odd = np.array([int(user[1:]) % 2 for user in tastes.users[:40]])
    assert (groups[scores.argmax(axis=1)] == odd).all()


def test_somebody_unknown_is_a_history(towers, tastes):
    one = towers.encode_query([["i0", "i1", "i2"], ["i7", "i8"], ("i2", "i1", "i0", "i1", "no such item")])
    np.testing.assert_allclose(one[0], one[2], atol=1e-6)
    items = towers.encode_document([f"i{item}" for item in range(12)])
    assert (one[0] @ items[:6].T).mean() > (one[0] @ items[6:].T).mean() + 0.3
    assert (one[1] @ items[6:].T).mean() > (one[1] @ items[:6].T).mean() + 0.3
    np.testing.assert_allclose(towers.encode_query([["i3"]])[0], towers.encode_document("i3"), atol=1e-6)


def test_an_item_that_nobody_met_is_what_is_known_of_it(towers):
    cold, told, dark = towers.encode_document(["cold", ["kind:1", "never heard of"], "dark"])
    np.testing.assert_allclose(cold, told, atol=1e-6)
    items = towers.encode_document([f"i{item}" for item in range(12)])
    assert (cold @ items[6:].T).mean() > (cold @ items[:6].T).mean() + 0.3
    assert not dark.any()
    assert "only:3" not in towers.tokens_  # of one item alone nothing can be learnt for others


def test_a_user_who_met_nothing_is_what_is_known_of_them(towers, tastes):
    new = towers.encode_query("new")
    assert np.linalg.norm(new) == pytest.approx(1, abs=1e-5)
    plain = TwoTower(**SMALL, features=False).fit(tastes)
    assert not plain.encode_query("new").any()
    assert not plain.encode_document("cold").any()


@pytest.mark.parametrize("role", ["encode_query", "encode_document"])
def test_who_is_unknown_is_told(towers, role):
    for wrong in ("nobody", ["u1", "nobody", "i1"], [["nothing known"]], [[]]):
        with pytest.raises(UnknownName) as caught:
            getattr(towers, role)(wrong)
        assert caught.value.mend
    with pytest.raises(InputError, match="item 1"):
        getattr(towers, role)([["i1"], 3])
    with pytest.raises(InputError, match="item 0"):
        getattr(towers, role)([["i1", None]])


def test_other_histories_change_users_and_no_items(towers, tastes, tmp_path):
    copy = TwoTower.load(towers.save(tmp_path / "towers"))
    less = tastes.subset(np.arange(len(tastes)) != 0)
    changed = copy.remember(less)
    met_first = tastes.users[tastes.user[0]]
    others = [user for user in tastes.users if user != met_first]
    np.testing.assert_array_equal(changed.item_vectors(), towers.item_vectors())
    np.testing.assert_array_equal(changed.encode_query(others), towers.encode_query(others))
    assert not np.array_equal(changed.encode_query(met_first), towers.encode_query(met_first))
    assert changed.space != towers.space
    assert changed.remember(tastes).space == towers.space
    with pytest.raises(InputError, match="other users"):
        copy.remember(Interactions.of(["u0"], ["i0"]))
    with pytest.raises(NotFitted):
        TwoTower().remember(tastes)


# How it learns --------------------------------------------------------------------------------------------------------


def test_the_weights_that_rank_best_are_kept(tastes):
    learn, held = leave_one_out(tastes, 0)
    run = TwoTower(**SMALL | {"epochs": 12}).fit(learn, validation=held).training_
    assert run.metrics[run.kept] == max(run.metrics.values()) > run.metrics[0]
    assert len(run.metrics) == 13


@pytest.mark.parametrize(
    "changes",
    [{"softmax": "full"}, {"hard_negatives": 2, "remine": 1}, {"targets": 3}, {"features": False, "log_q": False}],
    ids=str,
)
def test_every_way_learns_and_goes_on_to_the_same_vectors(tastes, tmp_path, monkeypatch, changes):
    from vicino.encoders.interactions.examples import Examples as Learnt

    params = {**SMALL, **changes}
    whole = TwoTower(**params)
    assert whole.learn(tastes).losses[-1] < whole.training_.losses[0]
    epoch = Learnt.epoch

    def stopped(self, number, seed):
        for place, each in enumerate(epoch(self, number, seed)):
            if (number, place) == (3, 1):
                import os
                import signal

                os.kill(os.getpid(), signal.SIGINT)
            yield each

    some = TwoTower(**params)
    with monkeypatch.context() as patch:
        patch.setattr(Learnt, "epoch", stopped)
        assert some.learn(tastes, folder=tmp_path).ended == "interrupted"
        with pytest.raises(NotFitted):
            some.encode_query("u1")
        with pytest.raises(KeyboardInterrupt):
            TwoTower(**params).fit(tastes)
    assert some.learn(tastes, folder=tmp_path).resumed
    assert some.space == whole.space


def test_what_is_learnt_from_may_be_a_table_or_pairs(tastes, tmp_path):
    pairs = [(tastes.users[user], tastes.items[item]) for user, item in zip(tastes.user, tastes.item, strict=True)]
    table = tmp_path / "met.csv"
    table.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in pairs))
    spaces = {TwoTower(**SMALL).fit(data).space for data in (table, str(table), pairs, iter(pairs))}
    assert len(spaces) == 1


@pytest.mark.parametrize("wrong", [["u1", "u2"], [("u1", "i1", "x")], [5], 5, [("u1", None)], [("u1", float("nan"))]], ids=str)
def test_what_is_no_interaction_is_named(wrong):
    with pytest.raises(InputError) as caught:
        TwoTower(**SMALL).fit(wrong)
    assert caught.value.mend


def test_what_cannot_be_learnt_from_is_named(tastes):
    nothing = tastes.subset(np.zeros(len(tastes), bool))
    with pytest.raises(EmptyInput):
        TwoTower(**SMALL).fit(nothing)
    with pytest.raises(InputError, match="the same item"):
        TwoTower(**SMALL).fit([("ann", "tea"), ("bob", "tea")])
    one = np.array([0])
    for users, items, why in ((np.array([40]), one, "met nothing else"), (one, np.array([99]), "not there")):
        with pytest.raises(InputError, match=why):
            TwoTower(**SMALL).fit(tastes, validation=Held(users, (items,), (one,)))
    with pytest.raises(InputError, match="met nothing else"):
        TwoTower(**SMALL).fit(tastes, validation=Held(one[:0], (), ()))


@pytest.mark.parametrize(
    "params",
    [
        *({"vector_size": 0}, {"temperature": 0.0}, {"temperature": float("nan")}, {"softmax": "half"}, {"hard_negatives": -1}),
        *({"remine": 0}, {"targets": 0}, {"history": 0}, {"dropout": 1.0}, {"epochs": 0}, {"batch_size": 0}, {"seed": -1}),
        *({"learning_rate": -1.0}, {"log_q": "no"}, {"softmax": "full", "hard_negatives": 1}, {"threads": 0}, {"patience": 0}),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_are_named(tastes, params):
    with pytest.raises(InputError) as caught:
        TwoTower(**params).fit(tastes)
    assert caught.value.mend


def test_a_softmax_over_too_many_items_is_refused(tastes, monkeypatch):
    monkeypatch.setattr("vicino.encoders.interactions.learning.FULL", 11)
    with pytest.raises(InputError, match="12 items"):
        TwoTower(softmax="full").fit(tastes)


def test_a_plan_says_what_it_takes(tastes):
    encoder = TwoTower(**SMALL)
    plan = encoder.plan(tastes)
    assert plan.epoch_steps == -(-len(tastes) // 16)
    assert plan.steps == 6 * plan.epoch_steps
    with pytest.raises(NotFitted):
        encoder.encode_query("u1")


def test_a_save_whose_parts_do_not_belong_together_is_noticed(towers, tmp_path):
    folder = towers.save(tmp_path / "towers")
    saved = artifacts.read(folder)
    changes = [
        {"users": saved.arrays["users"][:-1]},
        {"items": [*saved.arrays["items"][:-1], saved.arrays["items"][0]]},
        {"tokens": saved.arrays["tokens"][:-1]},
        {"user_rows": saved.arrays["user_rows"][:, :4]},
        {"item_rows": saved.arrays["item_rows"].astype(np.float64)},
        {"met": saved.arrays["met"] + 100},
        {"met": -1 - saved.arrays["met"]},
        {"met_offsets": saved.arrays["met_offsets"][::-1].copy()},
    ]
    for change in changes:
        artifacts.write(folder, kind="encoder", data=saved.data, arrays={**saved.arrays, **change})
        with pytest.raises(ArtifactCorrupt):
            encoders.load(folder)
