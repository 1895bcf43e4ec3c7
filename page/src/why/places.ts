// What a fused score is made of and where a text is marked: the arithmetic behind the Why screen, without any markup.
import type { Result, Stage, Why } from "../api";
import { marked } from "../search/words";

export interface Piece {
  text: string;
  near: boolean; // of the nearest passage
  term: boolean; // a word that the question's words found
}

/**
 * A result's text, cut where the nearest passage and the found terms begin and end, and what stands around it in the document.
 * Places in `why` are those of the document.
 */
export function pieces(result: Result): Piece[] {
  const { text, start, why } = result;
  const symbols = [...text]; // places count characters, not UTF-16 units
  const passage = why?.passage;
  const inside = (place: number): number => Math.max(0, Math.min(symbols.length, place - start));
  const [from, to] = passage && passage.end > passage.start ? [inside(passage.start), inside(passage.end)] : [0, symbols.length];
  const parts = [symbols.slice(0, from), symbols.slice(from, to), symbols.slice(to)].map((part) => part.join(""));
  const terms = (why?.lexical?.terms ?? []).map(({ term }) => term);
  const cut = parts.flatMap((part, number) =>
    marked(part, terms).map((piece, at) => ({ text: piece, near: number === 1, term: at % 2 === 1 })),
  );
  const beside = (piece = "") => ({ text: piece, near: false, term: false });
  const more = start > [...(passage?.before ?? "")].length ? "… " : "";
  const all = passage?.before === undefined ? cut : [beside(more + passage.before), ...cut, beside(passage.after)];
  return all.filter((piece) => piece.text !== "");
}

/** Where the parts of a fusion do not add up to what is claimed: nothing is shown as exact that is not. */
export const addsUp = ({ parts, sum }: NonNullable<Why["fusion"]>): boolean =>
  Math.abs(parts.reduce((total, { product }) => total + product, 0) - sum) <= 1e-4 * Math.max(1, Math.abs(sum));

export const STAGES: Record<Stage["stage"], string> = {
  filter: "Filter",
  lexical: "Words (BM25)",
  dense: "Vectors",
  index: "Index",
  fusion: "Fusion",
  rerank: "Reranking",
  truncation: "Number of results",
};

export const STATES: Record<Stage["state"], { mark: string; says: string }> = {
  passed: { mark: "✓", says: "passed" },
  missed: { mark: "○", says: "not found here" },
  out: { mark: "✕", says: "out" },
  "not asked": { mark: "–", says: "not asked" },
};

/** The stage that a document was lost at: the first that put it out, else the last that missed it, else none. */
export function lostAt(stages: readonly Stage[]): Stage | null {
  return stages.find(({ state }) => state === "out") ?? stages.filter(({ state }) => state === "missed").at(-1) ?? null;
}
