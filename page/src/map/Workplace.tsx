// The map at work: one or two maps of the same points, what is lit on them, and the table of it.
import { useMemo, useState } from "preact/hooks";
import type { Api, Collection, MapNeighbours } from "../api";
import { count } from "../search/words";
import { useKeys } from "../shell/useKeys";
import { known, type Loaded, useLoad } from "../shell/load";
import { Failed, Loading } from "../shell/states";
import { type Asked, type Go, METHODS } from "./asked";
import type { Bounds, Place } from "./camera";
import { Looks, QueryBox, Toolbar, Trust } from "./Controls";
import { categoryLabels, type Label, short } from "./labels";
import { Listing } from "./Listing";
import { useLook } from "./look";
import type { Picture } from "./drawing";
import { MapPane } from "./MapPane";
import { inBox, inLoop, loopText } from "./pick";
import { type Plane, type PlaneState, type Points, useFetched, useMeasured, usePlane, usePoints } from "./planes";
import { useShown } from "./shown";

interface Props {
  api: Api;
  collection: Collection;
  collections: Collection[];
  asked: Asked;
  go: Go;
}

export function Workplace({ api, collection, collections, asked, go }: Props) {
  const first = usePlane(api, asked.first);
  const plane = known(first.plane);
  return (
    <div class="stack">
      <h1 class="unseen">Map of {collection.name}</h1>
      <Toolbar {...{ collection, collections, asked, go }} info={plane?.info} />
      {plane ? <Desk {...{ api, asked, go, plane, first }} /> : <Waiting state={first} />}
      {plane && first.plane.state === "failed" && <Failed error={first.plane.error} again={first.again} />}
    </div>
  );
}

/** What stands where a map is not yet. */
function Waiting({ state: { plane, making, again } }: { state: PlaneState }) {
  if (plane.state === "failed") return <Failed error={plane.error} again={again} />;
  if (!making) return <Loading what="Loading the map" />;
  return (
    <div class="state" role="status">
      <p>The {METHODS[making.method] ?? making.method} map is being made. This page goes on when it is there.</p>
      {typeof making.progress === "number" && <progress value={making.progress} max={1} aria-label="Progress of the map" />}
    </div>
  );
}

interface DeskProps {
  api: Api;
  asked: Asked;
  go: Go;
  plane: Plane;
  first: PlaneState;
}

const FEW = 40; // points in view that get their names

function Desk({ api, asked, go, plane, first }: DeskProps) {
  const second = usePlane(api, asked.second);
  const other = asked.second ? known(second.plane) : undefined;
  const trust = useMeasured(api, plane);
  const trustOther = useMeasured(api, other);
  const look = useLook();
  const { coloured, filtered, passed, colouring, tint, shown } = useShown(api, plane, asked, look);
  const wanted = (row: number): boolean => row < plane.info.n && (!passed || passed[row] === 1);

  const near = useNeighbours(api, plane, asked);
  const nearOther = useNeighbours(api, other, asked);
  const selected = useMemo(() => {
    const on = asked.loop?.on === "second" ? other : plane;
    return asked.loop && on ? inLoop(on.xy, asked.loop.places, wanted) : null;
  }, [plane, other, passed, JSON.stringify(asked.loop)]);
  const [view, setView] = useState<Bounds | null>(null);
  const seen = useMemo(() => (view ? inBox(plane.xy, view, wanted) : []), [view, plane, passed]);

  const points = usePoints(api, plane);
  const [pointed, setPointed] = useState<{ row: number; on: string } | null>(null);
  const pointOn = (on: string) => (row: number | null) =>
    setPointed((last) => (last?.row === row && last?.on === on ? last : row === null ? null : { row, on }));
  const [lasso, setLasso] = useState(false);
  const enclose = (on: "first" | "second", places: readonly Place[]): void =>
    go({ lasso: loopText(places), on: on === "second" ? on : null });
  const unclose = (): void => go({ lasso: null, on: null });
  const encloseView = (): void => {
    if (view)
      enclose("first", [
        [view.left, view.bottom],
        [view.right, view.bottom],
        [view.right, view.top],
        [view.left, view.top],
      ]);
  };
  useKeys({
    l: () => setLasso(!lasso),
    v: encloseView,
    c: unclose,
    m: () => document.querySelector<HTMLElement>("[data-map]")?.focus(),
  });

  const names = useFetched(points, seen.length <= FEW ? seen : NONE, 250); // a failure is shown by the table, which asks for the same
  const labels = useMemo(
    () => [
      ...categoryLabels(plane.xy, tint, colouring, plane.bounds),
      ...(seen.length <= FEW && !names ? titles(seen, points, plane) : []),
    ],
    [plane, tint, colouring, seen, points, points?.has(seen.length <= FEW ? seen : NONE)],
  );
  const [rowsNear, lit] = useLit(near, plane, selected, asked.row);
  const [rowsNearOther, litOther] = useLit(nearOther, other, selected, asked.row);
  const tintOther = useMemo(() => tint.subarray(0, other?.info.n), [tint, other]); // a map of fewer points has the first of the other
  const labelsOther = useMemo(
    () => (other ? categoryLabels(other.xy, tintOther, colouring, other.bounds) : []),
    [other, tintOther, colouring],
  );
  const pane = (name: "first" | "second", at: Plane, picture: Pick<Picture, "lit" | "ranked" | "labels">, tinted: Uint8Array) => {
    const there = (row: number | null | undefined): number | null =>
      typeof row === "number" && row < tinted.length ? row : null;
    return (
      <MapPane
        key={name}
        name={name}
        plane={at}
        picture={{
          ...picture,
          scene: { xy: at.xy, tint: tinted, palette: colouring.palette },
          pointed: there(pointed?.row),
          picked: there(asked.row),
          look,
        }}
        loop={asked.loop?.on === name ? asked.loop.places : []}
        lasso={lasso}
        tip={pointed?.on === name && points && <Tip row={pointed.row} points={points} />}
        point={pointOn(name)}
        pick={(row) => go({ row: String(row), q: null })}
        enclose={(loop) => {
          enclose(name, loop);
          setLasso(false);
        }}
        rested={name === "first" ? setView : ignore}
      />
    );
  };
  return (
    <div class="map-desk" aria-busy={first.plane.state === "loading"}>
      <div class="map-main stack">
        <QueryBox asked={asked} go={go} busy={near.state === "loading"} />
        {near.state === "failed" && <Failed error={near.error} />}
        <div class={asked.second ? "map-panes two" : "map-panes"}>
          {pane("first", plane, { lit, ranked: rowsNear ?? NONE, labels }, tint)}
          {other
            ? pane("second", other, { lit: litOther, ranked: rowsNearOther ?? NONE, labels: labelsOther }, tintOther)
            : asked.second && <Waiting state={second} />}
        </div>
        <div class="row spread">
          <div class="row">
            <button type="button" aria-pressed={lasso} onClick={() => setLasso(!lasso)} title="Draw a loop around points (l)">
              Lasso
            </button>
            <button type="button" disabled={!seen.length} onClick={encloseView} title="Select all points in view (v)">
              Select what is in view
            </button>
            {selected && (
              <button type="button" onClick={unclose} title="Clear the selection (c)">
                Clear the selection
              </button>
            )}
          </div>
          <p class="soft small" role="status" data-selected={selected?.length ?? 0}>
            {selected ? `${count(selected.length, "point")} selected` : "Drag to move, wheel to zoom, Shift and drag to select"}
          </p>
        </div>
        {other && other.info.space !== plane.info.space && (
          <Agreement {...{ near, nearOther }} rows={rowsNear} others={rowsNearOther} />
        )}
      </div>
      {points && (
        <div class="map-list">
          <Listing
            {...{ asked, go, plane, points, seen, selected, near }}
            rowsNear={rowsNear}
            also={rowsNearOther ? new Set(rowsNearOther) : null}
            field={plane.info.fields.find(({ name }) => name === asked.colour)}
            point={pointOn("table")}
          />
        </div>
      )}
      <aside class="map-side stack" aria-label="About this map">
        {trust && <Trust info={trust} renew={first.renew} {...(other ? { name: "First map" } : {})} />}
        {trustOther && <Trust info={trustOther} renew={second.renew} name="Second map" />}
        <Looks {...{ asked, go, coloured, filtered, colouring, look, shown }} info={plane.info} />
      </aside>
    </div>
  );
}

const NONE: readonly number[] = [];
const ignore = (): void => undefined;

/** The true neighbours, in the vectors' own space, of the query or the point that the address names. */
function useNeighbours(api: Api, plane: Plane | undefined, { query, row, k }: Asked): Loaded<MapNeighbours> {
  const of = query ? { query } : row !== null && plane && row < plane.info.n ? { row } : null;
  const ask = plane && of && ((signal: AbortSignal) => api.mapNeighbours(plane.choice, of, k, signal));
  return useLoad(ask ?? null, [plane, query, row, k])[0];
}

type Rows = readonly number[] | null;

/** The neighbours that a map has, and all rows that stand out on it: these, what is selected, and the point that was picked. */
function useLit(
  near: Loaded<MapNeighbours>,
  plane: Plane | undefined,
  selected: Rows,
  picked: number | null,
): [ranked: Rows, lit: Rows] {
  const found = near.state === "idle" ? undefined : known(near);
  return useMemo(() => {
    const ranked = (plane && found?.rows.filter((row) => row >= 0 && row < plane.info.n)) ?? null;
    const lit = ranked || selected ? [...(selected ?? []), ...(ranked ?? []), ...(picked === null ? [] : [picked])] : null;
    return [ranked, lit];
  }, [found, plane, selected, picked]);
}

const titles = (rows: readonly number[], points: Points | null, { xy }: Plane): Label[] =>
  rows.flatMap((row) => {
    const point = points?.at(row);
    return point
      ? [
          {
            text: short(point.title || point.text || point.document, 24),
            at: [xy[2 * row]!, xy[2 * row + 1]!] as const,
            tint: null,
            lift: 14,
          },
        ]
      : [];
  });

function Tip({ row, points }: { row: number; points: Points }) {
  useFetched(points, [row], 80);
  const point = points.at(row);
  if (!point) return null;
  return (
    <div role="status">
      {point.title && <p class="quoted map-tip-title">{short(point.title, 120)}</p>}
      <p class="quoted">{short(point.text, 240)}</p>
      <p class="id">{point.source ? `${point.source}/${point.document}` : point.document}</p>
    </div>
  );
}

interface Agreed {
  near: Loaded<MapNeighbours>;
  nearOther: Loaded<MapNeighbours>;
  rows: Rows;
  others: Rows;
}

function Agreement({ near, nearOther, rows, others }: Agreed) {
  if (near.state !== "ready" || nearOther.state !== "ready" || !rows || !others) return null;
  const both = new Set(others);
  const common = rows.filter((row) => both.has(row)).length;
  return (
    <p role="status">
      Of {rows.length} neighbours by the first model, {common} are neighbours by the second too.
    </p>
  );
}
