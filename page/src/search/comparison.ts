// Two rankings side by side: what they share, what moved, and how good they are by the ratings given so far.
import type { Result } from "../api";

export type Side = "a" | "b";
export const other = (side: Side): Side => (side === "a" ? "b" : "a");

/** A document is the same one on both sides where its source and its id are. */
export const identity = ({ source, document }: { source?: string; document: string }): string => `${source ?? ""}\u0000${document}`;

export interface Compared {
  common: number;
  only: Record<Side, number>;
  moved: number; // of the common ones, how many stand at another rank
  ranks: Map<string, Partial<Record<Side, number>>>; // identity -> rank on each side, from 1
}

export function compare(a: readonly Result[], b: readonly Result[]): Compared {
  const ranks: Compared["ranks"] = new Map();
  const place = (side: Side, results: readonly Result[]): void =>
    results.forEach((result, at) => {
      const name = identity(result);
      const known = ranks.get(name) ?? {};
      known[side] ??= at + 1;
      ranks.set(name, known);
    });
  place("a", a);
  place("b", b);
  const told: Compared = { common: 0, only: { a: 0, b: 0 }, moved: 0, ranks };
  for (const rank of ranks.values()) {
    if (rank.a === undefined) told.only.b++;
    else if (rank.b === undefined) told.only.a++;
    else {
      told.common++;
      if (rank.a !== rank.b) told.moved++;
    }
  }
  return told;
}

/** How a document of one side stands on the other: places up (positive: it is higher here), or null where it is only here. */
export function move(compared: Compared, name: string, side: Side): number | null {
  const here = compared.ranks.get(name)?.[side];
  const there = compared.ranks.get(name)?.[other(side)];
  return here === undefined || there === undefined ? null : there - here;
}

/**
 * nDCG of a ranking by the grades given, as trec_eval has it (the gain is the grade); what nobody rated counts 0. The ideal is the
 * best order of all that was rated on either side. Null while no grade above 0 was given.
 */
export function ndcg(ranking: readonly string[], grades: ReadonlyMap<string, number>): number | null {
  const dcg = (gains: readonly number[]): number => gains.reduce((sum, gain, at) => sum + gain / Math.log2(at + 2), 0);
  const ideal = dcg([...grades.values()].sort((one, two) => two - one).slice(0, ranking.length));
  return ideal > 0 ? dcg(ranking.map((name) => grades.get(name) ?? 0)) / ideal : null;
}

/** Which configuration stands on the left in blind mode: by lot, anew for each question. */
export const drawLots = (random: () => number = lot): Record<"left" | "right", Side> =>
  random() < 0.5 ? { left: "a", right: "b" } : { left: "b", right: "a" };

const lot = (): number => (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32;
