import { describe, expect, it } from "vitest";
import { sorted } from "./Candidates";
import { bytes, chance, seconds, share, signed } from "./figures";
import { placed, type Mark } from "./plots";
import {
  bootstrap,
  type Candidate,
  type Comparison,
  type Contest,
  duel,
  front,
  type Measured,
  opening,
  readRecord,
  tested,
} from "./record";

const interval = (mean: number) => ({ mean, low: mean - 0.1, high: mean + 0.1 });
const one = (name: string, mean: number, cost: number | null, rest: Partial<Candidate> = {}): Measured => ({
  ...{ name, error: "", simple: false, cost_seconds: cost, metrics: { m: interval(mean) } },
  ...rest,
});

describe("a record", () => {
  const record = {
    schema: "vicino.comparison/1",
    task: {},
    metrics: [],
    statistics: {},
    verdict: {},
    candidates: [],
    queries: [],
  };

  it("is read where it is one", () => {
    expect(readRecord(record)).toBe(record);
    expect(() => readRecord({ ...record, schema: "vicino.comparison/2" })).toThrow(/comparison\/2/);
    expect(() => readRecord({ ...record, queries: undefined, task: [] })).toThrow(/task, queries/);
    expect(() => readRecord(null)).toThrow(/schema/);
  });

  it("opens with the pick against what it is measured by", () => {
    const of = (pick: string, baseline: string, best = pick) =>
      opening({
        verdict: { pick, best, tied: [], sentence: "" },
        baseline,
        candidates: [one("x", 1, 1), one("y", 2, 1)],
      } as unknown as Comparison);
    expect(of("y", "x")).toEqual(["x", "y"]);
    expect(of("x", "x", "y")).toEqual(["y", "x"]);
    expect(of("x", "gone")).toEqual(["y", "x"]);
  });
});

describe("the front", () => {
  it("holds what nothing beats on both, and not what has no price", () => {
    const all = [one("dear", 0.9, 9), one("cheap", 0.5, 1), one("beaten", 0.4, 2), one("run", 0.95, null), one("twin", 0.5, 1)];
    expect(front(all, "m").map(({ name }) => name)).toEqual(["cheap", "twin", "dear"]);
  });
});

describe("two candidates", () => {
  const a = one("a", 0, 1, { values: [0.5, 0.5, 0.5, null, 0.2] });
  const b = one("b", 0, 1, { values: [0.7, 0.5 + 1e-12, 0.1, 1, 0.2] });

  it("are set against each other on what both were measured on", () => {
    const found = duel(a, b);
    expect([found.wins, found.ties, found.losses]).toEqual([1, 2, 1]);
    expect(found.rows.map(({ query }) => query)).toEqual([0, 1, 4, 2]);
    expect(found.difference!.mean).toBeCloseTo((0.2 - 0.4) / 4, 9);
    expect(duel(a, one("c", 0, 1)).difference).toBeNull();
  });

  it("have an interval near that of the normal distribution, the same each time", () => {
    const values = Array.from({ length: 400 }, (_, n) => Math.sin(n * 12.9898) * 3);
    const mean = values.reduce((sum, value) => sum + value, 0) / 400;
    const error = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 399 / 400);
    const found = bootstrap(values, 0.95)!;
    expect(Math.abs((mean - found.low) / error - 1.96)).toBeLessThan(0.3);
    expect(Math.abs((found.high - mean) / error - 1.96)).toBeLessThan(0.3);
    expect(bootstrap(values, 0.95)).toEqual(found);
    expect(bootstrap([2, 2, 2], 0.95)).toEqual({ mean: 2, low: 2, high: 2 });
  });

  it("are told what the study's own test said, from B's side", () => {
    const contest: Contest = {
      against: "a",
      difference: { mean: 0.2, low: 0.1, high: 0.3 },
      p: 0.01,
      decision: "better",
      wins: 5,
      ties: 1,
      losses: 2,
    };
    const tried = { ...b, against_baseline: contest };
    expect(tested(a, tried)).toBe(contest);
    expect(tested(tried, a)).toMatchObject({
      difference: { mean: -0.2, low: -0.3, high: -0.1 },
      decision: "worse",
      wins: 2,
      losses: 5,
    });
    expect(tested(a, b)).toBeUndefined();
  });
});

describe("the table of candidates", () => {
  it("is sorted by what was asked, unknown costs last", () => {
    const all = [one("x", 0.1, null), one("y", 0.3, 5), one("z", 0.2, 1), one("w", 0, null)];
    expect(sorted(all, "m").map(({ name }) => name)).toEqual(["y", "z", "x", "w"]);
    expect(sorted(all, "cost").map(({ name }) => name)).toEqual(["z", "y", "x", "w"]);
  });
});

describe("labels of a chart", () => {
  it("stand on nothing else, and the weighty ones come first", () => {
    const mark = (name: string, role = ""): Mark => ({ name, cost: 1, quality: interval(1), role });
    const crowd = Array.from({ length: 12 }, (_, n) => mark(`candidate ${n}`, n === 11 ? "B" : ""));
    const labels = placed(crowd, new Set(["candidate 3"]), () => [200, 100], 400);
    expect(labels.slice(0, 2).map(({ mark: { name } }) => name)).toEqual(["candidate 11", "candidate 3"]);
    expect(new Set(labels.map(({ side }) => side)).size).toBe(labels.length);
  });
});

describe("figures", () => {
  it("are short and honest", () => {
    expect([share(-0.12345), signed(0.1), share(null), signed(0)]).toEqual(["−0.123", "+0.100", "–", "0.000"]);
    expect([0.0004, 0.25, 3.21, 600, 9000].map(seconds)).toEqual(["0.4 ms", "250 ms", "3.2 s", "10 min", "2.5 h"]);
    expect([0, 999, 1_234_567].map(bytes)).toEqual(["0 B", "999 B", "1.23 MB"]);
    expect([0.0001, 0.04321, 1].map(chance)).toEqual(["< .001", ".043", "1.000"]);
  });
});
