// The points that matter now, as a table: neighbours, those selected, or those in view.
import { useEffect, useState } from "preact/hooks";
import type { MapField, MapNeighbours } from "../api";
import { known, type Loaded } from "../shell/load";
import type { Asked, Go } from "./asked";
import { short } from "./labels";
import { type Plane, type Points, useFetched } from "./planes";
import { PointTable } from "./PointTable";

type Tab = "near" | "selected" | "view";
const NONE: readonly number[] = [];

interface Props {
  asked: Asked;
  go: Go;
  plane: Plane;
  points: Points;
  seen: readonly number[];
  selected: readonly number[] | null;
  near: Loaded<MapNeighbours>;
  rowsNear: readonly number[] | null;
  also: ReadonlySet<number> | null;
  field: MapField | undefined;
  point: (row: number | null) => void;
}

export function Listing({ asked, go, plane, points, seen, selected, near, rowsNear, also, field, point }: Props) {
  const [chosen, choose] = useState<Tab | null>(null);
  useEffect(() => choose(null), [asked.query, asked.row, JSON.stringify(asked.loop)]);
  const found = known(near);
  const lists: Record<Tab, readonly number[] | null> = { near: rowsNear, selected, view: seen };
  const tab = chosen && lists[chosen] ? chosen : rowsNear ? "near" : selected ? "selected" : "view";
  const rows = lists[tab] ?? NONE;
  const names: Record<Tab, string> = { near: "Neighbours", selected: "Selected", view: "In view" };
  const captions: Record<Tab, string> = {
    near: asked.query
      ? `Nearest to “${short(asked.query, 80)}”, by their vectors`
      : `Nearest to ${nameOf(points, asked.row)}, by their vectors`,
    selected: "Points inside the loop",
    view: "Points that can be seen now",
  };
  useFetched(points, asked.row !== null && asked.row < plane.info.n ? [asked.row] : NONE);
  return (
    <section class="card stack" aria-label="Points as a table">
      <div class="row" role="group" aria-label="Which points">
        {(Object.keys(lists) as Tab[]).map((each) => (
          <button key={each} type="button" aria-pressed={each === tab} disabled={!lists[each]} onClick={() => choose(each)}>
            {names[each]} {lists[each] ? lists[each].length.toLocaleString("en") : ""}
          </button>
        ))}
      </div>
      {tab === "near" && found && typeof found.share_kept === "number" && Number.isFinite(found.share_kept) && (
        <p class="soft small">Of these, {Math.round(100 * found.share_kept)} % are among the nearest on the map too.</p>
      )}
      <PointTable
        caption={captions[tab]}
        file={`${plane.choice.collection}-${tab}.csv`}
        {...{ plane, points, rows, field, point }}
        {...(tab === "near" && found ? { scores: scoresOf(found, rows) } : {})}
        {...(tab === "near" && also ? { also } : {})}
        picked={asked.row}
        pick={(row) => go({ row: String(row), q: null })}
      />
    </section>
  );
}

const nameOf = (points: Points, row: number | null): string => {
  const point = row === null ? undefined : points.at(row);
  return point ? `“${short(point.title || point.document, 80)}”` : "the point";
};

function scoresOf({ rows, scores }: MapNeighbours, shown: readonly number[]): number[] {
  const of = new Map(rows.map((row, place) => [row, scores[place] ?? NaN]));
  return shown.map((row) => of.get(row) ?? NaN);
}
