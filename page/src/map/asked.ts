// What the address of a map asks for. All that a person chose stands there, so that a link or a reload shows the same.
import type { MapChoice } from "../api";
import type { Place } from "./camera";
import type { Filter } from "./colouring";
import { readLoop } from "./pick";

export interface Asked {
  first: MapChoice;
  second: MapChoice | null;
  colour: string; // a field, or ""
  field: string; // that is filtered by, or ""
  filter: Filter;
  query: string;
  row: number | null;
  k: number;
  loop: { on: "first" | "second"; places: Place[] } | null;
}

export const NEIGHBOURS = [10, 25, 50, 100] as const;

export const METHODS: Record<string, string> = { tsne: "t-SNE", pca: "PCA", umap: "UMAP" };

const choice = (collection: string, space: string | null, method: string | null): MapChoice => ({
  collection,
  ...(space ? { space } : {}),
  ...(method ? { method } : {}),
});

const number = (text: string | null): number | null =>
  text !== null && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : null;

/** `collection` stands in where the address names none. */
export function read(params: URLSearchParams, collection: string): Asked {
  const named = params.get("collection") || collection;
  const [space2, method2] = [params.get("space2"), params.get("method2")];
  const row = number(params.get("row"));
  const query = params.get("q")?.trim() ?? "";
  const places = readLoop(params.get("lasso") ?? "");
  const k = number(params.get("k"));
  return {
    first: choice(named, params.get("space"), params.get("method")),
    second: space2 || method2 ? choice(named, space2, method2) : null,
    colour: params.get("colour") ?? "",
    field: params.get("filter") ?? "",
    filter: { is: params.getAll("is"), from: number(params.get("from")), to: number(params.get("to")) },
    query,
    row: !query && row !== null && Number.isInteger(row) && row >= 0 ? row : null,
    k: k !== null && Number.isInteger(k) && k >= 1 && k <= 1000 ? k : NEIGHBOURS[0],
    loop: places.length ? { on: params.get("on") === "second" ? "second" : "first", places } : null,
  };
}

export type Change = Record<string, string | readonly string[] | null>;
export type Go = (change: Change, replace?: boolean) => void;

/** The same address with some of it changed; null takes a part away, a list repeats it. */
export function changed(params: URLSearchParams, change: Change): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(change)) {
    next.delete(name);
    if (typeof value === "string" && value !== "") next.set(name, value);
    else if (Array.isArray(value)) for (const one of value) next.append(name, one);
  }
  return next;
}
