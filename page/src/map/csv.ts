// Points as a table that any program reads (RFC 4180).
import type { MapField, MapPoint } from "../api";

/** A cell. Text that a spreadsheet would run as a formula gets an apostrophe before it: documents come from anywhere. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const safe = /^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const line = (values: readonly unknown[]): string => `${values.map(cell).join(",")}\r\n`;

/** What a point has in a field: of its metadata, or where it is from, which maps have as a field too. */
export const valueIn = ({ metadata, source }: MapPoint, field: string): unknown =>
  Object.hasOwn(metadata, field) ? metadata[field] : field === "source" ? source : undefined;

const COLUMNS = ["document", "source", "title", "text", "x", "y"];
const others = (fields: readonly MapField[]): string[] =>
  fields.map(({ name }) => name).filter((name) => !COLUMNS.includes(name));

/** The first line of a table of points with these fields. */
export const head = (fields: readonly MapField[]): string => line([...COLUMNS, ...others(fields)]);

export const pointLine = (point: MapPoint, xy: Float32Array, fields: readonly MapField[]): string =>
  line([
    point.document,
    point.source,
    point.title,
    point.text,
    xy[2 * point.row],
    xy[2 * point.row + 1],
    ...others(fields).map((name) => valueIn(point, name)),
  ]);

/** Hand the browser a file to keep. */
export function download(name: string, parts: readonly string[]): void {
  const address = URL.createObjectURL(new Blob(["\ufeff", ...parts], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
