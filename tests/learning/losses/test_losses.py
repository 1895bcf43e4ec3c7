"""Losses against plain numpy, loops and all; by hand where a hand can; and what they refuse."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'vicino[torch]'")

from vicino.errors import DimensionMismatch, InputError, UnknownName  # noqa: E402
from vicino.learning.losses.in_batch import FalseNegatives, Temperature, info_nce, nt_xent  # noqa: E402
from vicino.learning.losses.margins import ClassMargins, softmax_classification, with_margin  # noqa: E402
from vicino.learning.losses.matryoshka import matryoshka  # noqa: E402
from vicino.learning.losses.regression import cosent, cosine_regression, distil_scores, margin_mse, reconstruction  # noqa: E402
from vicino.learning.losses.triplets import batch_triplets, triplet  # noqa: E402


def random(*shape: int, seed: int = 0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))  # float64, so that oracles agree closely


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cross_entropy(logits: list[float], own: int) -> float:
    return float(np.log(np.sum(np.exp(np.array(logits) - logits[own]))))


# In the batch -----------------------------------------------------------------------------------------------------------


def plain_info_nce(q, d, candidates, temperature, out=lambda i, j: False, log_q=None, dot=False) -> float:
    """One query after another, one candidate after another."""
    if not dot:
        q, candidates = unit(q), unit(candidates)
    total = 0.0
    for i in range(len(q)):
        kept = [j for j in range(len(candidates)) if j == i or not out(i, j)]
        logits = [q[i] @ candidates[j] / temperature - (0 if log_q is None else log_q[j]) for j in kept]
        total += cross_entropy(logits, kept.index(i))
    return total / len(q)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("kind", ["none", "own", "shared"])
def test_info_nce_is_what_loops_give(kind, similarity):
    q, d = random(5, 3), random(5, 3, seed=1)
    negatives = {"none": None, "own": random(5, 2, 3, seed=2), "shared": random(7, 3, seed=2)}[kind]
    candidates = d.numpy() if negatives is None else np.concatenate([d.numpy(), negatives.numpy().reshape(-1, 3)])
    found = info_nce(q, d, negatives=negatives, temperature=0.3, similarity=similarity)
    assert found.item() == pytest.approx(plain_info_nce(q.numpy(), d.numpy(), candidates, 0.3, dot=similarity == "dot"))


def test_both_directions():
    q, d = random(4, 3), random(4, 3, seed=1)
    there, back = info_nce(q, d, temperature=0.2), info_nce(d, q, temperature=0.2)
    assert info_nce(q, d, temperature=0.2, symmetric=True).item() == pytest.approx((there + back).item() / 2)
    assert there.item() != pytest.approx(back.item())


def test_a_document_that_comes_twice_is_not_its_own_negative():
    q, d = random(4, 3), random(4, 3, seed=1)
    d[2] = d[0]
    ids = [7, 8, 7, 9]
    found = info_nce(q, d, temperature=0.3, left_out=FalseNegatives(ids=torch.tensor(ids)))
    expected = plain_info_nce(q.numpy(), d.numpy(), d.numpy(), 0.3, out=lambda i, j: ids[i] == ids[j])
    assert found.item() == pytest.approx(expected)
    assert found < info_nce(q, d, temperature=0.3)


@pytest.mark.parametrize("guided", [False, True])
def test_what_looks_like_an_answer_is_left_out(guided):
    q, d, more = random(5, 3), random(5, 3, seed=1), random(6, 3, seed=2)
    candidates = np.concatenate([d.numpy(), more.numpy()])
    judged = random(5, 11, seed=3).numpy() if guided else unit(q.numpy()) @ unit(candidates).T
    left_out = FalseNegatives(margin=0.1, guide=torch.tensor(judged) if guided else None)
    found = info_nce(q, d, negatives=more, temperature=0.3, left_out=left_out)
    expected = plain_info_nce(q.numpy(), d.numpy(), candidates, 0.3, out=lambda i, j: judged[i, j] > judged[i, i] - 0.1)
    assert found.item() == pytest.approx(expected)


def test_what_is_known_to_be_no_negative_is_left_out_both_ways():
    q, d, more = random(3, 3), random(3, 3, seed=1), random(2, 3, seed=2)
    known = torch.tensor([[1, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)  # an own one stays all the same
    candidates = np.concatenate([d.numpy(), more.numpy()])
    found = info_nce(q, d, negatives=more, temperature=0.3, left_out=FalseNegatives(known=known), symmetric=True)
    there = plain_info_nce(q.numpy(), d.numpy(), candidates, 0.3, out=lambda i, j: known[i, j])
    back = plain_info_nce(d.numpy(), q.numpy(), q.numpy(), 0.3, out=lambda i, j: known[j, i])
    assert found.item() == pytest.approx((there + back) / 2)


def test_popular_candidates_are_corrected():
    q, d = random(4, 3), random(4, 3, seed=1)
    log_q = torch.tensor([0.5, 0.1, 0.1, 0.3]).log()
    found = info_nce(q, d, temperature=0.3, log_q=log_q)
    assert found.item() == pytest.approx(plain_info_nce(q.numpy(), d.numpy(), d.numpy(), 0.3, log_q=log_q.numpy()))


def test_two_views_are_what_loops_give():
    left, right = random(4, 3), random(4, 3, seed=1)
    views, total = unit(np.concatenate([left, right])), 0.0
    for i in range(8):
        others = [j for j in range(8) if j != i]
        total += cross_entropy([views[i] @ views[j] / 0.5 for j in others], others.index((i + 4) % 8))
    assert nt_xent(left, right).item() == pytest.approx(total / 8)


def test_a_temperature_that_is_learnt_moves_and_stays_above_its_least():
    temperature = Temperature(0.1, least=0.05)
    info_nce(random(4, 3), random(4, 3, seed=1), temperature=temperature()).backward()
    assert temperature.log.grad.abs() > 0
    with torch.no_grad():
        temperature.log.fill_(-20)
    assert temperature().item() == pytest.approx(0.05)


def test_a_temperature_moves_as_far_as_its_pace_says_and_its_gradient_stays():
    slopes = []
    for pace in (1.0, 50.0):
        temperature = Temperature(0.1, pace=pace)
        info_nce(random(4, 3), random(4, 3, seed=1), temperature=temperature()).backward()
        slopes.append(temperature.log.grad.item())
        torch.optim.Adam(temperature.parameters(), lr=1e-3).step()
        assert abs(np.log(temperature().item() / 0.1)) == pytest.approx(pace * 1e-3, rel=1e-2)
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-5)
    with pytest.raises(InputError, match="pace"):
        Temperature(pace=0.0)


def test_shapes_that_do_not_pair_are_refused():
    q = random(4, 3)
    for call in (
        lambda: info_nce(q, q[:3]),
        lambda: info_nce(q, random(4, 2)),
        lambda: info_nce(q, q, negatives=random(3, 2, 3)),
        lambda: info_nce(q, q, negatives=random(4, 2)),
        lambda: info_nce(q[:0], q[:0]),
        lambda: nt_xent(q, q[0]),
    ):
        with pytest.raises(DimensionMismatch):
            call()
    with pytest.raises(InputError, match="temperature"):
        Temperature(0.0)


# Triplets ---------------------------------------------------------------------------------------------------------------


def far(a, b, distance: str) -> float:
    if distance == "cosine":
        return float(1 - unit(a) @ unit(b))
    return float(np.linalg.norm(a - b))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_a_triplet_by_hand_and_by_loops(distance):
    a, p, n = (random(6, 3, seed=seed) for seed in range(3))
    losses = [
        max(0.0, far(x, y, distance) - far(x, z, distance) + 0.3) for x, y, z in zip(a.numpy(), p.numpy(), n.numpy(), strict=True)
    ]
    assert triplet(a, p, n, margin=0.3, distance=distance).item() == pytest.approx(np.mean(losses))
    by_hand = triplet(
        torch.tensor([[0.0, 0]]), torch.tensor([[3.0, 4]]), torch.tensor([[0.0, 2]]), margin=1, distance="euclidean"
    )
    assert by_hand.item() == pytest.approx(5 - 2 + 1)


def mined(vectors, labels, margin, distance, mining) -> float:
    b = range(len(labels))
    d = [[far(vectors[i], vectors[j], distance) for j in b] for i in b]
    pairs = [(a, p) for a in b for p in b if a != p and labels[a] == labels[p] and any(labels[n] != labels[a] for n in b)]
    if mining == "all":
        losses = [d[a][p] - d[a][n] + margin for a, p in pairs for n in b if labels[n] != labels[a]]
        losses = [loss for loss in losses if loss > 0]
    elif mining == "hard":
        losses = [
            max(0, max(d[a][p] for x, p in pairs if x == a) - min(d[a][n] for n in b if labels[n] != labels[a]) + margin)
            for a in sorted({a for a, _ in pairs})
        ]
    else:
        losses = []
        for a, p in pairs:
            other = [d[a][n] for n in b if labels[n] != labels[a]]
            beyond = [each for each in other if each > d[a][p]]
            losses.append(max(0, d[a][p] - (min(beyond) if beyond else max(other)) + margin))
    return float(np.mean(losses)) if losses else 0.0


@pytest.mark.parametrize("mining", ["all", "hard", "semi-hard"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_triplets_of_a_batch_are_what_loops_find(mining, distance):
    labels = [0, 1, 0, 2, 1, 1, 3, 0]  # 2 and 3 are alone
    vectors = random(8, 3)
    found = batch_triplets(vectors, torch.tensor(labels), margin=0.4, distance=distance, mining=mining)
    assert found.item() == pytest.approx(mined(vectors.numpy(), labels, 0.4, distance, mining), rel=1e-6)


@pytest.mark.parametrize("mining", ["all", "hard", "semi-hard"])
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]], ids=["one kind", "all alone"])
def test_a_batch_without_a_triplet_teaches_nothing(mining, labels):
    vectors = random(3, 2).requires_grad_()
    loss = batch_triplets(vectors, torch.tensor(labels), mining=mining)
    loss.backward()
    assert loss.item() == 0
    assert not vectors.grad.any()


def test_equal_vectors_have_finite_gradients():
    vectors = torch.ones(4, 3, requires_grad=True)
    for mining in ("all", "hard", "semi-hard"):
        batch_triplets(vectors, torch.tensor([0, 0, 1, 1]), distance="euclidean", mining=mining).backward()
    assert torch.isfinite(vectors.grad).all()


def test_wrong_triplets_are_refused():
    with pytest.raises(DimensionMismatch):
        triplet(random(2, 3), random(3, 3), random(2, 3))
    with pytest.raises(DimensionMismatch):
        batch_triplets(random(2, 3), torch.tensor([0]))
    with pytest.raises(UnknownName, match="did you mean hard"):
        batch_triplets(random(2, 3), torch.tensor([0, 1]), mining="hardd")
    with pytest.raises(UnknownName, match="did you mean cosine"):
        triplet(random(2, 3), random(2, 3), random(2, 3), distance="cosin")


# Margins ----------------------------------------------------------------------------------------------------------------


def test_margins_turn_the_own_class_away():
    angles = np.array([0.3, 1.2, 2.0, 3.1])
    cosines = torch.tensor(np.cos(np.stack([angles, angles[::-1]], axis=1)))
    labels = torch.tensor([0, 1, 0, -1])
    found = with_margin(cosines, labels, arc=0.5, gap=0.1).numpy()
    expected = cosines.numpy().copy()
    for row, label in enumerate(labels.tolist()):
        if label >= 0:
            expected[row, label] = np.cos(np.arccos(expected[row, label]) + 0.5) - 0.1
    np.testing.assert_allclose(found, expected, atol=1e-6)
    past = with_margin(torch.tensor([[-0.99]]), torch.tensor([0]), arc=0.5)
    assert past.item() == pytest.approx(-0.99 - 0.5 * np.sin(0.5))  # cos would rise again here


def plain_margins(vectors, labels, directions, arc, gap, scale) -> float:
    total = 0.0
    for row, label in zip(unit(vectors), labels, strict=True):
        cosines = unit(directions) @ row
        angle = np.arccos(cosines[label])
        cosines[label] = (np.cos(angle + arc) if angle + arc < np.pi else np.cos(angle) - arc * np.sin(arc)) - gap
        total += cross_entropy(list(scale * cosines), label)
    return total / len(vectors)


@pytest.mark.parametrize(("arc", "gap"), [(0.5, 0.0), (0.0, 0.35), (0.0, 0.0), (0.3, 0.2)])
def test_class_margins_are_what_loops_give(arc, gap):
    head = ClassMargins(3, 5, arc=arc, gap=gap, scale=10).double()
    vectors, labels = random(6, 3), [0, 4, 2, 2, 1, 0]
    found = head(vectors, torch.tensor(labels))
    directions = head.directions.detach().numpy()
    assert found.item() == pytest.approx(plain_margins(vectors.numpy(), labels, directions, arc, gap, 10), rel=1e-6)


def test_a_sample_of_classes_holds_those_of_the_batch():
    head = ClassMargins(4, 100, sample=0.1).double()
    vectors, labels = random(6, 4), torch.tensor([3, 99, 50, 3, 0, 7])
    head(vectors, labels).backward()
    met = torch.nonzero(head.directions.grad.any(dim=1)).squeeze(1).tolist()
    assert len(met) == 10
    assert {3, 99, 50, 0, 7} <= set(met)


def test_margins_pull_classes_apart():
    torch.manual_seed(0)
    head, labels = ClassMargins(8, 3, arc=0.2, scale=8), torch.arange(3).repeat(4)
    vectors = torch.nn.Parameter(torch.randn(12, 8))
    optimiser = torch.optim.Adam([vectors, *head.parameters()], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        head(vectors, labels).backward()
        optimiser.step()
    units = unit(vectors.detach().numpy())
    same = labels[:, None] == labels[None]
    assert (units @ units.T)[same].min() > (units @ units.T)[~same].max() + 0.3


def test_wrong_classes_are_refused():
    for params in ({"classes": 1}, {"arc": 4.0}, {"scale": 0.0}, {"sample": 0.0}):
        with pytest.raises(InputError):
            ClassMargins(**{"dim": 2, "classes": 3, **params})
    with pytest.raises(DimensionMismatch):
        ClassMargins(2, 3)(random(4, 3), torch.zeros(4, dtype=torch.long))


def test_softmax_classification_spreads_what_it_is_told_to():
    logits = random(3, 4)
    shares = (logits - logits.logsumexp(1, keepdim=True)).numpy()
    smooth = softmax_classification(logits, torch.tensor([0, 1, 3]), smoothing=0.2)
    expected = -np.mean([0.8 * shares[row, label] + 0.05 * shares[row].sum() for row, label in enumerate([0, 1, 3])])
    assert smooth.item() == pytest.approx(expected)


# Numbers to be met ------------------------------------------------------------------------------------------------------


def test_cosines_that_should_be():
    left, right, goal = random(4, 3), random(4, 3, seed=1), random(4, seed=2)
    errors = [(unit(a) @ unit(b) - c) ** 2 for a, b, c in zip(left.numpy(), right.numpy(), goal.numpy(), strict=True)]
    assert cosine_regression(left, right, goal).item() == pytest.approx(np.mean(errors))


def test_cosines_in_an_order_that_is_given():
    left, right, goal = random(6, 3), random(6, 3, seed=1), torch.tensor([0.9, 0.1, 0.5, 0.5, 0.2, 0.7], dtype=torch.float64)
    cosines = [float(unit(a) @ unit(b)) for a, b in zip(left.numpy(), right.numpy(), strict=True)]
    orders = [(i, j) for i in range(6) for j in range(6) if goal[i] > goal[j]]
    assert len(orders) == 14  # of two that are equal none comes first
    expected = np.log1p(sum(np.exp((cosines[j] - cosines[i]) / 0.1) for i, j in orders))
    assert cosent(left, right, goal, temperature=0.1).item() == pytest.approx(expected)
    assert cosent(left, right, 7 + 3 * goal, temperature=0.1).item() == pytest.approx(expected)  # only their order counts
    assert cosent(left, right, torch.zeros(6)).item() == 0


def test_orders_are_those_of_sentence_transformers(wanted):
    wanted("sentence_transformers")
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    left, right, goal = random(8, 4).float(), random(8, 4, seed=1).float(), random(8, seed=2).float()
    theirs = CoSENTLoss(model=torch.nn.Identity(), scale=20.0)
    expected = theirs([{"sentence_embedding": each} for each in (left, right)], goal)
    assert cosent(left, right, goal).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_teacher_s_margins_and_distribution():
    student, teacher = random(3, 4), random(3, 4, seed=1)
    margins = margin_mse(student[:, 0], student[:, 1], teacher[:, 0], teacher[:, 1])
    difference = (student[:, 0] - student[:, 1]) - (teacher[:, 0] - teacher[:, 1])
    assert margins.item() == pytest.approx((difference**2).mean().item())
    p, q = (np.exp(each.numpy() / 2) / np.exp(each.numpy() / 2).sum(1, keepdims=True) for each in (teacher, student))
    expected = 4 * np.sum(p * np.log(p / q)) / 3
    assert distil_scores(student, teacher, temperature=2).item() == pytest.approx(expected)
    assert distil_scores(teacher, teacher).item() == pytest.approx(0, abs=1e-12)


def test_a_reconstruction_and_a_masked_one():
    output, target = random(2, 3, 4), random(2, 3, 4, seed=1)
    mask = torch.tensor([[True, False, True], [False, False, True]])
    squares = ((output - target) ** 2).numpy()
    assert reconstruction(output, target).item() == pytest.approx(squares.mean())
    assert reconstruction(output, target, mask).item() == pytest.approx(squares[mask.numpy()].mean())
    assert reconstruction(output, target, torch.zeros(2, 3, dtype=torch.bool)).item() == 0


def test_numbers_that_do_not_meet_are_refused():
    two, three = random(2), random(3)
    for call in (
        lambda: cosine_regression(random(2, 3), random(2, 4), two),
        lambda: cosine_regression(random(2, 3), random(2, 3), three),
        lambda: cosent(random(2, 3), random(2, 3), three),
        lambda: margin_mse(two, two, three, three),
        lambda: distil_scores(random(2, 3), random(2, 4)),
        lambda: reconstruction(two, three),
        lambda: reconstruction(random(2, 3), random(2, 3), torch.ones(3, dtype=torch.bool)),
    ):
        with pytest.raises(DimensionMismatch):
            call()


# Short vectors within long ones -----------------------------------------------------------------------------------------


def test_matryoshka_is_the_weighted_mean_of_its_parts():
    q, d = random(4, 8), random(4, 8, seed=1)
    loss = partial(info_nce, temperature=0.2)
    parts = [loss(q[:, :dim], d[:, :dim]).item() for dim in (2, 4, 8)]
    assert matryoshka(loss, q, d, dims=[2, 4, 8]).item() == pytest.approx(np.mean(parts))
    assert matryoshka(loss, q, d, dims=[2, 4, 8], weights=[1, 0, 3]).item() == pytest.approx(np.average(parts, weights=[1, 0, 3]))


def test_matryoshka_goes_around_margins_and_scores_too():
    vectors, labels = random(6, 8), torch.arange(6) % 3
    head = ClassMargins(8, 3, arc=0.2, scale=8).double()
    short = ClassMargins(4, 3, arc=0.2, scale=8).double()
    short.directions.data = head.directions.data[:, :4].clone()
    parts = [short(vectors[:, :4], labels).item(), head(vectors, labels).item()]
    found = matryoshka(partial(head.of_first, labels=labels), vectors, dims=[4, 8])
    assert found.item() == pytest.approx(np.mean(parts))
    found.backward()
    assert head.directions.grad[:, 4:].abs().sum() > 0
    q, d, other = (random(5, 8, seed=seed) for seed in range(3))
    told = torch.linspace(-1, 1, 5, dtype=torch.float64)

    def of_scores(q, d, other):
        return margin_mse((q * d).sum(-1), (q * other).sum(-1), told, -told)

    parts = [of_scores(q[:, :dim], d[:, :dim], other[:, :dim]).item() for dim in (2, 8)]
    assert matryoshka(of_scores, q, d, other, dims=[2, 8]).item() == pytest.approx(np.mean(parts))


@pytest.mark.parametrize("params", [{"dims": []}, {"dims": [9]}, {"dims": [0]}, {"dims": [4], "weights": [1, 2]}], ids=str)
def test_dimensions_that_there_are_not_are_refused(params):
    with pytest.raises(InputError):
        matryoshka(info_nce, random(2, 8), random(2, 8), **params)


# Gradients --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: info_nce(x[:3], x[3:], temperature=0.5, symmetric=True, negatives=x[:2]),
        lambda x: nt_xent(x[:3], x[3:]),
        lambda x: triplet(x[:2], x[2:4], x[4:], margin=2.0, distance="euclidean"),
        lambda x: batch_triplets(x, torch.tensor([0, 0, 1, 1, 2, 2]), margin=2.0),
        lambda x: with_margin(torch.tanh(x), torch.tensor([0, 1, 2, 0, 1, 2]), arc=0.3, gap=0.1).square().sum(),
        lambda x: cosine_regression(x[:3], x[3:], torch.tensor([0.1, 0.5, 0.9])),
        lambda x: cosent(x[:3], x[3:], torch.tensor([0.1, 0.5, 0.9])),
        lambda x: distil_scores(x, random(6, 3, seed=9)),
    ],
    ids=["info_nce", "nt_xent", "triplet", "batch_triplets", "with_margin", "cosine_regression", "cosent", "distil_scores"],
)
def test_gradients_are_those_of_small_differences(loss):
    assert torch.autograd.gradcheck(loss, random(6, 3).requires_grad_(), eps=1e-6, atol=1e-5)
