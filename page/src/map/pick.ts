// Which points are meant: under the pointer (by a k-d tree over the plane), or inside a loop that a person drew.
import KDBush from "kdbush";
import type { Bounds, Place } from "./camera";

export type Tree = KDBush;

/** A tree over places (n, 2); places that are no numbers are far away from all. */
export function plant(xy: Float32Array): Tree {
  const n = xy.length / 2;
  const tree = new KDBush(Math.max(n, 1), 64, Float32Array);
  for (let row = 0; row < n; row++) {
    const [x, y] = [xy[2 * row]!, xy[2 * row + 1]!];
    const real = Number.isFinite(x) && Number.isFinite(y);
    tree.add(real ? x : 3e38, real ? y : 3e38);
  }
  if (n === 0) tree.add(3e38, 3e38);
  return tree.finish();
}

type Wanted = (row: number) => boolean;

/** The wanted point nearest to a place, within a radius in the map's units; null where there is none. */
export function nearest(tree: Tree, xy: Float32Array, [x, y]: Place, radius: number, wanted: Wanted): number | null {
  let best: number | null = null;
  let least = Infinity;
  for (const row of tree.within(x, y, radius)) {
    const distance = Math.hypot(xy[2 * row]! - x, xy[2 * row + 1]! - y);
    if (distance < least && wanted(row)) [best, least] = [row, distance];
  }
  return best;
}

/** The wanted points in a box, in the order of their rows: looking at each place is quicker than sorting what the tree finds. */
export function inBox(xy: Float32Array, { left, right, bottom, top }: Bounds, wanted: Wanted): number[] {
  const rows: number[] = [];
  for (let row = 0; 2 * row < xy.length; row++) {
    const [x, y] = [xy[2 * row]!, xy[2 * row + 1]!];
    if (x >= left && x <= right && y >= bottom && y <= top && wanted(row)) rows.push(row);
  }
  return rows;
}

/** The wanted points inside a loop, in the order of their rows; where it crosses itself, what it goes round twice is outside. */
export function inLoop(xy: Float32Array, loop: readonly Place[], wanted: Wanted): number[] {
  if (loop.length < 3) return [];
  const xs = loop.map(([x]) => x);
  const ys = loop.map(([, y]) => y);
  const box = { left: Math.min(...xs), right: Math.max(...xs), bottom: Math.min(...ys), top: Math.max(...ys) };
  return inBox(xy, box, (row) => wanted(row) && isInside(loop, xy[2 * row]!, xy[2 * row + 1]!));
}

/** Whether a place is inside a polygon: a ray to the right meets its edges an odd number of times. */
export function isInside(loop: readonly Place[], x: number, y: number): boolean {
  let inside = false;
  for (let at = 0, before = loop.length - 1; at < loop.length; before = at++) {
    const [ax, ay] = loop[at]!;
    const [bx, by] = loop[before]!;
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

const CORNERS = 60; // of a loop in an address

/** A loop as text for an address: at most `CORNERS` of its corners, in five digits. */
export function loopText(loop: readonly Place[]): string {
  const every = Math.max(1, loop.length / CORNERS);
  const kept = Array.from({ length: Math.min(loop.length, CORNERS) }, (_, turn) => loop[Math.floor(turn * every)]!);
  return kept.map(([x, y]) => `${Number(x.toPrecision(5))},${Number(y.toPrecision(5))}`).join(" ");
}

/** The loop that `loopText` wrote; none where the text is no loop. */
export function readLoop(text: string): Place[] {
  const loop = text.split(" ", 1000).map((corner) => corner.split(",").map(Number));
  const whole = loop.length >= 3 && loop.every((corner) => corner.length === 2 && corner.every(Number.isFinite));
  return whole ? (loop as unknown as Place[]) : [];
}
