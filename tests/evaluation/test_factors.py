"""What a study takes of each factor, and that putting it together promises nothing that the queries did not show."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import InputError
from vicino.evaluation.factors import Design, Factor, Ruling, choose_combination, combine_picks, factors_of, rule
from vicino.retrieval import parse

N = 400
PLAIN = Design("lsa")


def names_of(factors):
    return list(dict.fromkeys(name for factor in factors for name in factor.names))


@pytest.fixture
def factors() -> tuple[Factor, ...]:
    return factors_of(["lsa", "bm25", "tfidf"], default="lsa", reranker="rr/")


@pytest.fixture
def quality(factors):
    """Values of every level: alike but for noise, and what is added to some."""

    def make(seed: int = 0, **gains: float) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        base = rng.uniform(0.2, 0.8, N)
        return {name: base + rng.normal(0, 0.05, N) + gains.get(name, 0.0) for name in names_of(factors)}

    return make


def options(values, **cheap):
    """The default costs and weighs 1, every other level more, but those that are named."""
    at = {name: 1.0 + place for place, name in enumerate(values)} | cheap
    return {"costs": at, "sizes": at}


@pytest.mark.parametrize(
    "design",
    [
        Design("lsa", granularity="window(pool=top3)", fusion="rrf"),
        Design("lsa", scoring="lda", fusion="tuned"),
        Design("lsa(n_components=8)", precision="index=int8,keep=int8", granularity="sentence", scoring="svm"),
        Design("minilm", fusion="rrf", reranking="org/cross(depth=20)"),
    ],
)
def test_every_design_is_a_name_that_can_be_read(design):
    recipe = parse(design.name)
    assert (recipe.retriever == "fused") == bool(design.fusion and not design.reranking)
    assert parse(design.name) == recipe


def test_every_level_of_every_factor_can_be_read():
    for name in names_of(factors_of(["minilm", "bm25"], default="minilm", reranker="org/cross")):
        assert parse(name).retriever


def test_where_nothing_is_better_the_cheapest_that_is_not_worse_is_taken(factors, quality):
    values = quality(tfidf=-0.2)
    ruled = rule(factors, values, **options(values, tfidf=0.1, bm25=0.4), margin=0.0)
    assert ruled["family"].pick.name == "bm25"  # tfidf is cheaper still, and worse
    assert (ruled["family"].worse, ruled["family"].decision) == (("tfidf",), "not told apart")
    assert ruled["scoring"] == Ruling(PLAIN, "")


def test_what_is_better_is_taken_whatever_it_costs_and_the_cheaper_of_two_alike(factors, quality):
    gain = {"lsa@sentence": 0.1, "lsa@paragraph": 0.1, "lsa@window": 0.05}
    values = quality(**gain)
    ruled = rule(factors, values, **options(values, **{"lsa@paragraph": 90.0, "lsa@sentence": 80.0, "lsa@window": 70.0}))
    assert ruled["granularity"].pick.name == "lsa@sentence"  # the window is cheaper, and told from both
    assert ruled["granularity"].decision == "better"
    assert set(ruled["granularity"].better) == set(gain)


def test_the_smallest_that_is_shown_to_be_no_worse_is_taken(factors, quality):
    small, smaller = "lsa(index=int8,keep=int8)", "lsa(index=binary,keep=int8)"
    values = quality(**{smaller: -0.1})
    values[small] = values["lsa"].copy()
    sizes = options(values, **{small: 0.5, smaller: 0.1})
    ruled = rule(factors, values, **sizes)
    assert (ruled["precision"].pick.name, ruled["precision"].decision) == (small, "the same")
    few = {name: each[:20] for name, each in values.items()}
    assert rule(factors, few, **sizes)["precision"].pick == PLAIN  # twenty ties are no proof


def test_within_the_margin_is_the_same_and_no_reason_to_pay_more(factors, quality):
    values = quality()
    values["lsa:svm"] = values["lsa"] + 0.002  # on every query, beyond chance, and nothing to anybody
    ruled = rule(factors, values, **options(values, **{"lsa:lda": np.inf}))
    assert ruled["scoring"].pick == PLAIN
    assert ruled["scoring"].better == ()


def test_levels_that_were_not_measured_are_passed_over_but_not_the_default(factors, quality):
    values = {name: each for name, each in quality().items() if "@" not in name}
    assert rule(factors, values, **options(values))["granularity"] == Ruling(PLAIN, "")
    del values["lsa"]
    with pytest.raises(InputError, match="the default, lsa, was not measured"):
        rule(factors, values, **options(values))


def test_picks_are_put_together_where_they_were_measured(factors):
    def ruled(**picks: Design) -> dict[str, Ruling]:
        return {factor.name: Ruling(picks.get(factor.name, PLAIN), "") for factor in factors}

    own = {
        "granularity": Design("lsa", granularity="sentence"),
        "scoring": Design("lsa", scoring="lda"),
        "fusion": Design("lsa", fusion="tuned"),
    }
    assert combine_picks(factors, ruled()) == PLAIN
    assert combine_picks(factors, ruled(**own)).name == "bm25+lsa@sentence:lda:tuned"
    other = combine_picks(factors, ruled(family=Design("tfidf"), **own))
    assert other.name == "bm25+tfidf:tuned"  # what suits the vectors of lsa says nothing of others
    assert combine_picks(factors, ruled(family=Design("bm25"), **own)).name == "bm25+lsa@sentence:lda:tuned"
    assert combine_picks(factors, ruled(family=Design("bm25"))).name == "bm25"
    read = Design("lsa", reranking="rr/(depth=20)")
    assert combine_picks(factors, ruled(reranking=read, **own)).name == "bm25+lsa@sentence:lda>rr/(depth=20)"


def test_a_combination_is_scored_by_what_other_folds_chose(factors, quality):
    values = quality(**{"lsa@sentence": 0.1, "bm25+lsa": 0.1})
    asked = []

    def measure(design):
        asked.append(design.name)
        return values["lsa"] + 0.2

    found = choose_combination(factors, values, measure, **options(values))
    assert found.design.name == "bm25+lsa@sentence"
    assert set(found.chosen) == set(asked) == {"bm25+lsa@sentence"}
    assert np.array_equal(found.values, values["lsa"] + 0.2)
    assert np.bincount(found.fold).tolist() == [80] * 5
    again = choose_combination(factors, values, measure, **options(values))
    assert np.array_equal(again.fold, found.fold)


def test_a_combination_that_cannot_be_measured_falls_back_to_a_level_that_its_fold_did_not_choose_by(factors, quality):
    values = quality(**{"lsa@sentence": 0.1, "bm25+lsa": 0.2})
    found = choose_combination(factors, values, lambda design: None, **options(values))
    assert found.design.name == "bm25+lsa@sentence"
    assert found.chosen == ("bm25+lsa",) * 5


def test_queries_that_hang_together_are_of_one_fold(factors, quality):
    values = quality()
    groups = np.arange(N) // 4
    found = choose_combination(factors, values, lambda design: values["lsa"], **options(values), groups=groups)
    assert all(len(set(found.fold[groups == group])) == 1 for group in range(N // 4))
    alone = choose_combination(factors, values, lambda design: None, **options(values), groups=np.zeros(N))
    assert (alone.design, alone.chosen) == (PLAIN, ())
    assert np.array_equal(alone.values, values["lsa"])


def test_choosing_among_equals_gains_nothing(factors):
    """Every level of equal true quality, and one combination that is lucky: what is scored is not."""
    gains, picked = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        values = {name: rng.uniform(0, 1, 60) for name in names_of(factors)}
        others = {}

        def measure(design, others=others, rng=rng):
            return others.setdefault(design.name, rng.uniform(0, 1, 60))

        found = choose_combination(factors, values, measure, **options(values), folds=3)
        gains.append(found.values.mean() - 0.5)
        picked.append(max(each.mean() for each in values.values()) - 0.5)
    assert abs(np.mean(gains)) < 0.055  # five standard errors
    assert np.mean(picked) > 0.06  # what the luckiest level shows


def test_a_clear_gain_within_the_margin_is_not_paid_for(factors):
    """Better beyond chance by less than the margin is the same: the default stays, and nothing dearer is called cheaper."""
    base = np.random.default_rng(0).uniform(0.2, 0.8, N)
    values = {"lsa": base, "bm25": base + 0.004, "tfidf": base - 0.2}
    (ruling,) = rule(factors[:1], values, **options(values)).values()
    assert (ruling.pick.name, ruling.decision) == ("lsa", "")
    (ruling,) = rule(factors[:1], values, **options(values, bm25=0.4)).values()
    assert (ruling.pick.name, ruling.decision) == ("bm25", "the same")
