"""The README's tables of training, as `tables` has the others."""

from __future__ import annotations

from typing import Any

from tables import TABLES, span, table


def finetune(plain: dict[str, Any]) -> str:
    """What fine-tuning is worth on questions that nothing in training gives away."""
    found, parts = plain["results"], []
    if "folds" in found:
        folds = found["folds"]
        rows = []
        for way, told in (("alone", "MiniLM"), ("fused", "fused with BM25, weight .3")):
            adapted, taught = folds[way]["adapted"], folds[way]["adapted and taught"]
            rows.append([told, mean(adapted["before"]), "", ""])
            rows.append([f"{told}, adapted to the documents", mean(adapted["after"]), gain(adapted["gain"]), ""])
            beside = folds[way]["taught, beside adapted"]
            rows.append([f"{told}, adapted and taught", mean(taught["after"]), gain(taught["gain"]), gain(beside)])
        head = ["SciFact, grouped cross-validation", "nDCG@10", "gain", "of it by labels"]
        about = f"{folds['questions']:,} questions in {folds['groups']} groups, {plain['parameters']['folds']} folds"
        about += f", seeds: {folds['seeds']}"
        parts.append(f"{about}:\n\n{table(head, rows)}")
    if "maps" in found:
        parts.append(_mapped(found["maps"]))
    if "reranked" in found:
        parts.append(_reranked(found["reranked"]))
    if "published" in found:
        parts.append(_published(found["published"]))
    if "conala" in found:
        parts.append(_conala(found["conala"]))
    if "stsb" in found:
        seeds = found["stsb"]["seeds"]
        rows = [
            [
                str(seed),
                f"{one['before']:.4f}",
                f"**{one['after']:.4f}**",
                one["gate"]["sentence"].partition(":")[0],
                "; ".join(_control(each) for each in one["gate"]["controls"]),
            ]
            for seed, one in enumerate(seeds)
        ]
        told = f"STS-B, Spearman on all {found['stsb']['pairs']:,} test pairs, and whether something else was forgotten"
        parts.append(f"{told}:\n\n{table(['seed', 'before', 'after', 'verdict', 'elsewhere'], rows)}")
    if "shuffled" in found:
        parts.append(f"CoNaLa with its answers dealt out anew: *{found['shuffled']['verdict']}*.")
    return "\n\n".join(parts)


def _control(check: dict[str, Any]) -> str:
    """What stayed or fell on other data."""
    by = gain([check["difference"][each] for each in ("mean", "low", "high")])
    return f"{check['name']}: {check['before']:.3f} -> {check['after']:.3f} ({by})"


def _mapped(found: dict[str, Any]) -> str:
    rows = []
    for way, told in (("alone", "MiniLM"), ("fused", "fused with BM25, weight .3")):
        longer, mapped = found[way]["longer"], found[way]["mapped"]
        rows.append([told, mean(longer["before"]), ""])
        rows.append([f"{told}, reading {found['reads']} tokens", mean(longer["after"]), gain(longer["gain"])])
        rows.append([f"{told}, and mapped", mean(mapped["after"]), gain(mapped["gain"])])
    told = "fused with BM25, reranked by the base's tokens"
    for key, how in (("longer", f"reading {found['reads']} tokens"), ("mapped", "and mapped")):
        again = found["read again"][key]
        rows.append([f"{told}, {how}", mean(again["after"]), gain(again["gain"])])
    about = f"Maps of vectors learnt from the documents alone (`--way maps`), the same {found['questions']:,} questions, seeds: "
    about += f"{found['seeds']}; learnt in {', '.join(map(str, found['learnt_in']))} s"
    return f"{about}:\n\n{table(['', 'nDCG@10', 'gain'], rows)}"


def _reranked(found: dict[str, Any]) -> str:
    ways = {told: one for told, one in found.items() if told.startswith("first stage weighs")}
    rows = [["BM25 and the adapted MiniLM, fused", mean(next(iter(ways.values()))["before"]), ""]]
    rows += [[f"reranked, the {told}", mean(one["after"]), gain(one["gain"])] for told, one in ways.items()]
    about = f"A cross-encoder taught by the other folds, {found['questions']} questions of the first fold; its training ends "
    about += f"{'accepted' if found['accepted'] else '**rejected**'}"
    return f"{about}:\n\n{table(['', 'nDCG@10', 'gain'], rows)}"


def _published(found: dict[str, Any]) -> str:
    rows = [
        [
            f"{told}, {which} ({n} questions)",
            mean(found[way][key]["before"]),
            mean(found[way][key]["after"]),
            gain(found[way][key]["gain"]),
        ]
        for way, told in (
            ("alone", "MiniLM"),
            ("fused", "fused with BM25, weight .3"),
            ("weighed", "fused with BM25, weighed by the other fifths"),
        )
        for key, which, n in (
            ("all", "all", found["questions"]),
            ("clean", "what train does not give away", found["clean"]),
            ("given away", "what train gives away", found["questions"] - found["clean"]),
        )
    ]
    about = f"SciFact's own splits, the train split learnt whole and to the end, seeds: {found['seeds']}"
    return f"{about}:\n\n{table(['', 'before', 'after', 'gain'], rows)}"


def _conala(found: dict[str, Any]) -> str:
    usual, kept = found["defaults"], next(name for name in found if name.startswith("base_"))
    wide = kept.removeprefix("base_ndcg@10_by_").replace("_", " ")
    rows = [["BM25", f"{found['bm25']:.3f}", "", ""], ["MiniLM", mean(usual["before"]), "", f"{found[kept]:.3f}"]]
    for name, one in found["changes"].items():
        beside = "" if name == "defaults" else gain(one["beside_defaults"])
        narrow = f"{one[kept.removeprefix('base_')]:.3f} ({100 * one['share_kept']:.1f} %)"
        rows.append([f"taught: {name}", mean(one["ndcg@10"]), beside, narrow])
    narrow = found.get("matryoshka")
    if (rr := found.get("reranker")) is not None:
        check = rr["gate"]["gain"]
        rows.append(["BM25 + MiniLM, the first 50", f"{check['before']:.3f}", "", ""])
        rows.append(
            ["the same, reranked", f"{check['after']:.3f}", f"{gain(list(check['difference'].values()))} to the line above", ""]
        )
    head = ["", "nDCG@10", "beside the defaults", f"by {wide}"]
    about = f"CoNaLa, English to Python, {found['judged_by']}, first seed:\n\n{table(head, rows)}"
    return about if narrow is None else f"{about}\n\n{_turned(narrow)}"


def _turned(found: dict[str, Any]) -> str:
    """What the turn adds to Matryoshka, in words."""
    turned, before = (", ".join(f"{100 * one:.1f}" for one in found[name]) for name in ("share_kept", "before_the_turn"))
    alone = f"{100 * found['without_matryoshka_turned']:.1f}"
    return (
        f"By few dimensions, seeds 0 to {len(found['share_kept']) - 1}: Matryoshka keeps {turned} % of what all find; before the "
        f"vectors were turned, {before} %. A turn of what learnt without Matryoshka keeps {alone} %.{found.get('note', '')}"
    )


def train_speed(plain: dict[str, Any]) -> str:
    """Pairs a second, beside the trainer of sentence-transformers."""
    about = plain["parameters"]
    rows = [
        [
            name,
            f"{one['pairs_a_second']:.1f}",
            "" if name == "vicino" else span(one["vicino_is_faster"]),
            " / ".join(f"{value:.3f}" for value in one["ndcg@10"]),
        ]
        for name, one in plain["results"].items()
    ]
    head = ["", "pairs a second", "vicino is faster, times", f"nDCG@10 of each round (base {plain['base']:.3f})"]
    return (
        f"SciFact's triplets ({plain['tokens_of_an_example']:.0f} tokens), batches of {about['batch']}, {about['steps']} steps, "
        f"{about['threads']} threads, {about['rounds']} rounds in turn:\n\n{table(head, rows)}"
    )


def rerank(plain: dict[str, Any]) -> str:
    """Documents a second, beside sentence-transformers' CrossEncoder."""
    found, about = plain["results"], plain["parameters"]
    head = ["", "documents a second", "vicino is faster, times", "Kendall's tau", "first ten in common"]
    speeds, agreement = found["documents_a_second"], found["agreement"]
    rows = [
        ["vicino", f"{speeds['vicino']:.0f}", "", "", ""],
        [
            "sentence-transformers",
            f"{speeds['sentence-transformers']:.0f}",
            span(found["times_faster"]),
            f"{agreement['kendall_tau']:.3f}",
            f"{agreement['first_ten_in_common']:.3f}",
        ],
    ]
    return (
        f"{about['queries']} questions of SciFact, the first {about['depth']} documents of each, {about['threads']} threads, "
        f"{about['rounds']} rounds in turn, a cross-encoder of MiniLM's size:\n\n{table(head, rows)}"
    )


def mining(plain: dict[str, Any]) -> str:
    """Seconds of each part of mining, and the memory."""
    about = plain["parameters"]
    rows = []
    for name, one in plain["results"].items():
        of = "" if one["embedded"] == about["pairs"] else f" for {one['embedded']:,}"
        bm25, paragraphs, questions, chosen = (f"{seconds:,.0f}" for seconds in one["seconds"].values())
        rows.append([name, bm25, f"{paragraphs}{of}", questions, chosen, f"{one['peak_mb']:,}"])
    head = ["seconds", "BM25's index", "vectors of paragraphs", "of questions", "ranking and choosing", "memory MB"]
    told = f"Hard negatives for {about['pairs']:,} pairs (a paragraph of Wikipedia, asked for by its first sentence)"
    return f"{told}, {about['threads']} threads:\n\n{table(head, rows)}"


def static(plain: dict[str, Any]) -> str:
    """A vector a token, beside the model that it was distilled from."""
    rows = []
    for name, one in plain["results"].items():
        speed, found = one["documents_a_second"], one["ndcg@10"]
        seeds = ", ".join(f"{each:.3f}" for each in one["taught_seeds"])
        told = [f"{found['taught']:.3f} ({gain(one['taught_beside']['static'])}; seeds {seeds})"]
        told += [f"{found[other]:.3f} ({gain(one['taught_beside'][other])})" for other in ("minilm", "bm25")]
        times = f"**{one['times_faster']['median']:,.0f}**"
        rows.append([f"{name} ({one['documents']:,})", f"{speed['static']:,.0f}", f"{speed['minilm']:,.1f}", times])
        rows[-1] += [f"{one['seconds_to_distil']:,.0f}", f"{one['seconds_to_teach']:,.0f}", f"{found['static']:.3f}", *told]
    head = [
        "",
        "documents a second",
        "MiniLM",
        "times",
        "distilled in s",
        "taught in s",
        "nDCG@10 distilled",
        "taught (beside that)",
    ]
    head += ["MiniLM (taught beside it)", "BM25 (taught beside it)"]
    about = f"{plain['parameters']['threads']} thread, {plain['parameters']['rounds']} rounds in turn"
    title = f"`static`, distilled from MiniLM, and taught by documents without questions; {about}"
    return f"{title}:\n\n{table(head, rows)}"


def mean(numbers: list[float]) -> str:
    """A mean with its interval."""
    middle, low, high = numbers
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def gain(numbers: list[float]) -> str:
    """A difference with its interval; bold where it is beyond 0."""
    middle, low, high = numbers
    told = f"{middle:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"**{told}**" if low > 0 or high < 0 else told


TABLES |= {each.__name__: each for each in (finetune, train_speed, rerank, mining, static)}
