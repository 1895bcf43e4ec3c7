// The server, typed: one function for each address of the API that the page asks, and one kind of error for all that goes wrong.
// Names are those of the JSON (snake_case). What comes from documents stays text: the page only ever puts it into text nodes.

export type Mode = "recipe" | "lexical" | "dense" | "hybrid";

export interface Space {
  id: string;
  dim: number;
  similarity: string;
  encoder: string;
}

/** What is kept under a name. Of one that cannot be opened nothing but `error` is known. */
export interface Collection {
  name: string;
  documents: number;
  passages: number;
  recipe: unknown;
  label: string;
  spaces: Space[];
  fields: Record<string, string>;
  accepts: string[];
  indexes: unknown[];
  error?: string | null;
}

/** A model that is served: one that makes vectors, or one that orders answers anew. */
export interface ServedModel {
  id: string;
  kind: "encoder" | "reranker";
}

export interface SearchRequest {
  collection: string;
  query: string;
  k?: number;
  offset?: number;
  where?: string;
  mode?: Mode;
  weight?: number; // the share of the dense part, 0..1
  space?: string; // of several spaces the one to ask
  rerank?: string; // a reranker that is served
  depth?: number;
  explain?: boolean;
  tenant?: string;
}

export interface Term {
  term: string;
  weight: number;
  count: number;
}

export interface Why {
  lexical?: { score: number; rank: number | null; terms: Term[] };
  dense?: { space: string; score: number; rank: number | null; percentile: number }[]; // percent of all documents that score lower
  fusion?: {
    method: string;
    parts: { name: string; rank: number | null; weight: number; share: number; product: number }[];
    sum: number;
  };
  rerank?: { before: number | null; after: number | null; score: number | null };
  passage?: { start: number; end: number; before?: string; after?: string }; // what stands around it in the document
}

export interface Result {
  rank: number;
  document: string;
  source: string;
  score: number;
  start: number; // of the passage in its document, in characters
  end: number;
  title: string;
  text: string;
  metadata: Record<string, unknown>;
  why?: Why;
}

export type Timing = Partial<
  Record<"embed_ms" | "lexical_ms" | "dense_ms" | "fuse_ms" | "rerank_ms" | "fetch_ms" | "total_ms", number | null>
>;

export interface SearchAnswer {
  results: Result[];
  timing: Timing;
  how: string;
  complete: boolean;
  configuration: Record<string, unknown>;
  next_offset: number | null;
}

export type StageState = "passed" | "missed" | "out" | "not asked";

export interface Stage {
  stage: "filter" | "lexical" | "dense" | "index" | "fusion" | "rerank" | "truncation";
  state: StageState;
  rank: number | null;
  score: number | null;
  needed: number | null;
  say: string;
}

export interface WhyNot {
  document: string;
  rank: number | null;
  stages: Stage[];
  verdict: string;
}

export interface Judgment {
  collection: string;
  query: string;
  document: string;
  source?: string;
  grade: number; // 0..3
  rater?: string;
  blind?: boolean;
  configuration?: unknown;
}

export type KeptJudgment = Judgment & { id: string };

export interface StudySummary {
  id: string;
  name: string;
  created: string;
  metric: string;
  pick: string;
  sentence: string;
  candidates: number;
  queries: number;
}

export interface MapField {
  name: string;
  kind: string;
  values?: string[]; // codes of the field count into these; without them the field is numbers
}

export interface MapInfo {
  n: number;
  of: number;
  method: string;
  methods: string[];
  kept: number | null; // the share of true neighbours that stayed neighbours in the plane
  by_chance: number;
  seed: number;
  space: string;
  fields: MapField[];
  state: "ready" | "making";
  progress?: number | null;
  stale?: boolean; // the collection changed since
  measuring?: boolean; // `kept` is being counted
}

export interface MapPoint {
  row: number;
  document: string;
  source: string;
  title: string;
  text: string;
  metadata: Record<string, unknown>;
}

export interface MapNeighbours {
  rows: number[];
  scores: number[];
  share_kept: number | null; // null for a text, which has no place on the map
}

export interface MapChoice {
  collection: string;
  space?: string;
  method?: string;
}

/** What the server, or the way to it, refused. `mend` is what to do next; `status` is 0 where no answer came at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly mend = "",
    readonly code = "",
    readonly requestId = "",
    readonly retryAfter: number | null = null, // seconds
  ) {
    super(message);
    this.name = "ApiError";
  }
}

export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

type Signal = AbortSignal | undefined;

export interface Api {
  collections(signal?: Signal): Promise<Collection[]>;
  models(signal?: Signal): Promise<ServedModel[]>;
  search(request: SearchRequest, signal?: Signal): Promise<SearchAnswer>;
  whyNot(request: SearchRequest & { document: string; source?: string }, signal?: Signal): Promise<WhyNot>;
  judgments(collection: string, signal?: Signal): Promise<KeptJudgment[]>;
  judgmentsFile(collection: string, format: "csv" | "qrels"): Promise<Blob>;
  judge(judgment: Judgment): Promise<string>;
  unjudge(id: string, collection: string): Promise<void>;
  studies(signal?: Signal): Promise<StudySummary[]>;
  study(id: string, signal?: Signal): Promise<unknown>; // vicino.comparison/1
  map(choice: MapChoice, signal?: Signal): Promise<MapInfo>;
  makeMap(choice: MapChoice): Promise<MapInfo>;
  mapCoordinates(choice: MapChoice, signal?: Signal): Promise<Float32Array>; // x, y of each point
  mapField(choice: MapChoice, field: MapField, signal?: Signal): Promise<Uint16Array | Float32Array>;
  mapPoints(choice: MapChoice, rows: number[], signal?: Signal): Promise<MapPoint[]>;
  mapNeighbours(choice: MapChoice, of: { query: string } | { row: number }, k: number, signal?: Signal): Promise<MapNeighbours>;
}

/** An `Api` at this page's own address. `key` is asked at every request, so that a key entered later counts at once. */
export function connect(key: () => string, ask: typeof fetch = (...given) => fetch(...given)): Api {
  const send = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    const secret = key();
    if (secret) headers.set("Authorization", `Bearer ${secret}`);
    let answer: Response;
    try {
      answer = await ask(path, { ...init, headers });
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new ApiError(0, "The server does not answer.", "Is `vicino serve` still running? Try again when it is.");
    }
    if (!answer.ok) throw await refused(answer);
    return answer;
  };
  const get = async <T>(path: string, signal: Signal): Promise<T> => (await send(path, given(signal))).json() as Promise<T>;
  const post = async <T>(path: string, body: unknown, signal?: Signal): Promise<T> => {
    const headers = { "Content-Type": "application/json" };
    return (await send(path, { method: "POST", headers, body: JSON.stringify(body), ...given(signal) })).json() as Promise<T>;
  };
  const numbers = async (path: string, signal: Signal): Promise<ArrayBuffer> => (await send(path, given(signal))).arrayBuffer();
  return {
    collections: async (signal) => {
      const { collections } = await get<{ collections: Partial<Collection>[] }>("/api/collections", signal);
      return collections.map((one) => ({ ...UNKNOWN, ...one }));
    },
    models: async (signal) => (await get<{ data: ServedModel[] }>("/v1/models", signal)).data,
    search: (request, signal) => post("/api/search", request, signal),
    whyNot: (request, signal) => post("/api/why-not", request, signal),
    judgments: async (collection, signal) => {
      const asked = query({ collection, format: "json", limit: String(MOST_JUDGMENTS) });
      const { judgments } = await get<{ judgments: Omit<KeptJudgment, "collection">[] }>(`/api/judgments?${asked}`, signal);
      return judgments.map((one) => ({ ...one, collection }));
    },
    judgmentsFile: async (collection, format) => (await send(`/api/judgments?${query({ collection, format })}`)).blob(),
    judge: async (judgment) => (await post<{ id: string }>("/api/judgments", judgment)).id,
    unjudge: async (id, collection) => {
      await send(`/api/judgments/${encodeURIComponent(id)}?${query({ collection })}`, { method: "DELETE" });
    },
    studies: async (signal) => (await get<{ studies: StudySummary[] }>("/api/studies", signal)).studies,
    study: (id, signal) => get(`/api/studies/${encodeURIComponent(id)}`, signal),
    map: (choice, signal) => get(mapPath(choice), signal),
    makeMap: (choice) => post(mapPath(choice), {}),
    mapCoordinates: async (choice, signal) => new Float32Array(await numbers(mapPath(choice, "/coordinates"), signal)),
    mapField: async (choice, field, signal) => {
      const raw = await numbers(mapPath(choice, `/field/${encodeURIComponent(field.name)}`), signal);
      return field.values ? new Uint16Array(raw) : new Float32Array(raw);
    },
    mapPoints: async (choice, rows, signal) => (await post<{ points: MapPoint[] }>(mapPath(choice, "/points"), { rows }, signal)).points,
    mapNeighbours: (choice, of, k, signal) => {
      const space = choice.space === undefined ? {} : { space: choice.space };
      return post(mapPath(choice, "/neighbours"), { ...of, k, ...space }, signal);
    },
  };
}

const MOST_JUDGMENTS = 100_000;

const UNKNOWN: Collection = {
  ...{ name: "", documents: 0, passages: 0, recipe: null, label: "", spaces: [], fields: {}, accepts: [], indexes: [] },
};

const given = (signal: Signal): RequestInit => (signal ? { signal } : {});

const query = (values: Record<string, string>): string => new URLSearchParams(values).toString();

function mapPath({ collection, space, method }: MapChoice, rest = ""): string {
  const asked = query({ ...(space ? { space } : {}), ...(method ? { method } : {}) });
  return `/api/collections/${encodeURIComponent(collection)}/map${rest}${asked && `?${asked}`}`;
}

async function refused(answer: Response): Promise<ApiError> {
  const wait = Number(answer.headers.get("Retry-After") ?? NaN);
  const retry = Number.isFinite(wait) ? wait : null;
  let said: Record<string, unknown> = {};
  try {
    const body: unknown = await answer.json();
    if (body && typeof body === "object" && "error" in body && body.error && typeof body.error === "object") {
      said = body.error as Record<string, unknown>;
    }
  } catch {
    // a proxy between us answers in its own words: the status says enough
  }
  const word = (name: string): string => (typeof said[name] === "string" ? said[name] : "");
  const message = word("message") || `The server answered ${answer.status} ${answer.statusText}`.trim() + ".";
  return new ApiError(answer.status, message, word("mend"), word("code") || word("type"), word("request_id"), retry);
}
