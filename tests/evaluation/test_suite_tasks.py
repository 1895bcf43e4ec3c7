"""Each task of the suite on small data made here: what is right by construction, what oracles say, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import datasets, metrics
from sklearn.ensemble import IsolationForest
from sklearn.metrics import silhouette_samples

from vicino.errors import EmptyInput, InputError, UnknownName, UnreadableSource
from vicino.evaluation.suite import judge, open_task
from vicino.evaluation.suite.anomalies import DETECTORS
from vicino.evaluation.suite.classes import silhouettes

RANDOM = np.random.default_rng(0)
THEMES = {
    "sea": str.split("wave salt tide ship sail harbour gull anchor storm fish"),
    "sky": str.split("cloud wing plane lift star moon pilot jet glide tower"),
    "kitchen": str.split("pan salt bread oven butter knife stew flour onion spoon"),
}


def themed(theme: str, words: int = 6) -> str:
    return " ".join(RANDOM.choice(THEMES[theme], words))


def table(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# Pairs of texts -------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored_pairs(tmp_path):
    rows = []
    for number in range(80):
        left, right = RANDOM.choice(list(THEMES), 2)
        shared = themed(left)
        same = number % 2 == 0
        other = shared.split()[: 2 + number % 4] + themed(left if same else right, 3).split()
        rows.append({"sentence1": shared, "sentence2": " ".join(other), "score": 4.0 if same else 1.0 + (number % 3) / 2})
    return table(tmp_path / "pairs.jsonl", rows)


def test_similarity_is_spearman_of_cosines(scored_pairs):
    task = open_task("similarity", scored_pairs)
    found = judge(task, ["overlap", "tfidf"])
    rows = [json.loads(line) for line in scored_pairs.read_text().splitlines()]
    bags = [[set(row[side].split()) for side in ("sentence1", "sentence2")] for row in rows]
    shared = [len(a & b) / len(a | b) for a, b in bags]
    oracle = stats.spearmanr(shared, [row["score"] for row in rows])[0]
    assert found["overlap"].metrics["Spearman"].mean == pytest.approx(oracle, abs=1e-9)
    oracle = stats.pearsonr(shared, [row["score"] for row in rows])[0]
    assert found["overlap"].metrics["Pearson"].mean == pytest.approx(oracle, abs=1e-9)
    assert found["overlap"].simple
    assert found["tfidf"].simple
    assert "80 pairs of texts, scored from 1 to 4" in task.about


def test_pairs_are_told_by_average_precision(tmp_path):
    rows = []
    for number in range(60):
        left = themed("sea")
        right = themed("sea") if number % 3 == 0 else themed("sky")
        rows.append({"text1": left, "text2": right, "label": int(number % 3 == 0)})
    path = table(tmp_path / "pairs.jsonl", rows)
    found = judge(open_task("pairs", path), ["overlap", "tfidf"], measures=["AP", "F1", "ROC-AUC"])
    truth = [row["label"] for row in rows]
    scores = [len(a & b) / len(a | b) for a, b in ((set(row["text1"].split()), set(row["text2"].split())) for row in rows)]
    assert found["overlap"].metrics["AP"].mean == pytest.approx(metrics.average_precision_score(truth, scores), abs=1e-9)
    assert found["overlap"].metrics["ROC-AUC"].mean == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-9)
    assert found["tfidf"].metrics["AP"].mean > 0.9


def test_pairs_of_one_first_text_hang_together(tmp_path):
    rows = [{"query": f"wing {n // 4}", "answer": themed("sky"), "label": n % 2} for n in range(40)]
    assert len(set(open_task("pairs", table(tmp_path / "a.jsonl", rows)).groups.tolist())) == 10
    rows = [{"query": f"wing {n}", "answer": themed("sky"), "label": n % 2} for n in range(40)]
    assert open_task("pairs", table(tmp_path / "b.jsonl", rows)).groups is None


def test_scores_and_labels_are_not_confused(scored_pairs, tmp_path):
    with pytest.raises(InputError, match="vicino compare similarity"):
        open_task("pairs", scored_pairs)
    with pytest.raises(UnknownName, match="column"):
        open_task("similarity", scored_pairs, columns={"score": "grade"})
    alone = table(tmp_path / "texts.jsonl", [{"text": "wings", "label": "sky"}, {"text": "waves", "label": "sea"}])
    with pytest.raises(InputError, match="not pairs with a score"):
        open_task("similarity", alone)
    one = table(tmp_path / "one.jsonl", [{"text1": f"a {n}", "text2": f"b {n}", "label": 1} for n in range(5)])
    with pytest.raises(InputError, match="of one label"):
        open_task("pairs", one)
    with pytest.raises(UnknownName, match="ovrlap"):
        judge(open_task("similarity", scored_pairs), ["ovrlap"])


def test_of_a_folder_the_split_is_asked(tmp_path):
    rows = [{"sentence1": themed("sea"), "sentence2": themed("sky"), "score": n / 10} for n in range(30)]
    table(tmp_path / "train.jsonl", rows)
    table(tmp_path / "test.jsonl", rows[:20])
    assert open_task("similarity", tmp_path).size == 20
    assert open_task("similarity", tmp_path, split="train").size == 30
    with pytest.raises(UnknownName, match="split"):
        open_task("similarity", tmp_path, split="tset")


# Duplicates -----------------------------------------------------------------------------------------------------------


def test_duplicates_of_groups_are_found_among_all(tmp_path):
    texts = [" ".join(f"w{word}" for word in RANDOM.integers(500, size=12)) for _ in range(60)]
    rows = [{"text": text, "group": None} for text in texts]
    rows += [{"text": f"{text} indeed", "group": f"g{row}"} for row, text in enumerate(texts[:15])]
    for row in range(15):
        rows[row]["group"] = f"g{row}"
    path = table(tmp_path / "texts.jsonl", rows)
    task = open_task("duplicates", path)
    assert "75 texts of 60 groups, of which 30 have duplicates (15 pairs)" in task.about
    found = judge(task, ["overlap", "tfidf"])
    assert found["overlap"].metrics["F1"].mean == pytest.approx(1)
    assert found["tfidf"].metrics["AP"].mean > 0.95
    low, high = found["tfidf"].metrics["AP"][1:]
    assert 0 < low <= high <= 1


def test_a_pair_that_nobody_proposes_is_missed(tmp_path):
    rows = [{"text": themed("sea", 8), "group": None} for _ in range(20)]
    rows += [{"text": "oven onion", "group": "x"}, {"text": "cloud wing", "group": "x"}]  # no word in common
    rows += [{"text": "stew flour spoon", "group": "y"}, {"text": "spoon stew flour", "group": "y"}]
    found = judge(open_task("duplicates", table(tmp_path / "t.jsonl", rows)), ["overlap"])
    assert found["overlap"].metrics["AP"].mean < 0.51  # of two pairs one is found first


def test_a_row_may_name_what_it_repeats_and_pairs_are_taken_too(tmp_path):
    rows = [{"id": "a", "text": "one two three", "duplicate_of": ""}, {"id": "b", "text": "three two one", "duplicate_of": "a"}]
    rows += [{"id": f"x{n}", "text": themed("sea"), "duplicate_of": ""} for n in range(9)]
    assert "11 texts of 10 groups" in open_task("duplicates", table(tmp_path / "t.jsonl", rows)).about
    pairs = [{"text1": themed("sea"), "text2": themed("sky"), "label": n % 2} for n in range(10)]
    assert open_task("duplicates", table(tmp_path / "p.jsonl", pairs)).unit == "pairs"
    alone = table(tmp_path / "n.jsonl", [{"text": themed("sea"), "group": n} for n in range(9)])
    with pytest.raises(InputError, match="no two texts"):
        open_task("duplicates", alone)
    with pytest.raises(UnknownName, match="column"):
        open_task("duplicates", alone, columns={"group": "gruop"})
    classes = table(tmp_path / "c.jsonl", [{"text": themed("sea"), "label": "s"} for n in range(9)])
    with pytest.raises(InputError, match="no column of groups"):
        open_task("duplicates", classes)


# Classes --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def classed(tmp_path):
    rows = [{"title": f"number {n}", "text": themed(theme, 8), "label": theme} for n in range(40) for theme in THEMES]
    return table(tmp_path / "themes.jsonl", rows)


def test_classes_are_told_by_probe_and_neighbours(classed):
    task = open_task("classes", classed)
    found = judge(task, ["majority", "tfidf", "lsa(n_components=5)"])
    assert task.size == 24
    for name in ("tfidf", "lsa(n_components=5)"):
        for measure in ("linear", "kNN", "macro-F1"):
            assert found[name].metrics[measure].mean > 0.9
    assert found["majority"].metrics["linear"].mean == pytest.approx(1 / 3)
    assert found["majority"].metrics["macro-F1"].mean == pytest.approx(0.5 / 3)  # one class of three at 1/3 and 1
    assert found["majority"].decision == "worse"
    assert len(found["tfidf"].values) == 24


def test_clusters_are_found_without_being_told(classed):
    found = judge(
        open_task("clusters", classed),
        ["chance", "lsa(n_components=3)"],
        measures=["V-measure", "NMI", "ARI", "purity", "silhouette"],
    )
    own, chance = found["lsa(n_components=3)"].metrics, found["chance"].metrics
    assert own["V-measure"].mean > 0.8
    assert own["NMI"].mean == own["V-measure"].mean
    assert own["silhouette"].mean > 0.3
    assert abs(chance["ARI"].mean) < 0.1
    assert chance["silhouette"].mean == 0
    assert found["chance"].decision == "worse"


def test_the_silhouette_is_that_of_scikit_learn():
    digits = datasets.load_digits()
    rows = digits.data[:300].astype(np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    theirs = silhouette_samples(unit, digits.target[:300], metric="cosine")
    np.testing.assert_allclose(silhouettes(unit, digits.target[:300]), theirs, atol=1e-9)
    alone = silhouettes(unit[:3], np.array([0, 0, 1]))  # the only one of its class
    assert alone[2] == 0


def test_a_split_to_learn_from_is_used(classed, tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    lines = classed.read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[:90]))
    (folder / "test.jsonl").write_text("".join(lines[90:]))
    task = open_task("classes", folder)
    assert task.size == 30
    assert "90 are learnt from" in task.about
    with pytest.raises(UnknownName, match="split"):
        open_task("classes", folder, split="tst")


def test_what_has_no_classes_is_named(tmp_path, scored_pairs):
    one = table(tmp_path / "one.jsonl", [{"text": themed("sea"), "label": "sea"} for _ in range(20)])
    for kind in ("classes", "clusters"):
        with pytest.raises(InputError, match="one class"):
            open_task(kind, one)
        with pytest.raises(InputError):
            open_task(kind, scored_pairs)


# Words ----------------------------------------------------------------------------------------------------------------


def ready(path: Path, places) -> str:
    """The candidate that looks words up in a file."""
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in places.items()))
    return f"ready(path={path})"


@pytest.fixture
def vectors(tmp_path):
    places = {"paris": [1, 0, 0], "france": [1, 0, 1], "rome": [0, 1, 0], "italy": [0, 1, 1], "oslo": [-1, 0, 0]}
    return ready(tmp_path / "words.txt", places)


def test_pairs_of_words_follow_what_people_say(tmp_path, vectors):
    rows = ["word1\tword2\tscore", "paris\tfrance\t9", "paris\trome\t5", "paris\toslo\t1", "italy\tfrance\t6", "paris\tparish\t4"]
    path = tmp_path / "people.tsv"
    path.write_text("\n".join(rows) + "\n")
    found = judge(open_task("words", path), ["spelling", vectors], measures=["Spearman", "Pearson", "known"])
    cosines = [1 / np.sqrt(2), 0, -1, 0.5, 0]  # of a word that is not known 0
    oracle = stats.spearmanr(cosines, [9, 5, 1, 6, 4])[0]
    assert found[vectors].metrics["Spearman"].mean == pytest.approx(oracle, abs=1e-6)
    assert found[vectors].metrics["known"].mean == pytest.approx(0.8)
    assert found["spelling"].simple
    told = judge(open_task("words", path), ["spelling", "word2vec"])
    assert "has not learnt" in told["word2vec"].error


def test_a_folder_of_sets_is_their_mean(tmp_path, vectors):
    folder = tmp_path / "sets"
    folder.mkdir()
    (folder / "a.tsv").write_text("word1\tword2\tscore\nparis\tfrance\t9\nparis\trome\t5\nparis\toslo\t1\n")
    (folder / "b.tsv").write_text("word1\tword2\tscore\nitaly\tfrance\t1\nitaly\trome\t8\nrome\toslo\t3\n")
    task = open_task("words", folder)
    found = judge(task, [vectors], measures=["Spearman", "a", "b"])
    each = [found[vectors].metrics[name].mean for name in ("a", "b")]
    assert found[vectors].metrics["Spearman"].mean == pytest.approx(np.mean(each))
    assert open_task("words", folder, split="b").size == 3
    with pytest.raises(UnknownName, match="set"):
        open_task("words", folder, split="c")


def test_analogies_are_solved_by_sums_and_products(tmp_path):
    pairs = (("paris", "france"), ("rome", "italy"), ("oslo", "norway"))
    places = {}
    for number, (capital, country) in enumerate(pairs):
        own = [float(number == place) for place in range(3)]
        places |= {capital: [*own, 1, 0], country: [*own, 0, 1]}
    vectors = ready(tmp_path / "vectors.txt", places)
    path = tmp_path / "questions.txt"
    path.write_text(": x\nparis france rome italy\nrome italy oslo norway\nparis france oslo norway\nparis france smurf italy\n")
    found = judge(open_task("words", path), ["spelling", vectors])
    for measure in ("3CosAdd", "3CosMul", "known"):
        assert found[vectors].metrics[measure].mean == pytest.approx(0.75)
    assert found["spelling"].metrics["3CosAdd"].mean == 0
    path.write_text("apparent apparently rapid rapidly\ndance dancing vote voting\n")
    assert judge(open_task("words", path), ["spelling"])["spelling"].metrics["3CosAdd"].mean == 1


def test_what_are_no_words_is_named(tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text("a b c\n")
    with pytest.raises(UnreadableSource, match="line 1: 3 words"):
        open_task("words", path)
    path.write_text(": nothing\n")
    with pytest.raises(EmptyInput):
        open_task("words", path)
    with pytest.raises(UnreadableSource, match=r"questions\.txt"):
        open_task("words", tmp_path)
    with pytest.raises(UnreadableSource, match="there is no"):
        open_task("words", tmp_path / "nowhere")


# Graphs ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def circles(tmp_path):
    """Three circles of friends, of 12 each, with few friends between them."""
    own = np.arange(36) // 12
    likely = np.where(own[:, None] == own, 0.6, 0.02)
    edges = np.argwhere(np.tril(np.random.default_rng(1).random((36, 36)) < likely, -1))
    (tmp_path / "edges.tsv").write_text("source\ttarget\n" + "".join(f"{left}\t{right}\n" for left, right in edges))
    (tmp_path / "nodes.tsv").write_text("node\tlabel\n" + "".join(f"{node}\tc{own[node]}\n" for node in range(36)))
    return tmp_path


WALKS = "deepwalk(vector_size=8,walk_length=10,num_walks=5,epochs=1)"


def test_labels_of_nodes_are_told(circles):
    found = judge(open_task("nodes", circles), ["majority", "neighbours", WALKS])
    assert found["neighbours"].metrics["micro-F1"].mean > 0.9
    assert found["majority"].metrics["micro-F1"].mean < 0.5
    assert found[WALKS].metrics["micro-F1"].mean > found["majority"].metrics["micro-F1"].mean
    assert "does not encode nodes" in judge(open_task("nodes", circles), ["majority", "tfidf"])["tfidf"].error


def test_links_are_told_again(circles):
    task = open_task("links", circles)
    found = judge(task, ["common_neighbours", "adamic_adar", WALKS, f"{WALKS}:hadamard"])
    assert found["common_neighbours"].metrics["ROC-AUC"].mean > 0.7
    for name in (WALKS, f"{WALKS}:hadamard"):
        assert not found[name].error
        assert 0 <= found[name].metrics["AP"].mean <= 1
    assert found[WALKS].metrics != found[f"{WALKS}:hadamard"].metrics
    with pytest.raises(InputError, match="parted by chance"):
        open_task("links", circles, split="test")
    (circles / "nodes.tsv").unlink()
    with pytest.raises(InputError, match="says nothing about labels"):
        open_task("nodes", circles)


# Anomalies ------------------------------------------------------------------------------------------------------------


def test_flowers_of_another_kind_are_anomalies(tmp_path):
    iris = datasets.load_iris()
    rows = np.concatenate([iris.data[:50], iris.data[100:105]])
    path = tmp_path / "iris.npz"
    np.savez(path, X=rows, y=np.repeat([0, 1], [50, 5]))
    found = judge(open_task("anomalies", path))
    assert [rung.name for rung in found.rungs] == list(DETECTORS)
    for name in ("distance", "knn", "iforest"):
        assert found[name].metrics["ROC-AUC"].mean > 0.95
    assert found["distance"].simple
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    theirs = -IsolationForest(random_state=0).fit(scaled).score_samples(scaled)
    oracle = metrics.roc_auc_score(np.repeat([0, 1], [50, 5]), theirs)
    assert found["iforest"].metrics["ROC-AUC"].mean == pytest.approx(oracle, abs=1e-9)
    with pytest.raises(UnknownName, match="detector"):
        judge(open_task("anomalies", path), ["knm"])


def test_texts_may_be_anomalies(tmp_path):
    rows = [{"text": themed("sea"), "anomaly": False} for _ in range(60)]
    rows += [{"text": themed("kitchen"), "anomaly": True} for _ in range(5)]
    path = table(tmp_path / "t.jsonl", rows)
    found = judge(open_task("anomalies", path), ["length", "tfidf:distance", "tfidf", "lsa(n_components=5):lof"])
    assert found["tfidf:distance"].metrics["ROC-AUC"].mean > 0.8
    assert not any(rung.error for rung in found.rungs)
    none = table(tmp_path / "n.jsonl", [{"text": themed("sea"), "anomaly": 0} for _ in range(20)])
    with pytest.raises(InputError, match="marks none"):
        open_task("anomalies", none)


# Real data ------------------------------------------------------------------------------------------------------------


def test_real_folders_are_read_as_they_are(shared_data):
    sizes = {
        ("similarity", "stsb"): 1379,
        ("words", "wordsim"): 4674,
        ("words", "google-analogies/questions-words.txt"): 19544,
        ("nodes", "cora"): 2708,
        ("nodes", "blogcatalog"): 10312,
        ("links", "karate"): 46,
        ("anomalies", "adbench-open/6_cardio.npz"): 1831,
        ("classes", "20newsgroups"): 7516,
    }
    for (kind, place), size in sizes.items():
        folder, *file = place.split("/")
        assert open_task(kind, shared_data(folder).joinpath(*file)).size == size, place
    found = judge(open_task("similarity", shared_data("stsb")), ["overlap", "tfidf"])
    assert found.pick == "tfidf"
    assert 0.65 < found["tfidf"].metrics["Spearman"].mean < 0.75
