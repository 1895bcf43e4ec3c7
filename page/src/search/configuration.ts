// One way to search a collection, and how it stands in the address bar: only what differs from the default is written.
import type { Mode, SearchRequest } from "../api";

export interface Configuration {
  collection: string; // empty: the first there is
  mode: Mode;
  weight: number | null; // of the dense part, 0..1; null: as the collection fuses by itself
  space: string; // of several models of the collection the one to ask; empty for all
  rerank: string; // a reranker that is served; empty for none
  depth: number; // passages that are reranked
  where: string; // a filter; empty for none
}

export const MODES: Record<Mode, string> = {
  recipe: "its own recipe",
  lexical: "words (BM25)",
  dense: "vectors",
  hybrid: "words and vectors",
};

export const DEPTH = 100;

export const plain = (collection = "", mode: Mode = "recipe"): Configuration => ({
  collection,
  mode,
  weight: null,
  space: "",
  rerank: "",
  depth: DEPTH,
  where: "",
});

const isMode = (text: string | null): text is Mode => text !== null && Object.hasOwn(MODES, text);

/** Read what `write` wrote; what is missing or cannot be is as in `otherwise`. */
export function read(params: URLSearchParams, prefix = "", otherwise: Configuration = plain()): Configuration {
  const word = (name: string): string | null => params.get(prefix + name);
  const mode = word("mode");
  return {
    collection: word("collection") ?? otherwise.collection,
    mode: isMode(mode) ? mode : otherwise.mode,
    weight: number(word("weight"), 0, 1) ?? otherwise.weight,
    space: word("space") ?? otherwise.space,
    rerank: word("rerank") ?? otherwise.rerank,
    depth: Math.round(number(word("depth"), 1, 10_000) ?? otherwise.depth),
    where: word("where") ?? otherwise.where,
  };
}

/** Write a configuration into `params`, and nothing for what is as in `otherwise`. */
export function write(params: URLSearchParams, configuration: Configuration, prefix = "", otherwise: Configuration = plain()): void {
  for (const name of ["collection", "mode", "weight", "space", "rerank", "depth", "where"] as const) {
    const value = configuration[name];
    if (value === null || value === otherwise[name]) params.delete(prefix + name);
    else params.set(prefix + name, String(value));
  }
}

/** The request of a configuration: what is not asked for is left to the server. */
export function request(configuration: Configuration, query: string, k: number): SearchRequest {
  const { collection, mode, weight, space, rerank, depth, where } = configuration;
  return {
    collection,
    query,
    k,
    mode,
    ...(mode === "hybrid" && weight !== null ? { weight } : {}),
    ...(space && mode !== "lexical" ? { space } : {}),
    ...(rerank ? { rerank, depth } : {}),
    ...(where.trim() ? { where: where.trim() } : {}),
  };
}

/** A configuration in a few words. */
export function summary({ collection, mode, weight, space, rerank, depth, where }: Configuration): string {
  const parts = [collection || "no collection", MODES[mode]];
  if (space && mode !== "lexical") parts.push(space);
  if (mode === "hybrid" && weight !== null) parts.push(`${Math.round(weight * 100)} % vectors`);
  if (rerank) parts.push(`first ${depth} reranked by ${rerank}`);
  if (where.trim()) parts.push(`where ${where.trim()}`);
  return parts.join(" · ");
}

export const same = (one: Configuration, other: Configuration): boolean =>
  JSON.stringify(request(one, "", 1)) === JSON.stringify(request(other, "", 1));

function number(text: string | null, least: number, most: number): number | null {
  if (text === null || text.trim() === "") return null;
  const value = Number(text);
  return Number.isFinite(value) && value >= least && value <= most ? value : null;
}
