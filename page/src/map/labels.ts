// Words on a map: where a category's points are densest, and no word over another.
import type { Bounds, Place } from "./camera";
import type { Colouring } from "./colouring";
import { HIDDEN } from "./paint";

export interface Label {
  text: string;
  at: Place; // in the map's units
  tint: number | null;
  lift: number; // pixels above its place
}

const CELLS = 24; // along each axis

/** The name of each coloured category where most of its drawn points are. */
export function categoryLabels(xy: Float32Array, tint: Uint8Array, { legend }: Colouring, bounds: Bounds): Label[] {
  const named = legend.filter(({ code, label }) => code !== null && label && label !== "no value");
  const counts = new Uint32Array(named.length * CELLS * CELLS);
  const along = (value: number, low: number, high: number): number =>
    Math.min(CELLS - 1, Math.floor(((value - low) / Math.max(high - low, 1e-12)) * CELLS));
  const cellOf = (row: number): number =>
    along(xy[2 * row + 1]!, bounds.bottom, bounds.top) * CELLS + along(xy[2 * row]!, bounds.left, bounds.right);
  const drawn = (row: number): boolean =>
    tint[row] !== HIDDEN && tint[row]! < named.length && Number.isFinite(xy[2 * row]! + xy[2 * row + 1]!);
  for (let row = 0; row < tint.length; row++) {
    if (drawn(row)) counts[tint[row]! * CELLS * CELLS + cellOf(row)]!++;
  }
  const densest = named.map((_, place) => {
    const own = counts.subarray(place * CELLS * CELLS, (place + 1) * CELLS * CELLS);
    return own.reduce((best, count, cell) => (count > own[best]! ? cell : best), 0);
  });
  const sums = named.map(() => ({ x: 0, y: 0, count: 0 }));
  for (let row = 0; row < tint.length; row++) {
    if (!drawn(row) || cellOf(row) !== densest[tint[row]!]) continue;
    const sum = sums[tint[row]!]!;
    sum.x += xy[2 * row]!;
    sum.y += xy[2 * row + 1]!;
    sum.count++;
  }
  return named.flatMap((entry, place) => {
    const { x, y, count } = sums[place]!;
    return count ? [{ text: entry.label, at: [x / count, y / count] as const, tint: entry.tint, lift: 0 }] : [];
  });
}

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Which boxes may stay, in their order of weight: those that meet none that stays already. */
export function apart(boxes: readonly Box[]): boolean[] {
  const kept: Box[] = [];
  return boxes.map((box) => {
    const free = kept.every(
      (other) =>
        box.left >= other.left + other.width ||
        other.left >= box.left + box.width ||
        box.top >= other.top + other.height ||
        other.top >= box.top + box.height,
    );
    if (free) kept.push(box);
    return free;
  });
}

/** Cut at a length, with a sign that it was. */
export const short = (text: string, length: number): string => {
  const signs = [...text];
  return signs.length > length
    ? `${signs
        .slice(0, length - 1)
        .join("")
        .trimEnd()}…`
    : text;
};
