// Charts by Observable Plot. It puts a style element into each drawing, which a strict content security policy refuses: it is taken
// out before the drawing enters the page, and evidence.css says what it said.
import { areaY, dot, line, plot, pointer, ruleX, ruleY, text, tip } from "@observablehq/plot";
import { apart, type Box, short } from "../map/labels";
import { seconds, share } from "./figures";
import { front, type Duel, type Interval, type Measured } from "./record";

export type Drawing = (SVGSVGElement | HTMLElement) & { value?: unknown };

export interface Mark {
  name: string;
  cost: number;
  quality: Interval;
  role: string; // "A", "B", "our pick", "baseline" or ""
}

const CHEAPEST = 1e-3; // seconds: a logarithmic axis has no zero

export const marks = (candidates: readonly Measured[], metric: string, roles: Record<string, string>): Mark[] =>
  candidates
    .flatMap((one) => {
      const quality = one.metrics[metric];
      if (!quality || typeof one.cost_seconds !== "number") return [];
      return [{ name: one.name, cost: Math.max(one.cost_seconds, CHEAPEST), quality, role: roles[one.name] ?? "" }];
    })
    .sort((one, other) => one.role.length - other.role.length); // A and B are drawn over the others

const COLOURS: Record<string, string> = { A: "var(--a)", B: "var(--b)" };
const SYMBOLS: Record<string, "square" | "diamond" | "circle"> = { A: "square", B: "diamond" };

const stripped = (drawing: Drawing, says: string): Drawing => {
  for (const style of drawing.querySelectorAll("style")) style.remove();
  for (const group of drawing.querySelectorAll("g[aria-label]")) {
    group.classList.add(`chart-${group.getAttribute("aria-label")!.replaceAll(" ", "-")}`); // a group has no role that may be labelled
    group.removeAttribute("aria-label");
  }
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", says);
  return drawing;
};

/** Quality against cost, the front as a line of steps, each with its interval; labels where there is room. */
export function pareto(
  candidates: readonly Measured[],
  metric: string,
  roles: Record<string, string>,
  width: number,
): Drawing | null {
  const data = marks(candidates, metric, roles);
  if (!data.length) return null;
  const best = new Set(front(candidates, metric).map(({ name }) => name));
  const steps = data.filter(({ name }) => best.has(name)).sort((one, other) => one.cost - other.cost);
  const base = {
    width,
    height: Math.min(420, Math.max(280, width * 0.55)),
    marginLeft: 52,
    marginBottom: 44,
    marginTop: 34,
    marginRight: 20,
    className: "chart",
    x: {
      type: "log" as const,
      label: "Cost: documents taken in and 1,000 queries answered →",
      tickFormat: seconds,
      ticks: Math.max(2, Math.min(6, Math.floor(width / 110))),
      nice: true,
    },
    y: { label: `↑ ${metric}`, grid: true, nice: true },
  };
  const drawn = [
    line(steps, {
      x: "cost",
      y: (each: Mark) => each.quality.mean,
      curve: "step-after",
      stroke: "var(--strong-line)",
      strokeWidth: 1.5,
    }),
    ruleX(data, {
      x: "cost",
      y1: (each: Mark) => each.quality.low,
      y2: (each: Mark) => each.quality.high,
      stroke: colourOf,
      strokeOpacity: 0.55,
      strokeWidth: 1.5,
    }),
    dot(data, {
      ...{
        x: "cost",
        y: (each: Mark) => each.quality.mean,
        r: (each: Mark) => (each.role ? 6.5 : 4.5),
        symbol: (each: Mark) => SYMBOLS[each.role] ?? "circle",
      },
      ...{ fill: colourOf, stroke: "var(--card)", strokeWidth: 1.2 },
    }),
    tip(
      data,
      pointer({ x: "cost", y: (each: Mark) => each.quality.mean, title: told, fill: "var(--raised)", stroke: "var(--line)" }),
    ),
  ];
  const scales = {
    r: { type: "identity" as const },
    symbol: { type: "identity" as const },
    color: { type: "identity" as const },
  };
  const bare = plot({ ...base, ...scales, marks: drawn });
  const [x, y] = [bare.scale("x")!, bare.scale("y")!];
  const labels = placed(data, best, (each) => [x.apply(each.cost) as number, y.apply(each.quality.mean) as number], width);
  const words = labels.map(({ mark, side, label }) =>
    text([mark], {
      x: "cost",
      y: (each: Mark) => each.quality.mean,
      text: () => label,
      ...SIDES[side],
      fontSize: 12,
      fontWeight: mark.role ? 650 : 450,
      stroke: "var(--card)",
      strokeWidth: 4,
      fill: "currentColor",
    }),
  );
  return stripped(
    plot({ ...base, ...scales, marks: [...drawn.slice(0, -1), ...words, drawn.at(-1)!] }),
    `${metric} against cost of ${data.length} candidates; the table holds the same numbers`,
  );
}

const colourOf = ({ role }: Mark): string => COLOURS[role] ?? "var(--soft)";
const told = ({ name, quality, cost }: Mark): string =>
  `${name}\n${share(quality.mean)} (${share(quality.low)} to ${share(quality.high)})\n${seconds(cost)}`;

const SIDES = {
  right: { textAnchor: "start", dx: 11, dy: 0 },
  left: { textAnchor: "end", dx: -11, dy: 0 },
  above: { textAnchor: "middle", dx: 0, dy: -16 },
  below: { textAnchor: "middle", dx: 0, dy: 16 },
} as const;
type Side = keyof typeof SIDES;

const LETTER = 7.4; // pixels of a letter, on average, and some room

interface Placed {
  mark: Mark;
  side: Side;
  label: string;
}

/** A side for each label, the weightiest first, on no dot and no other label; without a free side there is no label. */
export function placed(
  data: readonly Mark[],
  best: ReadonlySet<string>,
  at: (mark: Mark) => [x: number, y: number],
  width: number,
): Placed[] {
  const weight = ({ name, role }: Mark): number => (role ? 2 : 0) + (best.has(name) ? 1 : 0);
  const taken: Box[] = data.map((mark) => around(at(mark)));
  const found: Placed[] = [];
  for (const mark of [...data].sort((one, other) => weight(other) - weight(one))) {
    const label = short(mark.role ? `${mark.role}: ${mark.name}` : mark.name, 26);
    const side = (Object.keys(SIDES) as Side[]).find((each) => {
      const box = boxOf(at(mark), each, LETTER * label.length);
      return box.left >= 52 && box.left + box.width <= width && apart([...taken, box]).at(-1);
    });
    if (!side) continue;
    taken.push(boxOf(at(mark), side, LETTER * label.length));
    found.push({ mark, side, label });
  }
  return found;
}

const around = ([x, y]: [number, number]): Box => ({ left: x - 6, top: y - 6, width: 12, height: 12 });

function boxOf([x, y]: [number, number], side: Side, wide: number): Box {
  const { dx, dy, textAnchor } = SIDES[side];
  const left = textAnchor === "start" ? x + dx : textAnchor === "end" ? x + dx - wide : x - wide / 2;
  return { left, top: y + dy - 8, width: wide, height: 16 };
}

/** One step a query, sorted: where B gains above the line, where it loses below. */
export function differences({ rows, wins, losses }: Duel, metric: string, width: number): Drawing | null {
  if (!rows.length) return null;
  // an area by steps ends at its last point: each query is a step from its place to the next
  const edges = rows.flatMap(({ difference }, place) => [
    { place, difference },
    { place: place + 1, difference },
  ]);
  const side = (sign: 1 | -1, fill: string) =>
    areaY(edges, {
      x: "place",
      y1: 0,
      y2: (each: { difference: number }) => (sign * each.difference > 0 ? each.difference : 0),
      fill,
      fillOpacity: 0.75,
    });
  const drawing = plot({
    ...{ width, height: 240, marginLeft: 52, marginBottom: 36, marginTop: 28, className: "chart" },
    x: { label: "Queries, by their difference →", ticks: Math.max(2, Math.floor(width / 120)), domain: [0, rows.length] },
    y: { label: `↑ Difference in ${metric}, B less A`, grid: true, nice: true },
    marks: [side(1, "var(--b)"), side(-1, "var(--a)"), ruleY([0], { stroke: "currentColor" })],
  });
  return stripped(drawing, `B is better on ${wins} of ${rows.length} queries and worse on ${losses}; the tables below name them`);
}
