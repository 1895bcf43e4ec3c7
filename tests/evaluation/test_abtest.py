"""Experiments: logs as they come, and what they decide."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from vicino import workbench
from vicino.cli import main
from vicino.data.experiment_logs import Log, read_interleaved, read_log
from vicino.errors import EmptyInput, InputError, UnknownName, UnreadableSource
from vicino.evaluation.abtest import plan, read
from vicino.metrics.experiments import permuted_difference

HEAD = ["user_id", "variant", "event", "timestamp", "session", "value", "event_id"]


def events(seed=0, users=1500, lift=0.0, groups=("A", "B"), shares=None):
    """Users who see ten things, click some, and buy: rows under HEAD."""
    random, rows = np.random.default_rng(seed), []
    for user in range(users):
        group = random.choice(groups, p=shares)
        taste = random.beta(2, 8)
        buys = random.random() < 0.2 + (lift if group != groups[0] else 0)
        for session in range(random.integers(1, 4)):
            for number in range(5):
                at = 1_700_000_000 + user * 60 + session * 20 + number
                rows.append([f"u{user}", group, "impression", at, f"s{session}", "", len(rows)])
                if random.random() < taste:
                    rows.append([f"u{user}", group, "click", at, f"s{session}", "", len(rows)])
        if buys:
            rows.append([f"u{user}", group, "purchase", at + 1, f"s{session}", round(random.gamma(2, 10), 2), len(rows)])
    return rows


def written(path, rows, head=HEAD):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.fixture(scope="module")
def rows():
    return events(lift=0.15)


@pytest.fixture
def log(tmp_path, rows):
    return written(tmp_path / "log.csv", rows)


METRICS = ["purchase", "click/impression", "value:purchase/user", "click/session"]


def test_a_planted_gain_is_found_and_what_did_not_change_is_not_claimed(log, rows):
    found = read(read_log(log), METRICS)
    purchase, *others = found.compared
    bought = {group: len({r[0] for r in rows if r[1] == group and r[2] == "purchase"}) for group in "AB"}
    size = {group: len({r[0] for r in rows if r[1] == group}) for group in "AB"}
    assert found.groups == size
    assert (purchase.control, purchase.value) == (bought["A"] / size["A"], bought["B"] / size["B"])
    assert purchase.decision == "better"
    assert others[0].decision == others[2].decision == "not told apart"
    clicks = [sum(r[2] == event and r[1] == "B" for r in rows) for event in ("click", "impression")]
    assert others[0].value == pytest.approx(clicks[0] / clicks[1])
    money = sum(r[5] for r in rows if r[1] == "B" and r[5] != "")
    assert others[1].value == pytest.approx(money / size["B"])
    sessions = len({(r[0], r[4]) for r in rows if r[1] == "B"})
    assert others[2].value == pytest.approx(clicks[0] / sessions)
    assert found.verdict.startswith("B is better: purchase")


def test_looking_early_costs_width_and_needs_the_plan(log):
    fixed = read(read_log(log), ["purchase"]).compared[0]
    early = read(read_log(log), ["purchase"], peek=True, effect=0.1).compared[0]
    assert early.difference.high - early.difference.low > fixed.difference.high - fixed.difference.low
    with pytest.raises(InputError, match="planned effect"):
        read(read_log(log), ["purchase"], peek=True)


def test_the_same_within_a_margin_is_said_and_so_is_not_enough(tmp_path):
    log = read_log(written(tmp_path / "log.csv", events(seed=5)))
    assert read(log, ["purchase"], margin=0.2).compared[0].decision == "the same"
    assert "take whichever is simpler" in read(log, ["purchase"], margin=0.2).verdict
    assert read(log, ["purchase"], margin=0.2, effect=0.2, peek=True).compared[0].decision == "the same"
    found = read(log, ["purchase"], margin=0.001)
    assert found.compared[0].decision == "not told apart"
    assert found.compared[0].more > 100_000
    assert "users more would tell" in found.verdict


def test_several_groups_are_each_compared_and_corrected(tmp_path):
    log = read_log(written(tmp_path / "log.csv", events(seed=1, users=3000, lift=0.15, groups=("A", "B", "C"))))
    found = read(log, ["purchase"])
    assert [one.group for one in found.compared] == ["B", "C"]
    against = read(log, ["purchase", "click/impression"], control="B")
    assert {(one.metric, one.group) for one in against.compared} == {
        (metric, group) for metric in ("purchase", "click/impression") for group in ("A", "C")
    }
    assert next(one for one in against.compared if (one.metric, one.group) == ("purchase", "A")).decision == "worse"


def test_a_gain_that_costs_elsewhere_is_told(tmp_path):
    rows = [row for row in events(seed=2, lift=0.2) if not (row[1] == "B" and row[2] == "click" and row[6] % 2)]
    log = read_log(written(tmp_path / "log.csv", rows))
    assert read(log, ["purchase", "click/impression"]).verdict.endswith("but click/impression got worse: weigh them.")


def test_a_log_that_lost_users_is_not_read(tmp_path, capsys):
    rows = [row for row in events(lift=0.3) if not (row[1] == "B" and int(row[0][1:]) % 5 == 0)]
    log = written(tmp_path / "log.csv", rows)
    found = read(read_log(log), ["purchase"])
    assert found.compared == ()
    assert "something loses users" in found.verdict
    sizes = [found.groups[name] for name in found.groups]
    assert read(read_log(log), ["purchase"], shares=sizes).compared
    with pytest.raises(SystemExit) as done:
        main(["abtest", "read", str(log), "--metric", "purchase"])
    assert done.value.code == 1
    assert "Do not read" in capsys.readouterr().out


def test_groups_of_very_different_sizes_and_too_small_ones(tmp_path):
    log = read_log(written(tmp_path / "log.csv", events(seed=4, users=4000, lift=0.2, shares=(0.9, 0.1))))
    assert read(log, ["purchase"], shares=[0.9, 0.1]).compared[0].decision == "better"
    few = read_log(written(tmp_path / "few.csv", events(seed=4, users=60)))
    assert "under 100 users" in read(few, ["purchase"]).verdict


def test_a_reading_of_several_metrics_and_groups_raises_no_more_false_alarms_than_one():
    random, wrong, runs = np.random.default_rng(0), 0, 300
    for _ in range(runs):
        times = np.concatenate([random.poisson(5, 900) + 1, random.poisson(1, 900), random.random(900) < 0.2])
        user = np.repeat(np.tile(np.arange(900), 3), times)
        event = np.repeat(np.repeat(np.arange(3), 900), times)
        log = Log(("a", "b", "c"), ("impression", "click", "buy"), np.arange(900) % 3, user, event, None, None)
        found = read(log, ["buy", "click/impression", "click/user"])
        wrong += any(one.decision != "not told apart" for one in found.compared)
    assert wrong / runs < 0.10  # four standard errors over .05; six comparisons, uncorrected, raise .2


def test_one_who_spends_much_is_told(tmp_path, rows):
    plain = read(read_log(written(tmp_path / "log.csv", rows)), ["value:purchase/user", "purchase"])
    buyer = next(row for row in rows if row[2] == "purchase")
    rich = [*rows, [buyer[0], buyer[1], "purchase", buyer[3] + 5, buyer[4], 1_000_000, "rich"]]
    found = read(read_log(written(tmp_path / "rich.csv", rich)), ["value:purchase/user", "purchase"])
    assert not any("a few users" in note for note in plain.notes if note.startswith("purchase:"))
    (note,) = [note for note in found.notes if "a few users" in note]
    assert note.startswith("value:purchase/user: a few users hold much of it (one has 9")


@pytest.mark.parametrize(("lift", "decision"), [(0.0, "the same"), (1.0, "better")])
def test_heavy_tails_are_decided_by_dividing_users_anew(lift, decision):
    random = np.random.default_rng(3)
    group_of = np.repeat([0, 1], [9000, 3000])
    spent = (random.random(12_000) < 0.1) * random.lognormal(3, 1, 12_000) * np.where(group_of, 1 + lift, 1)
    buyers = np.flatnonzero(spent)
    log = Log(("a", "b"), ("buy",), group_of, buyers, np.zeros(len(buyers), int), spent[buyers], None)
    found = read(log, ["value:buy/user"], margin=1.5, shares=[3, 1])
    (one,) = found.compared
    assert any("dividing all users anew" in note for note in found.notes)
    looked = read(log, ["value:buy/user"], margin=1.5, shares=[3, 1], peek=True, effect=1.0)
    assert not any("anew" in note for note in looked.notes)
    assert one.decision == decision
    split = permuted_difference((spent[:9000], None), (spent[9000:], None))
    assert (one.difference, one.p) == (split.interval, split.p)


# Logs as they come ------------------------------------------------------------------------------------------------------


def test_what_came_twice_counts_once(tmp_path, rows):
    plain = read_log(written(tmp_path / "plain.csv", rows))
    twice = read_log(written(tmp_path / "twice.csv", [*rows, *rows[::3]]))
    assert twice.counts("click").tolist() == plain.counts("click").tolist()
    assert twice.notes == (f"{len(rows[::3]):,} events came twice, and count once",)
    no_ids = [row[:6] for row in rows]
    by_time = read_log(written(tmp_path / "time.csv", [*no_ids, *no_ids[::3]], HEAD[:6]))
    assert by_time.counts("click").tolist() == plain.counts("click").tolist()
    by_day = [[*row[:3], "2024-05-31", *row[4:6]] for row in rows]  # three clicks on one day are three
    told = read_log(written(tmp_path / "day.csv", by_day, HEAD[:6]))
    assert told.counts("click").tolist() == plain.counts("click").tolist()
    assert told.notes == ()


def test_users_in_two_groups_are_left_out(tmp_path, rows):
    switched = [["u7", "A", "click", 1_700_000_000, "s9", "", "x1"], ["u7", "B", "click", 1_700_000_001, "s9", "", "x2"]]
    found = read_log(written(tmp_path / "log.csv", [*rows, *switched]))
    assert found.sizes.sum() == 1499
    assert "1 users (0.07%) were in several groups" in found.notes[0]


def test_times_cut_and_wrong_clocks_are_told(tmp_path, rows):
    skewed = [["u7", next(r[1] for r in rows if r[0] == "u7"), "click", 4_000_000_000, "s9", "", "x1"]]
    found = read_log(written(tmp_path / "log.csv", [*rows, *skewed]))
    assert "1 events are far from all others" in found.notes[0]
    cut = workbench.abtest_read(tmp_path / "log.csv", ["click"], end="2030-01-01", start="2023-11-15T00:00:00")
    assert "outside of --start and --end" in cut.notes[0]
    with pytest.raises(InputError, match="start is no date"):
        workbench.abtest_read(tmp_path / "log.csv", ["click"], start="soon")


def test_columns_by_other_names(tmp_path, rows):
    head = ["who", "where", "what", "timestamp", "session", "value", "event_id"]
    path = written(tmp_path / "log.csv", rows, head)
    with pytest.raises(UnreadableSource, match="the user and the group and the event"):
        read_log(path)
    found = read_log(path, columns={"user": "who", "group": "where", "event": "what"})
    assert found.groups == read_log(written(tmp_path / "plain.csv", rows)).groups
    with pytest.raises(UnknownName, match="did you mean who"):
        read_log(path, columns={"user": "whoo"})
    with pytest.raises(UnknownName, match="part of a log"):
        read_log(path, columns={"usr": "who"})


@pytest.mark.parametrize("metric", ["", "/user", "click/", "value:purchase"])
def test_a_metric_that_is_none_is_named(log, metric):
    with pytest.raises(InputError, match=r"metric|divided"):
        read(read_log(log), [metric])


def test_what_is_not_there_is_named(log, tmp_path, rows):
    found = read_log(log)
    with pytest.raises(UnknownName, match="did you mean click"):
        read(found, ["clik"])
    with pytest.raises(UnknownName, match="group"):
        read(found, ["click"], control="Z")
    with pytest.raises(InputError, match="nothing is measured"):
        read(found, [])
    with pytest.raises(InputError, match="have no value"):
        read(found, ["value:click/user"])
    bare = read_log(written(tmp_path / "bare.csv", [row[:3] for row in rows], HEAD[:3]))
    for metric in ("click/session", "value:click/user"):
        with pytest.raises(InputError, match="--columns"):
            read(bare, [metric])
    with pytest.raises(InputError, match="no times"):
        read_log(tmp_path / "bare.csv", start=0.0)
    with pytest.raises(EmptyInput):
        read_log(log, end=0.0)


# Plans, interleaving, the commands ----------------------------------------------------------------------------------------


def test_a_plan_for_several_groups_and_for_means():
    two, three = plan(0.1, 0.02), plan(0.1, 0.02, groups=3)
    assert three.users / 3 > two.users / 2
    assert plan(20.0, 1.0, spread=15.0).users == 2 * 3532  # (1.96 + .8416)^2 2 15^2
    for wrong in (
        {"baseline": 0.99, "effect": 0.02},
        {"baseline": 0.1, "effect": 0.0},
        {"baseline": 20, "effect": 1},
        {"baseline": 20, "effect": 1, "spread": 0},
    ):
        with pytest.raises(InputError):
            plan(**wrong)
    for wrong in ({"groups": 1}, {"per_day": 0}):
        with pytest.raises(InputError):
            plan(0.1, 0.01, **wrong)


def test_interleaved_users_decide_by_a_sign(tmp_path, capsys):
    random = np.random.default_rng(0)
    rows = [[f"u{n}", "new" if random.random() < 0.65 else "old", "click"] for n in range(400) for _ in range(3)]
    path = written(tmp_path / "clicks.csv", rows, ["user", "team", "event"])
    found = read_interleaved(path)
    assert found.wins.sum() == 1200
    main_ok(["abtest", "interleaved", str(path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["users"] == 400
    assert told["verdict"].startswith("new is better")
    with pytest.raises(UnknownName):
        read_interleaved(path, event="buy")
    with pytest.raises(InputError, match="3 teams"):
        read_interleaved(written(tmp_path / "three.csv", [*rows, ["x", "third", "click"]], ["user", "team", "event"]))


def test_the_log_of_two_groups_is_not_read_as_one_of_two_teams(tmp_path):
    rows = [[f"u{n}", "new" if n % 2 else "old", "click"] for n in range(100) for _ in range(3)]
    with pytest.raises(InputError, match="groups, not teams"):
        read_interleaved(written(tmp_path / "groups.csv", rows, ["user", "team", "event"]))


def test_a_log_of_those_only_who_did_it_is_said_to_be_one(tmp_path):
    rows = [[f"u{n}", "new" if n % 2 else "old", "click"] for n in range(400)]
    found = read(read_log(written(tmp_path / "clicks.csv", rows, ["user", "group", "event"])), ["click"])
    assert any("every user in the log did it" in note for note in found.notes)
    assert "a difference of 0" not in found.verdict
    assert "the same for every user" in found.verdict


def main_ok(arguments):
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert not done.value.code


def test_the_commands(log, capsys):
    main_ok(["abtest", "plan", "--baseline", "0.1", "--effect", "0.02", "--per-day", "500"])
    assert "users" in capsys.readouterr().out
    main_ok(["abtest", "read", str(log), "--metric", "purchase", "--metric", "click/impression", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [one["metric"] for one in told["compared"]] == ["purchase", "click/impression"]
    main_ok(["abtest", "read", str(log), "--metric", "purchase", "--shares", "50:50", "--peek", "--effect", "0.1"])
    shown = capsys.readouterr().out
    assert "however often one looks" in shown
    assert "B is better" in shown
