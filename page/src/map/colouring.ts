// Which colour a point has, and which points a filter leaves: from a field's codes or numbers. Colour never speaks alone: the
// legend names every colour, and the same values stand in the table.
import type { MapField } from "../api";
import { HIDDEN, mixed, type Rgb } from "./paint";

export const NONE = 0xffff; // the code of a point that has no value
const MOST = 10; // colours that people can tell apart
const STEPS = 48; // of a scale of numbers

export type Values = Uint16Array | Float32Array;

export interface Entry {
  label: string;
  count: number;
  tint: number;
  code: number | null; // of the value; null for all the others together
}

export interface Colouring {
  tint: Uint8Array;
  palette: readonly Rgb[];
  legend: Entry[]; // of categories
  range: readonly [low: number, high: number] | null; // of numbers: what is outside has the colour of the nearer end
}

export interface Look {
  dark: boolean;
  paper: Rgb;
}

// Of Okabe and Ito's set for every kind of colour sight, each made so light or dark that it stands off its paper.
const LIGHT: readonly Rgb[] = [
  [0, 98, 170],
  [196, 88, 0],
  [0, 128, 98],
  [178, 60, 130],
  [128, 96, 0],
  [52, 140, 190],
  [130, 40, 40],
  [96, 80, 190],
  [70, 130, 20],
  [24, 52, 90],
];
const DARK: readonly Rgb[] = [
  [106, 183, 255],
  [255, 165, 70],
  [60, 205, 160],
  [240, 140, 200],
  [235, 215, 90],
  [130, 215, 245],
  [255, 130, 120],
  [175, 160, 255],
  [160, 215, 90],
  [215, 225, 240],
];
const GREY: Record<"light" | "dark", Rgb> = { light: [150, 158, 168], dark: [96, 108, 122] };
const SCALE: Record<"light" | "dark", readonly Rgb[]> = {
  light: [
    [128, 190, 214],
    [40, 126, 184],
    [40, 72, 150],
    [60, 20, 90],
  ],
  dark: [
    [70, 70, 140],
    [60, 120, 190],
    [110, 200, 220],
    [250, 245, 190],
  ],
};

const name = (look: Look): "light" | "dark" => (look.dark ? "dark" : "light");

/** One colour for all `n` points. */
export const plain = (n: number, look: Look): Colouring => ({
  tint: new Uint8Array(n),
  palette: [(look.dark ? DARK : LIGHT)[0]!],
  legend: [],
  range: null,
});

/** Points coloured by a field's values: its most frequent categories, or steps from its lowest to its highest number. */
export function colour(field: MapField, values: Values, look: Look): Colouring {
  return field.values ? byCategory(field.values, values, look) : byNumber(values, look);
}

/** How often each code occurs; the last place counts points without a value. */
export function counts(values: Values, categories: number): Uint32Array {
  const found = new Uint32Array(categories + 1);
  for (const code of values) found[code < categories ? code : categories]!++;
  return found;
}

function byCategory(labels: readonly string[], values: Values, look: Look): Colouring {
  const found = counts(values, labels.length);
  const order = labels.map((_, code) => code).filter((code) => found[code]! > 0);
  order.sort((a, b) => found[b]! - found[a]! || a - b);
  const top = order.slice(0, MOST);
  const tints = new Uint8Array(labels.length + 1).fill(top.length); // the grey of all others
  const legend: Entry[] = top.map((code, tint) => {
    tints[code] = tint;
    return { label: labels[code]!, count: found[code]!, tint, code };
  });
  const rest = order.slice(MOST);
  const others = rest.reduce((sum, code) => sum + found[code]!, 0);
  if (rest.length)
    legend.push({ label: `${rest.length.toLocaleString("en")} other values`, count: others, tint: top.length, code: null });
  if (found[labels.length]) legend.push({ label: "no value", count: found[labels.length]!, tint: top.length, code: NONE });
  const tint = Uint8Array.from(values, (code) => tints[Math.min(code, labels.length)]!);
  return { tint, palette: [...(look.dark ? DARK : LIGHT).slice(0, top.length), GREY[name(look)]], legend, range: null };
}

function byNumber(values: Values, look: Look): Colouring {
  const [low, high] = middle(values);
  const step = high > low ? (STEPS - 1) / (high - low) : 0;
  const tint = Uint8Array.from(values, (value) =>
    Number.isFinite(value) ? Math.round((Math.min(Math.max(value, low), high) - low) * step) : STEPS,
  );
  return { tint, palette: [...ramp(look), GREY[name(look)]], legend: [], range: [low, high] };
}

const SAMPLE = 20_000;

/** Between which numbers all but the outermost fiftieth at each end lie, by a sample: one outlier would leave one colour for the rest. */
function middle(values: Values): readonly [low: number, high: number] {
  const every = Math.max(1, Math.floor(values.length / SAMPLE));
  const some = values.filter((value, row) => row % every === 0 && Number.isFinite(value)).sort();
  const [low, high] = [some[Math.floor(0.02 * some.length)] ?? 0, some[Math.ceil(0.98 * some.length) - 1] ?? 0];
  return low < high ? [low, high] : range(values);
}

/** The lowest and the highest of the values that are numbers; 0 and 0 of none. */
export function range(values: Values): readonly [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 0];
}

/** The colours of a scale of numbers, the lowest first. */
export function ramp(look: Look): Rgb[] {
  const anchors = SCALE[name(look)];
  return Array.from({ length: STEPS }, (_, step) => {
    const along = (step / (STEPS - 1)) * (anchors.length - 1);
    const from = Math.min(Math.floor(along), anchors.length - 2);
    return mixed(anchors[from + 1]!, anchors[from]!, along - from);
  });
}

/** What is asked of a field: one of some values, or a number between two. */
export interface Filter {
  is: readonly string[];
  from: number | null;
  to: number | null;
}

/** 1 for every point that the filter leaves, or null where it asks nothing. Points without a value are left out. */
export function passing(field: MapField, values: Values, { is, from, to }: Filter): Uint8Array | null {
  if (field.values) {
    if (!is.length) return null;
    const wanted = new Set(is);
    const keep = Uint8Array.from([...field.values, ""], (label, code) =>
      Number(code < field.values!.length && wanted.has(label)),
    );
    return Uint8Array.from(values, (code) => keep[Math.min(code, field.values!.length)]!);
  }
  if (from === null && to === null) return null;
  return Uint8Array.from(values, (value) => Number(value >= (from ?? -Infinity) && value <= (to ?? Infinity)));
}

/** The tints with those points hidden that a filter took out. */
export const hiding = (tint: Uint8Array, passed: Uint8Array | null): Uint8Array =>
  passed ? tint.map((one, row) => (passed[row] ? one : HIDDEN)) : tint;

/** The palette with every colour near the paper's, for what is not meant just now. */
export const faded = (palette: readonly Rgb[], look: Look): Rgb[] =>
  palette.map((each) => mixed(each, look.paper, look.dark ? 0.32 : 0.25));
