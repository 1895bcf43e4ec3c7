// A comparison as `vicino compare` wrote it ("vicino.comparison/1"), and what can be read from it: the front, and two candidates
// query by query. What could not be measured is null.
import { ApiError } from "../api";

export interface Interval {
  mean: number;
  low: number;
  high: number;
}

export interface Contest {
  against: string;
  difference: Interval;
  p: number;
  decision: string;
  wins: number;
  ties: number;
  losses: number;
}

export interface Candidate {
  name: string;
  error: string;
  simple: boolean;
  metrics?: Record<string, Interval>;
  notes?: string[];
  values?: (number | null)[]; // of the first metric, one a query
  against_baseline?: Contest | null;
  against_best?: Contest | null;
  build_seconds?: number | null;
  query_ms?: { p50: number | null; p95: number | null };
  cost_seconds?: number | null;
  index_bytes?: number | null;
}

export interface Slice {
  by: string;
  name: string;
  queries: number;
  pick: Interval;
  rest: number | null;
  p: number | null;
  against_baseline: Interval | null;
  baseline_p: number | null;
}

export interface Answer {
  factor: string;
  question: string;
  default: string;
  levels: string[];
  pick: string;
  sentence: string;
  skipped: Record<string, string>;
}

export interface Comparison {
  created: string;
  command: string;
  seconds?: number | null;
  task: { name: string; documents: number; queries: number; judgements: number; synthetic: string; notes?: string[] };
  metrics: { name: string; meaning: string }[];
  statistics: { level: number; interval: string; test: string; correction: string; units: number };
  foreseen?: { sentence: string } | null;
  verdict: { pick: string; best: string; tied: string[]; sentence: string };
  baseline: string;
  study?: { answers: Answer[]; combination: string; sentence: string; skipped: Record<string, string> } | null;
  slices?: Slice[];
  candidates: Candidate[];
  queries: { id: string; text: string }[];
  machine: Record<string, unknown>;
  versions: Record<string, string>;
}

const SCHEMA = "vicino.comparison/1";
const PARTS = {
  task: "object",
  metrics: "array",
  statistics: "object",
  verdict: "object",
  candidates: "array",
  queries: "array",
} as const;

/** The record, where it is one that this page reads. */
export function readRecord(plain: unknown): Comparison {
  const record = (plain ?? {}) as Record<string, unknown>;
  if (record["schema"] !== SCHEMA) {
    throw new ApiError(
      0,
      `The study's schema is ${JSON.stringify(record["schema"] ?? null)}; this page reads ${SCHEMA}.`,
      "Run vicino compare again.",
    );
  }
  const wrong = Object.entries(PARTS).filter(
    ([name, kind]) => (Array.isArray(record[name]) ? "array" : typeof record[name]) !== kind,
  );
  if (wrong.length)
    throw new ApiError(0, `The study lacks ${wrong.map(([name]) => name).join(", ")}.`, "Run vicino compare again.");
  return plain as Comparison;
}

export type Measured = Candidate & { metrics: Record<string, Interval> };

export const measured = ({ candidates }: Comparison): Measured[] =>
  candidates.filter((one): one is Measured => Boolean(one.metrics));

export const quality = (candidate: Candidate, metric: string): number => candidate.metrics?.[metric]?.mean ?? -Infinity;

/** Those that no other beats on both, the cheapest first: none costs less at no less quality. What costs nobody knows is left out. */
export function front(candidates: readonly Measured[], metric: string): Measured[] {
  const priced = candidates.filter(({ cost_seconds }) => typeof cost_seconds === "number");
  priced.sort((a, b) => a.cost_seconds! - b.cost_seconds! || quality(b, metric) - quality(a, metric));
  const kept: Measured[] = [];
  for (const each of priced) {
    const last = kept.at(-1);
    const equal = last && last.cost_seconds === each.cost_seconds && quality(last, metric) === quality(each, metric);
    if (!last || equal || quality(each, metric) > quality(last, metric)) kept.push(each);
  }
  return kept;
}

/** Two candidates to begin with: the pick, and what it stands against. */
export function opening(record: Comparison): [a: string, b: string] {
  const names = measured(record).map(({ name }) => name);
  const [pick, best] = [record.verdict.pick, record.verdict.best];
  const other = [record.baseline, best, ...names].find((name) => name !== pick && names.includes(name));
  return [other ?? pick, pick];
}

const TIE = 1e-9; // two values nearer than this differ by rounding (vicino.metrics.significance.TIE)

export interface Duel {
  rows: { query: number; a: number; b: number; difference: number }[]; // the largest gain of B first
  difference: Interval | null; // null where no query was measured for both
  wins: number;
  ties: number;
  losses: number;
}

/** B against A on each query that both were measured on. */
export function duel(a: Candidate, b: Candidate, level = 0.95): Duel {
  const rows = (a.values ?? []).flatMap((value, query) => {
    const other = b.values?.[query];
    return typeof value === "number" && typeof other === "number"
      ? [{ query, a: value, b: other, difference: other - value }]
      : [];
  });
  const wins = rows.filter(({ difference }) => difference > TIE).length;
  const losses = rows.filter(({ difference }) => difference < -TIE).length;
  const differences = rows.map(({ difference }) => difference);
  rows.sort((one, other) => other.difference - one.difference || one.query - other.query);
  return { rows, difference: bootstrap(differences, level), wins, ties: rows.length - wins - losses, losses };
}

const RESAMPLES = 2000;
const WORK = 20_000_000; // draws in all: a fifth of a second

/** The mean with its percentile interval (Efron 1979), the same at each call; null of nothing. */
export function bootstrap(values: readonly number[], level: number): Interval | null {
  const n = values.length;
  if (!n) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const rounds = Math.max(200, Math.min(RESAMPLES, Math.floor(WORK / n)));
  const draw = chance(n);
  const means = Float64Array.from({ length: rounds }, () => {
    let sum = 0;
    for (let turn = 0; turn < n; turn++) sum += values[Math.floor(draw() * n)]!;
    return sum / n;
  }).sort();
  const at = (share: number): number => means[Math.min(rounds - 1, Math.max(0, Math.round(share * (rounds - 1))))]!;
  return { mean, low: at((1 - level) / 2), high: at((1 + level) / 2) };
}

/** Numbers from 0 to 1 that follow from a seed: a Weyl sequence through MurmurHash3's finaliser. */
function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** What the study itself says of the pair, from B's side; undefined where it did not test it. */
export function tested(a: Candidate, b: Candidate): Contest | undefined {
  const direct = [b.against_baseline, b.against_best].find((contest) => contest?.against === a.name);
  if (direct) return direct;
  const turned = [a.against_baseline, a.against_best].find((contest) => contest?.against === b.name);
  return turned ? mirrored(turned, a.name) : undefined;
}

const MIRROR: Record<string, string> = { better: "worse", worse: "better" };

function mirrored(contest: Contest, against: string): Contest {
  const { mean, low, high } = contest.difference;
  return {
    ...contest,
    against,
    difference: { mean: -mean, low: -high, high: -low },
    decision: MIRROR[contest.decision] ?? contest.decision,
    wins: contest.losses,
    losses: contest.wins,
  };
}
