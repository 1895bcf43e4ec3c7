// What a map is made of, fetched: its places, the values of a field, the points themselves. A map that is being made is asked for
// again until it is there.
import { useEffect, useLayoutEffect, useMemo, useState } from "preact/hooks";
import { type Api, ApiError, type MapChoice, type MapField, type MapInfo, type MapPoint } from "../api";
import { type Loaded, useLoad } from "../shell/load";
import { type Bounds, boundsOf } from "./camera";
import type { Values } from "./colouring";
import { plant, type Tree } from "./pick";

/** A map that is there. */
export interface Plane {
  choice: MapChoice;
  info: MapInfo;
  xy: Float32Array; // (n, 2)
  bounds: Bounds;
  tree(): Tree; // planted when first asked for
}

const WAIT_MS = 1000; // between two questions whether a map is made
const MOST_POINTS = 500; // a request

export interface PlaneState {
  plane: Loaded<Plane>;
  making: MapInfo | null;
  again: () => void;
  renew: () => void; // have it made anew, of what the collection holds now
}

/** The map of a choice; null asks for none. Where nobody asked for it before, this starts it. */
export function usePlane(api: Api, choice: MapChoice | null): PlaneState {
  const [making, setMaking] = useState<MapInfo | null>(null);
  const same = [choice?.collection, choice?.space, choice?.method];
  const ask = choice && ((signal: AbortSignal) => fetched(api, choice, setMaking, signal));
  const [plane, again] = useLoad(ask, same);
  useLayoutEffect(() => setMaking(null), same); // before an answer to what was asked above
  const renew = (): void => {
    if (choice) void api.makeMap(choice).then(again, again); // what goes wrong is what the map says when it is asked for
  };
  return { plane, making: plane.state === "loading" ? making : null, again, renew };
}

/** What is told of a map, with the share of neighbours it keeps once that is counted: asked for again until it is. */
export function useMeasured(api: Api, plane: Plane | undefined): MapInfo | undefined {
  const [told] = useLoad(plane?.info.measuring ? (signal) => measured(api, plane, signal) : null, [plane]);
  return told.state === "ready" ? told.value : plane?.info; // never what was counted of another map
}

async function measured(api: Api, { choice, info }: Plane, signal: AbortSignal): Promise<MapInfo> {
  let told = info;
  while (told.measuring) {
    await rest(WAIT_MS, signal);
    told = await api.map(choice, signal);
  }
  return { ...info, kept: told.kept, measuring: false };
}

export async function fetched(api: Api, choice: MapChoice, tell: (info: MapInfo) => void, signal: AbortSignal): Promise<Plane> {
  let info = await wanted(api, choice, signal);
  while (info.state === "making") {
    signal.throwIfAborted(); // to have it made is not broken off: its answer may come when another map is wanted
    tell(info);
    await rest(WAIT_MS, signal);
    info = await api.map(choice, signal);
  }
  const exact = { collection: choice.collection, space: info.space, method: info.method };
  const xy = await api.mapCoordinates(exact, signal);
  if (xy.length !== 2 * info.n)
    throw new ApiError(0, `The map of ${info.n} points came with ${xy.length / 2} places.`, "Load it again.");
  let tree: Tree | null = null;
  return { choice: exact, info, xy, bounds: boundsOf(xy), tree: () => (tree ??= plant(xy)) };
}

async function wanted(api: Api, choice: MapChoice, signal: AbortSignal): Promise<MapInfo> {
  try {
    return await api.map(choice, signal);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "map_not_made")) throw error;
    return api.makeMap(choice);
  }
}

const rest = (wait: number, signal: AbortSignal): Promise<void> =>
  new Promise((done, left) => {
    const timer = setTimeout(done, wait);
    const leave = (): void => {
      clearTimeout(timer);
      left(new DOMException("no longer wanted", "AbortError"));
    };
    signal.addEventListener("abort", leave, { once: true });
  });

/** The values of the field called `name`; idle where the map has no such field. */
export function useField(
  api: Api,
  plane: Plane | undefined,
  name: string,
): [Loaded<{ field: MapField; values: Values }>, () => void] {
  const field = plane?.info.fields.find((each) => each.name === name);
  const ask =
    plane && field && (async (signal: AbortSignal) => ({ field, values: await api.mapField(plane.choice, field, signal) }));
  return useLoad(ask ?? null, [plane, name]);
}

/** Points that were fetched, kept while the map is the same. */
export class Points {
  private readonly known = new Map<number, MapPoint>();

  constructor(
    private readonly api: Api,
    private readonly choice: MapChoice,
  ) {}

  has = (rows: readonly number[]): boolean => rows.every((row) => this.known.has(row));

  at = (row: number): MapPoint | undefined => this.known.get(row);

  /** Fetch those that are not here yet. */
  async fetch(rows: readonly number[], signal?: AbortSignal): Promise<void> {
    const missing = rows.filter((row) => !this.known.has(row));
    for await (const batch of this.each(missing, signal)) for (const point of batch) this.known.set(point.row, point);
  }

  /** All of these points, a request after the other, without keeping them. */
  async *each(rows: readonly number[], signal?: AbortSignal): AsyncGenerator<MapPoint[]> {
    for (let at = 0; at < rows.length; at += MOST_POINTS)
      yield await this.api.mapPoints(this.choice, rows.slice(at, at + MOST_POINTS), signal);
  }
}

export const usePoints = (api: Api, plane: Plane | undefined): Points | null =>
  useMemo(() => (plane ? new Points(api, plane.choice) : null), [plane]);

/** Fetch these points after a moment of rest, and draw again when they are here. */
export function useFetched(points: Points | null, rows: readonly number[], wait = 0): unknown {
  const [failed, setFailed] = useState<unknown>(null);
  const [, drawn] = useState(0);
  useEffect(() => {
    setFailed(null);
    if (!points || points.has(rows)) return;
    const leaving = new AbortController();
    const timer = setTimeout(() => {
      points.fetch(rows, leaving.signal).then(
        () => drawn((number) => number + 1),
        (error: unknown) => {
          if (!leaving.signal.aborted) setFailed(error);
        },
      );
    }, wait);
    return () => {
      clearTimeout(timer);
      leaving.abort();
    };
  }, [points, rows.join()]);
  return failed;
}
