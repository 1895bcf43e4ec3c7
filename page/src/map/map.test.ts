import { describe, expect, it } from "vitest";
import type { MapField, MapPoint } from "../api";
import { changed, read } from "./asked";
import { boundsOf, fit, panned, type Place, seen, toMap, toScreen, zoomed } from "./camera";
import { colour, counts, hiding, type Look, NONE, passing, ramp, range } from "./colouring";
import { cell, head, pointLine } from "./csv";
import { apart, categoryLabels, short } from "./labels";
import { cellsFor, countIn, HIDDEN, mixed, packed, paintDensity, paintDiscs, radiusFor, type Rgb, type Scene } from "./paint";
import { inBox, inLoop, isInside, loopText, nearest, plant, readLoop } from "./pick";

const SIZE = { width: 400, height: 300 };
const LOOK: Look = { dark: false, paper: [255, 255, 255] };
const RED: Rgb = [200, 10, 20];
const all = (): boolean => true;

describe("a camera", () => {
  const bounds = { left: -1, right: 3, bottom: 0, top: 10 };
  const camera = fit(bounds, SIZE);

  it("shows all at first, the second axis upwards", () => {
    const view = seen(camera, SIZE);
    expect(view.left <= -1 && view.right >= 3 && view.bottom <= 0 && view.top >= 10).toBe(true);
    expect(toScreen(camera, SIZE, [1, 10])[1]).toBeLessThan(toScreen(camera, SIZE, [1, 0])[1]);
    expect(toScreen(camera, SIZE, [1, 5])).toEqual([200, 150]);
  });

  it("comes back from the screen", () => {
    const [x, y] = toMap(camera, SIZE, toScreen(camera, SIZE, [0.25, 7]));
    expect([x, y]).toEqual([expect.closeTo(0.25, 9), expect.closeTo(7, 9)]);
  });

  it("keeps what is under the pointer there", () => {
    const at: Place = [50, 80];
    const before = toMap(camera, SIZE, at);
    const after = toMap(zoomed(camera, SIZE, at, 3, camera), SIZE, at);
    expect(after).toEqual([expect.closeTo(before[0], 9), expect.closeTo(before[1], 9)]);
    expect(zoomed(camera, SIZE, at, 1e9, camera).scale).toBeCloseTo(camera.scale * 20_000, 6);
    const dragged = panned(camera, 30, -20);
    expect(toScreen(dragged, SIZE, before)).toEqual([expect.closeTo(80, 9), expect.closeTo(60, 9)]);
  });

  it("passes over places that are no numbers, and shows nothing and one point too", () => {
    expect(boundsOf(Float32Array.of(NaN, 1, 2, 3, 4, -5))).toEqual({ left: 2, right: 4, bottom: -5, top: 3 });
    for (const few of [Float32Array.of(), Float32Array.of(7, 7)])
      expect(Number.isFinite(fit(boundsOf(few), SIZE).scale)).toBe(true);
  });
});

describe("painting", () => {
  const frame = () => ({ pixels: new Uint32Array(40 * 30).fill(packed(LOOK.paper)), width: 40, height: 30 });
  const lens = { scale: 1, left: 0, top: 29 }; // a unit a pixel, upwards
  const scene = (...places: Place[]): Scene => ({
    xy: Float32Array.from(places.flat()),
    tint: new Uint8Array(places.length),
    palette: [RED],
  });
  const inked = ({ pixels }: { pixels: Uint32Array }): number => pixels.filter((pixel) => pixel !== packed(LOOK.paper)).length;

  it("draws a disc of about its area where the place is", () => {
    const drawn = frame();
    paintDiscs(drawn, scene([20, 9]), lens, 4);
    expect(drawn.pixels[20 * 40 + 20]).not.toBe(packed(LOOK.paper));
    expect(inked(drawn)).toBeGreaterThan(Math.PI * 16 * 0.8);
    expect(inked(drawn)).toBeLessThan(Math.PI * 25);
  });

  it("leaves out hidden points, those outside, and those that are nowhere", () => {
    const drawn = frame();
    const all = scene([20, 15], [-3, 5], [400, 5], [NaN, 2]);
    all.tint[0] = HIDDEN;
    paintDiscs(drawn, all, lens, 2);
    expect(inked(drawn)).toBe(0);
    expect(countIn(all, lens, drawn)).toBe(0);
    paintDensity(drawn, cellsFor(40 * 30), all, lens, LOOK.paper);
    expect(inked(drawn)).toBe(0);
  });

  it("shows more points stronger", () => {
    const drawn = frame();
    const most = paintDensity(
      drawn,
      cellsFor(40 * 30),
      scene([5.5, 5.5], ...Array<Place>(50).fill([9.5, 5.5])),
      lens,
      LOOK.paper,
    );
    const green = (pixel: number): number => (pixel >>> 8) & 0xff;
    const [one, many] = [drawn.pixels[23 * 40 + 5]!, drawn.pixels[23 * 40 + 9]!];
    expect(most).toBe(50);
    expect(green(many)).toBeLessThan(green(one));
    expect(green(one)).toBeLessThan(255);
    expect(many).toBe(packed(RED));
  });

  it("makes points smaller the more there are, and stops at less than a dot", () => {
    const radii = [1, 1000, 20_000, 1_000_000].map((count) => radiusFor(count, 400_000));
    expect(radii[0]).toBe(5);
    expect(radii[2]!).toBeLessThan(radii[1]!);
    expect(radii[3]).toBe(0);
  });

  it("mixes colours", () => {
    expect(mixed([0, 100, 200], [100, 100, 0], 0.5)).toEqual([50, 100, 100]);
  });
});

describe("colours and filters", () => {
  const field: MapField = { name: "lang", kind: "text", values: ["en", "fr", "de"] };
  const codes = Uint16Array.of(1, 0, 1, NONE, 2, 1);

  it("name the most frequent first, and what has no value", () => {
    const { legend, tint, palette } = colour(field, codes, LOOK);
    expect(legend.map(({ label, count }) => [label, count])).toEqual([
      ["fr", 3],
      ["en", 1],
      ["de", 1],
      ["no value", 1],
    ]);
    expect([...tint]).toEqual([0, 1, 0, 3, 2, 0]);
    expect(palette).toHaveLength(4);
    expect([...counts(codes, 3)]).toEqual([1, 3, 1, 1]);
  });

  it("put many values together", () => {
    const values = Array.from({ length: 300 }, (_, code) => `v${code}`);
    const { legend, tint } = colour(
      { name: "x", kind: "text", values },
      Uint16Array.from(values, (_, code) => code),
      LOOK,
    );
    expect(legend.at(-1)).toMatchObject({ label: "290 other values", count: 290, code: null });
    expect(Math.max(...tint)).toBe(10);
  });

  it("spread numbers over a scale that one outlier does not take", () => {
    const values = Float32Array.from({ length: 1000 }, (_, row) => (row === 0 ? 1e9 : row));
    const { tint, range: shown } = colour({ name: "n", kind: "number" }, values, LOOK);
    expect(shown![1]).toBeLessThan(1001);
    expect(tint[999]! - tint[1]!).toBeGreaterThan(40);
    expect(tint[0]).toBe(ramp(LOOK).length - 1);
    expect([...colour({ name: "n", kind: "number" }, Float32Array.of(NaN, 5, 5), LOOK).tint]).toEqual([ramp(LOOK).length, 0, 0]);
    expect(range(Float32Array.of(NaN, 2, -1))).toEqual([-1, 2]);
  });

  it("leave what was asked for", () => {
    const asked = { is: ["fr", "xx"], from: null, to: null };
    expect([...passing(field, codes, asked)!]).toEqual([1, 0, 1, 0, 0, 1]);
    expect(passing(field, codes, { ...asked, is: [] })).toBeNull();
    const numbers = { name: "n", kind: "number" };
    expect([...passing(numbers, Float32Array.of(1, 2, NaN, 3), { is: [], from: 2, to: null })!]).toEqual([0, 1, 0, 1]);
    expect([...hiding(Uint8Array.of(4, 5), Uint8Array.of(0, 1))]).toEqual([HIDDEN, 5]);
  });
});

describe("picking", () => {
  const grid = Float32Array.from(Array.from({ length: 100 }, (_, row) => [row % 10, Math.floor(row / 10)]).flat());
  const square: Place[] = [
    [1.5, 1.5],
    [4.5, 1.5],
    [4.5, 3.5],
    [1.5, 3.5],
  ];

  it("finds the nearest within reach", () => {
    const tree = plant(grid);
    expect(nearest(tree, grid, [3.2, 4.1], 1, all)).toBe(43);
    expect(nearest(tree, grid, [3.2, 4.1], 1, (row) => row !== 43)).toBe(44);
    expect(nearest(tree, grid, [-5, -5], 1, all)).toBeNull();
    expect(nearest(plant(Float32Array.of()), Float32Array.of(), [0, 0], 1, all)).toBeNull();
    const broken = Float32Array.of(NaN, 0, 1, 1);
    expect(nearest(plant(broken), broken, [0, 0], 10, all)).toBe(1);
  });

  it("takes what a loop encloses", () => {
    expect(inLoop(grid, square, all)).toEqual([22, 23, 24, 32, 33, 34]);
    expect(inLoop(grid, square, (row) => row < 30)).toEqual([22, 23, 24]);
    expect(inLoop(grid, square.slice(0, 2), all)).toEqual([]);
    expect(inBox(grid, { left: 8, right: 20, bottom: 8, top: 8.5 }, all)).toEqual([88, 89]);
    const notched: Place[] = [
      [0, 0],
      [4, 0],
      [4, 4],
      [2, 1],
      [0, 4],
    ];
    expect([isInside(notched, 2, 0.5), isInside(notched, 2, 3), isInside(notched, 0.5, 2)]).toEqual([true, false, true]);
  });

  it("writes a loop into an address, and reads it back", () => {
    expect(readLoop(loopText(square))).toEqual(square);
    const round = Array.from({ length: 500 }, (_, turn): Place => [Math.cos(turn / 80), Math.sin(turn / 80)]);
    expect(readLoop(loopText(round)).length).toBe(60);
    for (const wrong of ["", "1,2 3,4", "1,2 3,4 x,5", "1,2,3 1,2,3 1,2,3"]) expect(readLoop(wrong)).toEqual([]);
  });
});

describe("words on a map", () => {
  it("stand where most of a category is", () => {
    const places = [...Array<Place>(9).fill([1, 1]), [9, 9] as Place, ...Array<Place>(5).fill([9, 1])];
    const xy = Float32Array.from(places.flat());
    const codes = Uint16Array.from(places, (_, row) => (row < 10 ? 0 : 1));
    const colouring = colour({ name: "x", kind: "text", values: ["a", "b"] }, codes, LOOK);
    const labels = categoryLabels(xy, colouring.tint, colouring, boundsOf(xy));
    expect(labels.map(({ text, at }) => [text, ...at])).toEqual([
      ["a", 1, 1],
      ["b", 9, 1],
    ]);
  });

  it("are never over each other", () => {
    const box = { left: 0, top: 0, width: 10, height: 10 };
    expect(apart([box, { ...box, left: 5 }, { ...box, left: 10 }, { ...box, left: 12 }])).toEqual([true, false, true, false]);
  });

  it("are cut between signs, not within one", () => {
    expect(short("naïve", 5)).toBe("naïve");
    expect(short("👩‍🚀👩‍🚀 abc", 3)).not.toMatch(/[\ud800-\udbff]…$/);
  });
});

describe("a file of points", () => {
  const point: MapPoint = {
    row: 1,
    document: "a,b",
    source: "notes",
    title: 'the "best"',
    text: "=1+1\nnext",
    metadata: { year: -3, tags: ["x"] },
  };
  const fields: MapField[] = [
    { name: "year", kind: "number" },
    { name: "tags", kind: "text" },
    { name: "none", kind: "text" },
  ];

  it("quotes what it must, and runs nothing in a spreadsheet", () => {
    expect(head(fields)).toBe("document,source,title,text,x,y,year,tags,none\r\n");
    expect(pointLine(point, Float32Array.of(0, 0, 0.5, -2), fields)).toBe(
      '"a,b",notes,"the ""best""","\'=1+1\nnext",0.5,-2,-3,"[""x""]",\r\n',
    );
    expect(
      head([
        { name: "source", kind: "text" },
        { name: "text", kind: "text" },
      ]),
    ).toBe("document,source,title,text,x,y\r\n");
    expect(["@x", "-1", "-x", "+1", "", null].map(cell)).toEqual(["'@x", "-1", "'-x", "+1", "", ""]);
  });
});

describe("the address of a map", () => {
  it("says all that was chosen", () => {
    const params = new URLSearchParams(
      "collection=c&space2=s&colour=lang&filter=lang&is=en&is=fr&q=wings&row=4&k=25&lasso=0,0 1,0 1,1&on=second",
    );
    expect(read(params, "other")).toEqual({
      ...{ first: { collection: "c" }, second: { collection: "c", space: "s" }, colour: "lang", field: "lang" },
      ...{ filter: { is: ["en", "fr"], from: null, to: null }, query: "wings", row: null, k: 25 },
      loop: {
        on: "second",
        places: [
          [0, 0],
          [1, 0],
          [1, 1],
        ],
      },
    });
  });

  it("is patient with what is wrong", () => {
    expect(read(new URLSearchParams("row=-1&k=1e9&from=x&lasso=oops"), "c")).toMatchObject({
      first: { collection: "c" },
      second: null,
      row: null,
      k: 10,
      loop: null,
    });
  });

  it("changes by parts", () => {
    const next = changed(new URLSearchParams("a=1&is=x&is=y&q=z"), { is: ["w", "v"], q: null, b: "2" });
    expect(next.toString()).toBe("a=1&is=w&is=v&b=2");
  });
});
