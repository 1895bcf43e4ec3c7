"""The README's tables, each written from the figures that the benchmark of its name printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Span = dict[str, float]  # the median, the lowest and the highest of the rounds


def ladder(plain: dict[str, Any]) -> str:
    tables = []
    for name, result in plain["results"].items():
        clean = result["clean_queries"] < result["queries"]
        head = ["", "nDCG@10", *(["clean queries"] if clean else []), "Recall@100", "vs baseline", "p", "docs/s", "ms a query"]
        rows = [_ladder_row(candidate, result, clean) for candidate in result["candidates"]]
        title = f"**{name}**: {result['documents']:,} documents, {result['queries']:,} queries"
        title += f" ({result['clean_queries']} clean of the train split's answers)." if clean else "."
        tables.append(f"{title}\n\n{table(head, rows)}\n\n> {result['verdict']}\n")
    return "\n".join(tables)


def _ladder_row(candidate: dict[str, Any], result: dict[str, Any], clean: bool) -> list[str]:
    if "error" in candidate:
        return [candidate["name"], "failed"]
    mean, low, high = candidate["metrics"]["nDCG@10"]
    name = f"**{candidate['name']}**" if candidate["name"] == result["pick"] else candidate["name"]
    tally = candidate["wins_ties_losses"]
    return [
        name,
        f"{mean:.3f} [{low:.3f}, {high:.3f}]",
        *([f"{candidate['clean'][0]:.3f}"] if clean else []),
        f"{candidate['metrics']['Recall@100'][0]:.3f}",
        "baseline" if tally is None else f"+{tally[0]} ={tally[1]} −{tally[2]}",
        "" if candidate["p"] is None else "< .001" if candidate["p"] < 0.001 else f"{candidate['p']:.3f}",
        f"{candidate['documents_per_second']:,.0f}",
        f"{candidate['ms_per_query']['p50']:.2f}",
    ]


def encode(plain: dict[str, Any]) -> str:
    us, peer = "vicino", "sentence-transformers"
    head = ["2,000 documents", "tokens each", f"{us}, docs/s", f"{peer} at its defaults", "times faster", "mean cosine", "lowest"]
    rows = []
    for name, result in plain["results"].items():
        speed, faster, cosine = result["documents_a_second"], result["times_faster"], result["cosine"]
        rows.append(
            [
                name,
                f"{result['tokens_a_document']:.0f}",
                f"{speed[us]:.0f}",
                f"{speed[peer]:.0f}",
                f"**{faster['median']:.2f}** [{faster['lowest']:.2f}, {faster['highest']:.2f}]",
                f"{cosine['mean']:.5f}",
                f"{cosine['lowest']:.5f}",
            ]
        )
    spearman = plain["stsb_test_spearman"]
    return (
        f"all-MiniLM-L6-v2 on {plain['parameters']['threads']} threads, both in turn over {plain['parameters']['rounds']} rounds "
        f"(median of the rounds' ratios, lowest and highest):\n\n{table(head, rows)}\n\n"
        f"STS-B test, Spearman: {spearman[us]:.4f}, {peer} {spearman[peer]:.4f}, published {spearman['published']:.3f}. "
        f"How far from the processor: {plain['what_would_close_the_gap']}"
    )


def ingest(plain: dict[str, Any]) -> str:
    """What keeping costs, and BM25 beside another engine for collections."""
    large, over, new, engine = plain["large"], plain["overhead"], plain["updates"], plain["engine"]
    share, indexed = over["share_of_encoding"], over["share_of_encoding_with_indexing"]
    first = new["first_query_after_an_update_ms"]
    before, after, writing = new["query_ms_before"], new["query_ms_after"], new["update_ms"]
    told = [
        f"{large['documents']:,} paragraphs with BM25 and LSA: {large['first_seconds']:.0f} s,",
        f"within {large['most_memory_gb']:.2f} GB of memory;",
        f"again, with nothing changed, {large['nothing_changed_seconds']:.1f} s.",
        f"With MiniLM, all that is not encoding takes {share['median']:.1%} [{share['lowest']:.1%}, {share['highest']:.1%}]",
        f"of the time of encoding, with indexing {indexed['median']:.1%} [{indexed['lowest']:.1%}, {indexed['highest']:.1%}]",
        f"({over['documents']:,} paragraphs, {over['rounds']} rounds).",
        f"{new['updates']:,} ingests of one changed document into {new['documents']:,}, each followed by a query that must",
        f"find it: that query takes {first['first_100']:.0f} ms (median of the first hundred)",
        f"and {first['last_100']:.0f} ms (of the last), queries after it {before['median']:.2f} ms before all updates",
        f"and {after['median']:.2f} ms after; an update takes {writing['first_100']:.0f} and {writing['last_100']:.0f} ms.",
    ]
    lines = [
        " ".join(told),
        *_kept(plain),
        "",
        f"BM25 over {engine['documents']:,} paragraphs, one query at a time, in turn with tantivy (k = {engine['k']}):",
        "",
        "| queries | vicino, q/s | tantivy, q/s | times faster |",
        "| --- | --- | --- | --- |",
    ]
    for name in ("titles", "sentences"):
        speed, ratio = engine[name]["queries_per_second"], engine[name]["times_faster"]
        times = span(ratio)
        lines.append(f"| {name} | {speed['vicino']:,} | {speed['tantivy']:,} | {times} |")
    return "\n".join(lines)


def _kept(plain: dict[str, Any]) -> list[str]:
    """Vectors that were ready, and queries while a collection is maintained."""
    if "ready" not in plain:
        return []
    ready, upkeep = plain["ready"], plain["maintenance"]
    told = f"{ready['rows']:,} rows of ready vectors of {ready['dim']} dimensions: {ready['rows_per_second']:,} a second into "
    told += f"the table; as documents of an ingest {ready['ingest_rows_per_second']:,} a second. A query over "
    told += f"{upkeep['documents']:,} documents before, during and after maintenance: "
    times = [upkeep[f"query_ms_{when}"] for when in ("before", "during", "after")]
    return ["", told + ", ".join(f"{one['median']:.1f} ms (p95 {one['p95']:.1f})" for one in times) + "."]


def best_instructions(machine: dict[str, Any]) -> str:
    """The best instructions that a processor has."""
    return str(machine["instructions"][-1]).upper()


def words(plain: dict[str, Any]) -> str:
    """CPU seconds and quality of word vectors, beside gensim's."""
    about = plain["parameters"]
    head = ["", "tokens", "CPU, s", "times less [of the seeds]", "text file to vectors", "MB", "WordSim-353", "MEN", "analogies"]
    rows = []
    for one in plain["results"]:
        ours, theirs, times = one["vicino"], one["gensim"], one["gensim/vicino"]
        rows.append(
            [
                {"sg": "skip-gram", "cbow": "CBOW", "fasttext": "FastText"}[one["family"]],
                f"{one['tokens'] / 1e6:.1f} M" + " \\*" * ("machine" in one),
                f"{ours['learning_cpu'][0]:.0f} / {theirs['learning_cpu'][0]:.0f}",
                span(times["learning_cpu"]),
                f"{times['whole_wall']['median']:.1f} times faster",
                f"{ours['peak_mb'][0]:.0f} / {theirs['peak_mb'][0]:.0f}",
                *(f"{ours[name][0]:.3f} / {theirs[name][0]:.3f}" for name in ("wordsim353", "men", "analogies")),
            ]
        )
    elsewhere = {best_instructions(one["machine"]) for one in plain["results"] if "machine" in one}
    return (
        f"{about['dim']} dimensions, window {about['window']}, {about['negative']} negatives, {about['epochs']} epochs, the rate "
        f"from {about['alpha']['sg']} on both sides (CBOW {about['vicino_alpha']['cbow']} and {about['alpha']['cbow']}, of which "
        "two threads of gensim make the same mean), the same words of Wikipedia, "
        f"{about['threads']} threads each, in turn, {about['seeds']} seeds (medians; vicino / gensim):\n\n{table(head, rows)}"
        + "".join(f"\n\n\\* On another processor, with {each}; the others on one with AVX-512." for each in elsewhere)
    )


def glove(plain: dict[str, Any]) -> str:
    """What GloVe takes and gives, beside skip-gram."""
    about, oracle = plain["parameters"], plain["oracle"]
    head = ["tokens", "nonzeros", "counted, CPU s", "nonzeros a CPU second", "MB", "WordSim-353", "skip-gram", "at epoch"]
    rows = []
    for one in plain["results"]:
        ours, theirs = one["glove"], one["skip-gram"]["course"][-1]["plain"]["wordsim353"][0]
        course = [epoch["centred"]["wordsim353"][0] for epoch in ours["course"]]
        rows.append(
            [
                f"{one['tokens'] / 1e6:.1f} M",
                f"{ours['nonzeros'][0] / 1e6:.1f} M",
                f"{ours['counting_cpu'][0] + ours['tiling_cpu'][0]:.0f}",
                f"{ours['learnt_a_cpu_second'][0] / 1e6:.1f} M",
                f"{ours['peak_mb'][0]:,.0f}",
                f"{max(course):.3f}",
                f"{theirs:.3f}",
                f"{course.index(max(course)) + 1} of {about['epochs']}",
            ]
        )
    shortcuts = plain["shortcuts"]
    best = {
        name: max(epoch["centred"]["wordsim353"][0] for epoch in shortcuts[name]["course"])
        for name in ("glove", "one order, float32", "one order, float64")
    }
    return (
        f"GloVe, {about['dim']} dimensions, window {about['window']}, {about['threads']} threads (of a processor with "
        f"{best_instructions(plain['machine'])}), {about['seeds']} seeds (medians; the best epoch of each):\n\n"
        f"{table(head, rows)}\n\n"
        f"The shortcuts, on the smallest text, WordSim-353: float32 in tiles {best['glove']:.3f}, in one random order "
        f"{best['one order, float32']:.3f}, float64 in one random order {best['one order, float64']:.3f}. A plain numpy AdaGrad "
        f"costs the same in each of {len(oracle['costs'])} epochs, to {oracle['largest_relative_difference']:.1%}, and "
        f"{oracle['numpy_cpu'] / oracle['cpu']:.0f} times the time."
    )


def swivel(plain: dict[str, Any]) -> str:
    """How soon Swivel is as good as GloVe ever is."""
    about = plain["parameters"]
    head = [
        "tokens",
        f"GloVe's best WordSim-353 in {about['epochs']} epochs",
        "GloVe, CPU s",
        "Swivel to the same, CPU s",
        "Swivel's best",
    ]
    rows = []
    for one in plain["results"]:
        same = one["to_the_same"]
        rows.append(
            [
                f"{one['tokens'] / 1e6:.1f} M",
                f"{same['wordsim353']:.3f}",
                f"{same['glove_cpu']:.0f}",
                "not reached" if same["swivel_cpu"] is None else f"{same['swivel_cpu']:.0f}",
                f"{max(epoch['plain']['wordsim353'][0] for epoch in one['swivel']['course']):.3f}",
            ]
        )
    return (
        f"Swivel (window {about['window']}) beside GloVe (window {about['glove']['window']}, rate "
        f"{about['glove']['learning_rate']}, sample {about['glove']['sample']}), "
        f"{about['epochs']} epochs, {about['threads']} threads, {about['seeds']} seeds (medians), counting and learning "
        f"together:\n\n{table(head, rows)}"
    )


def doc2vec(plain: dict[str, Any]) -> str:
    """Document vectors, beside gensim's and simpler ones."""
    about, corpus, runs = plain["parameters"], plain["corpus"], plain["median, lowest, highest"]
    head = ["", "learning, CPU s", "gensim takes", "new documents, CPU s", "gensim takes", "accuracy"]
    rows = []
    for name, run in runs.items():
        way = name.removeprefix("vicino ")
        times = plain["gensim/vicino"].get(way) if name != way else None
        rows.append(
            [
                f"**{name}**" if times else name,
                f"{run['learning_cpu'][0]:.1f}",
                span(times["learning_cpu"]) if times else "",
                f"{run['inferring_cpu'][0]:.1f}",
                span(times["inferring_cpu"]) if times else "",
                "{:.3f} [{:.3f}, {:.3f}]".format(*run["accuracy"]),
            ]
        )
    return (
        f"20 Newsgroups by date ({corpus['train_documents']:,} documents to learn from, {corpus['test_documents']:,} new ones), "
        f"{about['dim']} dimensions, {about['epochs']} epochs, {about['threads']} threads, in turn, {about['seeds']} seeds "
        f"(median [lowest, highest]); accuracy of a logistic regression:\n\n{table(head, rows)}"
    )


def graphs(plain: dict[str, Any]) -> str:
    """Node vectors, beside PecanPy with gensim, and links beside common neighbours."""
    about, parts = plain["parameters"], []
    for data_set in ("blogcatalog", "cora"):
        found = plain[data_set]
        head = ["", "CPU, s", "PecanPy + gensim", "times less [of the seeds]", "micro-F1", "macro-F1"]
        rows = []
        for family, each in found["families"].items():
            ours, theirs = each["vicino"], each.get("pecanpy")
            rows.append(
                [
                    {"line-1": "LINE, order 1", "line-2": "LINE, order 2", "line": "LINE, both"}.get(family, family),
                    f"{ours['whole_cpu'][0]:.0f}",
                    f"{theirs['whole_cpu'][0]:.0f}" if theirs else "",
                    span(each["pecanpy/vicino"]["whole_cpu"]) if theirs else "",
                    *(
                        f"{ours[name][0]:.3f}" + (f" / {theirs[name][0]:.3f}" if theirs else "")
                        for name in ("micro_f1", "macro_f1")
                    ),
                ]
            )
        title = {"blogcatalog": "BlogCatalog", "cora": "Cora"}[data_set]
        parts.append(f"**{title}**: {found['nodes']:,} nodes, {found['edges']:,} edges\n\n{table(head, rows)}")
    head = ["links, AUC", *(name for name in plain["links"]["cora"]["deepwalk"])]
    rows = [
        [f"{data_set}, {family}", *(f"{score['mean']:.3f}" for score in scores.values())]
        for data_set, families in plain["links"].items()
        for family, scores in families.items()
    ]
    return (
        f"{about['dim']} dimensions, {about['num_walks']} walks of {about['walk_length']} nodes, window {about['window']}, "
        f"{about['negative']} negatives, half the nodes with labels, {about['threads']} threads, in turn, {about['seeds']} seeds "
        "(medians; vicino / peer):\n\n"
        + "\n\n".join(parts)
        + "\n\nLinks: 30 % of the edges held out; two scores of vectors, two that need none, and classifiers of pairs:\n\n"
        + table(head, rows)
    )


def lexical(plain: dict[str, Any]) -> str:
    head = ["", "nDCG@10", "exact float64", "top-10 overlap", "stemmed"]
    quality = [
        [
            name,
            f"{found['plain']['vicino']:.3f}",
            f"{found['plain']['exact']:.3f}",
            f"{found['plain']['overlap']:.4f}",
            f"{found['stemmed']['vicino']:.3f}",
        ]
        for name, found in plain["quality"].items()
    ]
    speed = [
        [
            f"{corpus['corpus']}, {corpus['documents']:,}, {corpus['analyzer']}",
            f"{kind} ({found['mean_terms']:.0f} terms)",
            f"{found['queries_per_second']['vicino']:,}",
            f"{found['queries_per_second']['bm25s numba']:,}",
            f"**{found['times_faster_than_bm25s_numba']['median']:.1f}**",
            f"{found['times_faster_than_bm25s_default']['median']:.1f}",
            f"{found['overlap_with_exact']['vicino']:.3f} / {found['overlap_with_exact']['bm25s numba']:.3f}",
            f"{corpus['build_seconds']['vicino']:.2f} / {corpus['build_seconds']['bm25s']:.2f}",
        ]
        for corpus in plain["speed"]
        for kind, found in corpus["queries"].items()
    ]
    faster = ["documents", "queries", "vicino, q/s", "bm25s (numba)", "times faster", "than its default", "overlap", "build, s"]
    return (
        f"Quality against a BM25 as the textbook has it, on the same tokens (plain words, and English stems "
        f"without common words):\n\n{table(head, quality)}\n\n"
        f"Speed against bm25s on the same tokens, k = {plain['parameters']['k']}, {plain['parameters']['threads']} threads, "
        f"both in turn over {plain['parameters']['rounds']} rounds (overlap, build: vicino / bm25s):\n\n{table(faster, speed)}"
    )


def topics(plain: dict[str, Any]) -> str:
    """What learning topics costs and is worth, beside three peers."""
    about, corpus, times = plain["parameters"], plain["corpus"], plain["cpu_times_less_than"]
    head = ["", "CPU, s", "times ours", "perplexity", "with its own prior", "NPMI"]
    rows = [
        [
            f"**{name}**" if name == plain["target"]["of"] else name,
            f"{found['cpu']['median']:.1f}",
            span(times[name]) if name in times else "",
            f"{found['perplexity']['median']:,.0f}",
            f"{found['perplexity_own_prior']['median']:,.0f}",
            f"{found['npmi']['median']:.3f}",
        ]
        for name, found in plain["results"].items()
    ]
    return (
        f"{about['topics']} topics of 20 Newsgroups ({corpus['documents']:,} documents, {corpus['words']:,} words), "
        f"{about['threads']} threads where a peer can use them, {about['seeds']} seeds (medians). Perplexity: what half of each "
        f"of {corpus['held_out_documents']:,} held-out documents says of its other half, computed by one function from all "
        f"topics (lower is better); NPMI of the ten best words of each topic (higher is better):\n\n{table(head, rows)}"
    )


def span(times: Span) -> str:
    """How many times, with what the rounds range over."""
    return f"**{times['median']:.1f}** [{times['lowest']:.1f}, {times['highest']:.1f}]"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def abtest(plain: dict[str, Any]) -> str:
    """What experiments on simulated users find, of which the truth is known."""
    head = [
        "one look at the end",
        "users",
        "false alarms (promised 5 %)",
        "of groups 9 to 1",
        "planned gain found (promised 80 %)",
    ]
    rows = []
    for name in ("purchase", "click/impression", "value/user"):
        one = plain[name]
        rates = (one["false_alarms"], one["false_alarms_9_to_1"], one["found"])
        rows.append([name, f"{one['users']:,}", *map(_rate, rates)])
    looks, lists, lost = plain["looks"], plain["interleaved"], plain["lost users"]
    fixed, peeked, found = (_rate(looks[each]) for each in ("false_alarms_of_a_fixed_test", "false_alarms", "found"))
    clicks = _rate(plain["click/impression"]["false_alarms_if_clicks_were_independent"])
    same, whole = (_rate(plain[each]["false_alarms"]) for each in ("the same", "whole readings"))
    half, eighth = (_rate(lists[f"found_with_1_in_{part}_of_them"]) for part in (2, 8))
    lost_found, lost_wrong = _rate(lost["found"]), _rate(lost["false_alarms"])
    told = [
        f"Each rate is of {plain['parameters']['runs']:,} simulated experiments (interleaving: a tenth), its interval of 95 %.",
        f"Twenty looks raise {fixed} of false alarms by a test for one look and {peeked} with `--peek`, which finds the gain",
        f"in {found}. An interval over clicks, as if each were a user, raises {clicks}. A group that loses a twentieth of its",
        f'users is refused in {lost_found} of logs, sound groups in {lost_wrong}. "The same" is said wrongly in',
        f"{same}; three metrics of three groups raise any false claim in {whole}. Interleaving finds the better ranking in",
        f"{half} with half of the users that two groups want for 80 %, in {eighth} with an eighth.",
    ]
    return f"{table(head, rows)}\n\n{' '.join(told)}"


def _rate(one: dict[str, float]) -> str:
    return f"{one['rate']:.1%} [{one['low']:.1%}, {one['high']:.1%}]"


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    each.__name__: each for each in (ladder, encode, lexical, ingest, words, glove, swivel, doc2vec, topics, graphs, abtest)
}
