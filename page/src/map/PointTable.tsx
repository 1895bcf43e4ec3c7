// The points of a map as a table, with a file of them to keep.
import { useEffect, useRef, useState } from "preact/hooks";
import { isAbort, type MapField } from "../api";
import { fact, score } from "../search/words";
import { Failed } from "../shell/states";
import { download, head, pointLine, valueIn } from "./csv";
import { type Plane, type Points, useFetched } from "./planes";

interface Props {
  caption: string;
  file: string;
  plane: Plane;
  points: Points;
  rows: readonly number[];
  scores?: readonly number[]; // of each row, where they are neighbours
  also?: ReadonlySet<number>; // rows that the other map has too
  field: MapField | undefined; // whose values are shown
  picked: number | null;
  point: (row: number | null) => void;
  pick: (row: number) => void;
}

const PAGE = 25;

export function PointTable({ caption, file, plane, points, rows, scores, also, field, picked, point, pick }: Props) {
  const [shown, setShown] = useState(PAGE);
  useEffect(() => setShown(PAGE), [rows]);
  const listed = rows.slice(0, shown);
  const failed = useFetched(points, listed, 120);
  if (failed) return <Failed error={failed} />;
  return (
    <div class="stack">
      <div class="scroll" tabindex={0} role="region" aria-label={caption}>
        <table class="map-table">
          <caption>{caption}</caption>
          <thead>
            <tr>
              <th scope="col">Document</th>
              <th scope="col" class="text">
                Text
              </th>
              {field && <th scope="col">{field.name}</th>}
              {scores && <th scope="col">Score</th>}
              {also && <th scope="col">In both</th>}
              <th scope="col">
                <span class="unseen">Its neighbours</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {listed.map((row, place) => {
              const known = points.at(row);
              return (
                <tr
                  key={row}
                  class={row === picked ? "picked" : undefined}
                  onPointerEnter={() => point(row)}
                  onPointerLeave={() => point(null)}
                >
                  <th scope="row">
                    {scores && <span class="map-rank">{place + 1}</span>}
                    {known?.title && <span class="quoted">{known.title}</span>}{" "}
                    <span class="id">{known ? `${known.source ? `${known.source}/` : ""}${known.document}` : "…"}</span>
                  </th>
                  <td class="text">
                    <span class="quoted map-text">{known?.text ?? ""}</span>
                  </td>
                  {field && <td>{known ? fact(valueIn(known, field.name)) : ""}</td>}
                  {scores && <td>{score(scores[place] ?? NaN)}</td>}
                  {also && <td>{also.has(row) ? "yes" : "no"}</td>}
                  <td>
                    <button
                      type="button"
                      class="quiet"
                      title="Its nearest neighbours"
                      onClick={() => pick(row)}
                      onFocus={() => point(row)}
                    >
                      Neighbours<span class="unseen"> of {known?.title || known?.document || `point ${row}`}</span>
                    </button>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <p class="row">
        {rows.length > shown && (
          <button type="button" onClick={() => setShown(shown + 4 * PAGE)}>
            Show more
          </button>
        )}
        <Export {...{ file, plane, points, rows }} />
      </p>
    </div>
  );
}

/** Writes all rows, not only those shown; what takes a while can be stopped. */
function Export({ file, plane, points, rows }: Pick<Props, "file" | "plane" | "points" | "rows">) {
  const [done, setDone] = useState<number | null>(null);
  const [failed, setFailed] = useState<unknown>(null);
  const leaving = useRef<AbortController | null>(null);
  useEffect(() => () => leaving.current?.abort(), [plane]);
  const write = async (): Promise<void> => {
    const stop = new AbortController();
    leaving.current = stop;
    const { fields } = plane.info;
    const parts = [head(fields)];
    setFailed(null);
    try {
      setDone(0);
      for await (const batch of points.each(rows, stop.signal)) {
        parts.push(batch.map((point) => pointLine(point, plane.xy, fields)).join(""));
        setDone((before) => (before ?? 0) + batch.length);
      }
      download(file, parts);
    } catch (error) {
      if (!isAbort(error)) setFailed(error);
    } finally {
      setDone(null);
    }
  };
  if (done !== null) {
    return (
      <>
        <progress value={done} max={rows.length} aria-label="Export" />
        <button type="button" onClick={() => leaving.current?.abort()}>
          Stop
        </button>
      </>
    );
  }
  return (
    <>
      <button type="button" disabled={!rows.length} onClick={() => void write()}>
        Export {rows.length.toLocaleString("en")} as CSV
      </button>
      {failed !== null && <Failed error={failed} />}
    </>
  );
}
