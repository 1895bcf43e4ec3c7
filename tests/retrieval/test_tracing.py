"""What a search noted of itself."""

from __future__ import annotations

from vicino.data.records import Document
from vicino.retrieval import from_recipe, parse, tracing

FEW = [Document("a", "tea time"), Document("b", "cello strings"), Document("c", "tea and cello")]


def test_nothing_is_noted_until_somebody_asks():
    retriever = from_recipe(parse("bm25+lsa(n_components=2)")).build(FEW)
    retriever.search("tea")
    with tracing.tracing() as trace:
        pass
    assert trace.seconds == {}
    assert trace.answers == {}


def test_every_part_is_noted_with_what_it_found():
    retriever = from_recipe(parse("bm25+lsa(n_components=2)")).build(FEW)
    with tracing.tracing() as trace:
        hits = retriever.search("tea", 2)
    assert set(trace.seconds) == {"lexical", "embed", "dense", "fused"}
    assert all(seconds > 0 for seconds in trace.seconds.values())
    assert trace.answers[id(retriever)] is hits
    assert {name for name, _ in trace.answers[id(retriever.parts[0])].top()} == {"a", "c"}


def test_a_stage_counts_its_own_time_alone(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 6.0])  # outer begins, inner begins, inner ends, outer ends
    monkeypatch.setattr(tracing.time, "perf_counter", lambda: next(clock))
    with tracing.tracing() as trace, tracing.stage("outer"), tracing.stage("inner"):
        pass
    assert trace.seconds == {"inner": 3.0, "outer": 3.0}


def test_a_stage_that_fails_is_counted_and_the_next_one_is_right():
    with tracing.tracing() as trace:
        try:
            with tracing.stage("outer"), tracing.stage("inner"):
                raise KeyError
        except KeyError:
            pass
        with tracing.stage("later"):
            pass
    assert set(trace.seconds) == {"outer", "inner", "later"}
    assert len(trace._inside) == 1
