// Numbers of a study as words.
import type { Interval } from "./record";

const DASH = "–";
const minus = (text: string): string => text.replace("-", "−");
const number = (value: number | null | undefined): value is number => typeof value === "number" && Number.isFinite(value);

export const share = (value: number | null | undefined): string => (number(value) ? minus(value.toFixed(3)) : DASH);

export const signed = (value: number | null | undefined): string =>
  number(value) ? `${value > 0 ? "+" : ""}${share(value)}` : DASH;

export const between = (interval: Interval | null | undefined, write: (value: number) => string = share): string =>
  interval ? `${write(interval.low)} to ${write(interval.high)}` : DASH;

export function seconds(value: number | null | undefined): string {
  if (!number(value)) return DASH;
  if (value < 1) return `${Number((1000 * value).toPrecision(2))} ms`;
  if (value < 120) return `${Number(value.toPrecision(2))} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${Number((value / 3600).toPrecision(2))} h`;
}

export function bytes(value: number | null | undefined): string {
  if (!number(value)) return DASH;
  const step = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), 4);
  return `${Number((value / 1000 ** step).toPrecision(3))} ${["B", "kB", "MB", "GB", "TB"][step]}`;
}

/** A p-value: below a thousandth only that it is. */
export const chance = (p: number | null | undefined): string =>
  !number(p) ? DASH : p < 0.001 ? "< .001" : p.toFixed(3).replace(/^0/, "");
