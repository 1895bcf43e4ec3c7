// Points into pixels: as discs while there is room, as density where there are more points than places for them. Plain loops over
// typed arrays, which draw a million points in a few hundredths of a second and need no graphics card.

export type Rgb = readonly [red: number, green: number, blue: number];

export const HIDDEN = 255; // the tint of a point that is not drawn

/** What is drawn: places, and for each point which colour of the palette it has. */
export interface Scene {
  xy: Float32Array; // (n, 2)
  tint: Uint8Array; // (n,)
  palette: readonly Rgb[];
}

/** How a place becomes a pixel: `x * scale + left`, `top - y * scale`. */
export interface Lens {
  scale: number;
  left: number;
  top: number;
}

export interface Frame {
  pixels: Uint32Array; // (height, width), red in the lowest byte
  width: number;
  height: number;
}

export const packed = ([red, green, blue]: Rgb): number => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

/** `share` of the first colour, the rest of the second. */
export const mixed = (one: Rgb, other: Rgb, share: number): Rgb =>
  [0, 1, 2].map((part) => Math.round(one[part]! * share + other[part]! * (1 - share))) as unknown as Rgb;

/** How many points are inside the frame. */
export function countIn({ xy, tint }: Scene, lens: Lens, { width, height }: Frame): number {
  let count = 0;
  for (let row = 0, at = 0; row < tint.length; row++, at += 2) {
    const x = xy[at]! * lens.scale + lens.left;
    const y = lens.top - xy[at + 1]! * lens.scale;
    if (tint[row] !== HIDDEN && x >= 0 && x < width && y >= 0 && y < height) count++;
  }
  return count;
}

/** The radius, in CSS pixels, at which `count` discs cover about a fifth of an area; 0 where a disc would be less than a dot. */
export function radiusFor(count: number, area: number): number {
  const radius = Math.sqrt((0.2 * area) / (Math.PI * Math.max(1, count)));
  return radius < 0.75 ? 0 : Math.min(radius, 5);
}

/** Pixels around a disc that lies partly outside: the frame is that much larger than what is shown, so that no disc needs cutting. */
export const marginOf = (radius: number): number => Math.ceil(radius) + 1;

/** Discs of `radius` pixels, the later over the earlier; `only` these rows, or all. Discs whose middle is outside are left out. */
export function paintDiscs(frame: Frame, scene: Scene, lens: Lens, radius: number, only?: ArrayLike<number>): void {
  const { pixels, width, height } = frame;
  const { xy, tint } = scene;
  const margin = marginOf(radius);
  const colours = Uint32Array.from(scene.palette, packed);
  const { offsets, weights } = disc(radius, width);
  const count = only ? only.length : tint.length;
  for (let turn = 0; turn < count; turn++) {
    const row = only ? only[turn]! : turn;
    if ((tint[row] ?? HIDDEN) === HIDDEN) continue;
    const x = Math.round(xy[2 * row]! * lens.scale + lens.left);
    const y = Math.round(lens.top - xy[2 * row + 1]! * lens.scale);
    if (!(x >= margin && x < width - margin && y >= margin && y < height - margin)) continue; // NaN too
    const colour = colours[tint[row]!]!;
    const base = y * width + x;
    for (let part = 0; part < offsets.length; part++) {
      const at = base + offsets[part]!;
      pixels[at] = blend(colour, pixels[at]!, weights[part]!);
    }
  }
}

/** The pixels that a disc covers, and how much of each, from 0 to 256. */
function disc(radius: number, width: number): { offsets: Int32Array; weights: Uint16Array } {
  const reach = Math.ceil(radius);
  const [offsets, weights]: [number[], number[]] = [[], []];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.min(1, radius + 0.5 - Math.hypot(dx, dy));
      if (cover <= 0) continue;
      offsets.push(dy * width + dx);
      weights.push(Math.round(cover * 224)); // a little is seen through, so that points on top of each other show
    }
  }
  return { offsets: Int32Array.from(offsets), weights: Uint16Array.from(weights) };
}

// Red and blue are mixed in one multiplication: their bytes are apart, and 256 times the larger still fits in 32 bits.
function blend(over: number, under: number, weight: number): number {
  const left = 256 - weight;
  const outer = (((over & 0xff00ff) * weight + (under & 0xff00ff) * left) >>> 8) & 0xff00ff;
  const green = ((((over >>> 8) & 0xff) * weight + ((under >>> 8) & 0xff) * left) >>> 8) & 0xff;
  return ((255 << 24) | outer | (green << 8)) >>> 0;
}

/** Counts and colours of cells, kept between frames so that none is asked of the machine while a map moves. */
export interface Cells {
  counts: Uint32Array;
  red: Uint32Array;
  green: Uint32Array;
  blue: Uint32Array;
}

export const cellsFor = (area: number): Cells => ({
  counts: new Uint32Array(area),
  red: new Uint32Array(area),
  green: new Uint32Array(area),
  blue: new Uint32Array(area),
});

/** Each pixel in the mean colour of its points, stronger (by the logarithm) the more they are. Returns the most in one pixel. */
export function paintDensity(frame: Frame, cells: Cells, scene: Scene, lens: Lens, paper: Rgb): number {
  const { pixels, width, height } = frame;
  const { xy, tint, palette } = scene;
  const { counts, red, green, blue } = cells;
  for (const sums of [counts, red, green, blue]) sums.fill(0);
  let most = 0;
  for (let row = 0; row < tint.length; row++) {
    if (tint[row] === HIDDEN) continue;
    const x = Math.floor(xy[2 * row]! * lens.scale + lens.left);
    const y = Math.floor(lens.top - xy[2 * row + 1]! * lens.scale);
    if (!(x >= 0 && x < width && y >= 0 && y < height)) continue;
    const at = y * width + x;
    const colour = palette[tint[row]!]!;
    red[at]! += colour[0];
    green[at]! += colour[1];
    blue[at]! += colour[2];
    if (++counts[at]! > most) most = counts[at]!;
  }
  const strength = Float32Array.from({ length: most + 1 }, (_, count) => 0.3 + (0.7 * Math.log1p(count)) / Math.log1p(most));
  const bare = packed(paper);
  for (let at = 0; at < width * height; at++) {
    const count = counts[at]!;
    if (count === 0) {
      pixels[at] = bare;
      continue;
    }
    const weight = strength[count]!;
    const part = (sum: number, under: number): number => ((sum / count) * weight + under * (1 - weight)) | 0;
    pixels[at] =
      ((255 << 24) | (part(blue[at]!, paper[2]) << 16) | (part(green[at]!, paper[1]) << 8) | part(red[at]!, paper[0])) >>> 0;
  }
  return most;
}
