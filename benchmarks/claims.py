"""What is commonly said of embeddings, tested on real data, whichever way it falls.

    python benchmarks/claims.py --data DIR --work FOLDER [--only bm25 svm ...] > docs/figures/claims.json
    python benchmarks/claims.py --write docs/claims.md

The first prints one JSON object: each claim is an experiment (a file of numbers in FOLDER: what was stopped goes on there), and
those that `--only` leaves out are told as they were kept, or as untested. The second writes the page from
docs/figures/claims.json, as `claims_page` has it. How a verdict is made: `claims_evidence`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import claims_figures
import claims_labels
import claims_learning
import claims_search
import claims_words
from claims_evidence import Lab, verdict
from claims_page import page
from rounds import machine
from vicino import progress

FIGURES = Path(__file__).resolve().parent.parent / "docs" / "figures"


@dataclass(frozen=True)
class Claim:
    """What is said, how it was tested, what that cannot tell, and the experiment; `figures` is a benchmark whose it reads."""

    says: str
    tested: str
    limits: str
    experiment: Callable[[Lab], dict[str, Any]]
    figures: str = ""


CLAIMS = {
    "bm25": Claim(
        "BM25 beats zero-shot embeddings out of domain",
        "BM25 over stems and without stopwords, as the saying's own sources have it (for code, over the parts of "
        "identifiers), against all-MiniLM-L6-v2 as it comes. Beside it, BM25 over plain words.",
        "all-MiniLM-L6-v2 has read scientific text and code, though none of these questions; and larger models are better.",
        claims_search.bm25,
    ),
    "svm": Claim(
        "An SVM beats nearest neighbours",
        "A linear SVM of the positives against all vectors of the collection, and its closed form, exemplar-LDA, by their "
        "defaults, against the cosine, over the vectors of all-MiniLM-L6-v2. Of queries in words the query is the one "
        "positive; of newsgroups five posts are, and the other posts of the group are to be found.",
        "One model's vectors, and penalties that nobody tuned.",
        claims_search.svm,
    ),
    "grain": Claim(
        "Neither sentences nor whole articles are the right grain",
        "Documents cut into paragraphs (of at most 600 characters), sentences, windows of 60 words, or left whole, each "
        "as near as its nearest piece by all-MiniLM-L6-v2. Paragraphs must beat both extremes. The 400 long articles of "
        "Wikipedia are asked for by a sentence that was taken out of them (synthetic); the documents of the other sets "
        "are abstracts.",
        "Whole articles are cut at the 256 tokens that the model reads, which may be why they lose.",
        claims_search.grain,
    ),
    "hard negatives": Claim(
        "Hard negatives are the largest lever",
        "all-MiniLM-L6-v2 taught on CoNaLa with and without a mined hard negative of each pair, beside what teaching, and "
        "what reranking adds.",
        "One set of 2,378 pairs, one seed, and a base that had met hard negatives before. Two effects are differences of "
        "gains that were not paired.",
        claims_figures.hard_negatives,
        "benchmarks/finetune.py --parts conala",
    ),
    "frequency": Claim(
        "CBOW suits frequent words, skip-gram rare ones",
        "Both taught on the same text with word2vec's own settings, and judged by people's scores of word pairs, parted "
        "into thirds by how often the rarer word of a pair comes. CBOW must be ahead on the frequent third, skip-gram on "
        "the rare third, and its lead must be larger there.",
        "Words that come fewer than five times are not there at all. 100 dimensions, Wikipedia.",
        claims_words.frequency,
    ),
    "swivel": Claim(
        "Swivel is faster than GloVe and slightly worse",
        "Both taught on the same text by their defaults, and judged by people's scores of word pairs (GloVe must be "
        "ahead); and the seconds of a processor until Swivel's vectors are as good as GloVe's ever are (Swivel must take "
        "fewer).",
        "Swivel was made for accelerators, where its dense blocks are cheap; this is a processor.",
        claims_words.swivel,
        "benchmarks/swivel.py",
    ),
    "autoencoder": Claim(
        "Autoencoder vectors reconstruct but do not mean",
        "In search, the best linear autoencoder there is (LSA: by Eckart and Young no map of its width keeps more of TF-IDF) "
        "against the TF-IDF that it reconstructs. Of images, a convolutional one against the same network taught by "
        "contrast and by labels; beside it, raw pixels and PCA.",
        "Images of one kind, four minutes of training each.",
        claims_learning.autoencoder,
        "benchmarks/images.py --parts fashion",
    ),
    "layers": Claim(
        "Pooled earlier layers carry other features",
        "Mean-pooled layers of all-MiniLM-L6-v2. From each, a linear probe tells how long a question is, and whether two "
        "neighbouring words of it were swapped: the best earlier layer (chosen by other questions) must beat the last. In "
        "likeness of sentences, as cosines have it, the last must beat the best earlier one. Beside it, the class of a "
        "question.",
        "One small network of six layers.",
        claims_learning.layers,
        "benchmarks/images.py --parts fashion",
    ),
    "labels": Claim(
        "Embeddings need fewer labels than raw features",
        "Logistic regression over all-MiniLM-L6-v2 and over TF-IDF, with the same few labels of each class, drawn five "
        "times; the penalty of each is chosen by other items. Beside it, with all 3,000 labels.",
        "Topics and kinds of questions, which models of sentences are good at.",
        claims_labels.labels,
    ),
    "whitening": Claim(
        "Whitening cures anisotropy",
        "Whitening learnt from documents alone. The mean cosine of documents that it was not learnt from must go down, "
        "and search must gain.",
        "Every direction is whitened, and none shrunk; these collections have 1,400 to 5,183 documents.",
        claims_search.anisotropy,
    ),
    "dimensions": Claim(
        "384 dimensions are enough, and Matryoshka keeps most at 64",
        "Enough: LSA of 384 dimensions is not worse than of 1,024, within .01. Most: of all-MiniLM-L6-v2 taught on CoNaLa "
        "with Matryoshka, the first 64 dimensions keep at least 90 % of nDCG@10. Beside it, taught without, and cut as it "
        "comes.",
        "No network wider than 384 works offline here; LSA stands for what width gives.",
        claims_learning.dimensions,
    ),
    "hnsw": Claim(
        "HNSW finds 95-99 % in under a millisecond",
        "Queries one at a time, in one thread, at the effort that gives this recall of the ten nearest by exact search.",
        "100,000 vectors and fewer, in memory. No interval: each is the median of three rounds over all queries.",
        claims_figures.hnsw,
        "benchmarks/ann.py",
    ),
    "batch": Claim(
        "More in-batch negatives help, and until when",
        "all-MiniLM-L6-v2 taught on CoNaLa in the same batches of 128, with the same steps and learning rate; a question "
        "is set against 1, 7, 31 or 127 of the others of its batch. Nothing else differs. Each number must beat the one "
        "before. Beside it, what teaching adds at all.",
        "One small set, and a base that had met more negatives than these.",
        claims_learning.in_batch,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder that holds scifact/, conala/, enwiki-2015-slice/ ...")
    parser.add_argument("--work", type=Path, help="where numbers are kept from one call to the next")
    parser.add_argument("--only", nargs="+", choices=CLAIMS, default=list(CLAIMS), metavar="CLAIM", help=", ".join(CLAIMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="write the page from docs/figures/claims.json, and measure nothing"
    )
    options = parser.parse_args()
    if options.write:
        report = json.loads((FIGURES / "claims.json").read_text("utf-8"))
        options.write.write_text(page(report), encoding="utf-8")
        return
    if not options.data or not options.work:
        parser.error("give --data and --work, or --write")

    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    lab = Lab(options.work, options.data, FIGURES, options.seeds, options.threads)
    with progress.bars(), threadpool_limits(options.threads):
        for name in options.only:
            lab.unit(f"claim-{name}", lambda n=name: CLAIMS[n].experiment(lab))
    report = {"benchmark": "claims", "machine": machine(), "claims": [told(lab, name) for name in CLAIMS]}
    print(json.dumps(report, indent=1))


def told(lab: Lab, name: str) -> dict[str, Any]:
    """A claim with what its experiment kept."""
    claim = CLAIMS[name]
    file = lab.work / f"claim-{name}.json"
    kept: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {"rows": []}
    about = {"name": name, "says": claim.says, "tested": claim.tested, "limits": claim.limits, "from": claim.figures}
    return {
        **about,
        "verdict": verdict(kept["rows"]),
        "said": kept.get("said", ""),
        "rows": kept["rows"],
        "seconds": kept.get("seconds"),
    }


if __name__ == "__main__":
    main()
