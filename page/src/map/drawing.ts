// One picture of a map: points, then what is lit, words, the loop that is being drawn, and the point under the pointer.
import { type Camera, type Place, type Size, toScreen } from "./camera";
import { faded, type Look } from "./colouring";
import { apart, type Label, short } from "./labels";
import {
  type Cells,
  cellsFor,
  countIn,
  type Frame,
  type Lens,
  marginOf,
  packed,
  paintDensity,
  paintDiscs,
  radiusFor,
  type Rgb,
  type Scene,
} from "./paint";

export interface Picture {
  scene: Scene;
  lit: readonly number[] | null; // rows that stand out; the others fade
  ranked: readonly number[]; // of these, the neighbours, the nearest first
  labels: readonly Label[];
  loop: readonly Place[]; // in CSS pixels
  pointed: number | null;
  picked: number | null; // whose neighbours are lit
  cross: boolean; // the mark in the middle, for the keyboard
  look: Look;
}

export interface Drawn {
  count: number; // points in the picture
  mode: "points" | "density";
}

/** Draws on one canvas; keeps its memory, and the points while only what is above them changes. */
export class Painter {
  private cells: Cells | null = null;
  private image: ImageData | null = null;
  private readonly small = document.createElement("canvas"); // density, a pixel a CSS pixel
  private below: readonly unknown[] = []; // what the points were drawn from
  private paste: (pen: CanvasRenderingContext2D) => void = () => undefined;
  private radius = 0;
  private count = 0;

  constructor(private readonly canvas: HTMLCanvasElement) {}

  draw(picture: Picture, camera: Camera, size: Size): Drawn {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const pen = this.sized(size, ratio);
    const { scene, look, lit } = picture;
    const below = [
      scene.xy,
      scene.tint,
      scene.palette,
      lit,
      look,
      camera.x,
      camera.y,
      camera.scale,
      size.width,
      size.height,
      ratio,
    ];
    if (below.some((part, place) => part !== this.below[place])) {
      this.below = below;
      this.points(picture, camera, size, ratio);
    }
    this.paste(pen);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.marks(pen, picture, camera, size, this.radius || 1);
    return { count: this.count, mode: this.radius ? "points" : "density" };
  }

  private sized(size: Size, ratio: number): CanvasRenderingContext2D {
    const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    const pen = this.canvas.getContext("2d");
    if (!pen) throw new Error("this browser cannot draw: it has no canvas");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    return pen;
  }

  private points({ scene, look, lit }: Picture, camera: Camera, size: Size, ratio: number): void {
    const coarse = lens(camera, size, 1, 0);
    const [width, height] = [Math.round(size.width), Math.round(size.height)];
    this.count = countIn(scene, coarse, { pixels: EMPTY, width, height });
    this.radius = radiusFor(this.count, size.width * size.height);
    const backdrop = lit ? { ...scene, palette: faded(scene.palette, look) } : scene;
    if (this.radius) {
      const large = (lit ? Math.max(this.radius * 1.25, 2.5) : this.radius) * ratio;
      const margin = marginOf(large);
      const frame = this.frame(this.canvas.width + 2 * margin, this.canvas.height + 2 * margin);
      const fine = lens(camera, size, ratio, margin);
      frame.pixels.fill(packed(look.paper));
      paintDiscs(frame, backdrop, fine, this.radius * ratio);
      if (lit) paintDiscs(frame, scene, fine, large, lit);
      this.paste = (pen) => pen.putImageData(this.image!, -margin, -margin);
      return;
    }
    const frame = this.frame(width, height);
    if (this.cells?.counts.length !== width * height) this.cells = cellsFor(width * height);
    paintDensity(frame, this.cells, backdrop, coarse, look.paper);
    if (lit) paintDiscs(frame, scene, coarse, lit.length > CROWD ? 0.75 : 2.5, lit);
    [this.small.width, this.small.height] = [width, height];
    this.small.getContext("2d")?.putImageData(this.image!, 0, 0);
    this.paste = (pen) => {
      pen.imageSmoothingEnabled = false;
      pen.drawImage(this.small, 0, 0, size.width * ratio, size.height * ratio);
    };
  }

  private frame(width: number, height: number): Frame {
    if (this.image?.width !== width || this.image.height !== height) this.image = new ImageData(width, height);
    return { pixels: new Uint32Array(this.image.data.buffer), width, height };
  }

  private marks(pen: CanvasRenderingContext2D, picture: Picture, camera: Camera, size: Size, radius: number): void {
    const { scene, look } = picture;
    const ink: Rgb = look.dark ? [240, 244, 248] : [16, 24, 34];
    const at = (row: number): Place => toScreen(camera, size, [scene.xy[2 * row]!, scene.xy[2 * row + 1]!]);
    pen.lineWidth = 1.5;
    pen.strokeStyle = css(ink);
    for (const row of picture.ranked) ring(pen, at(row), Math.max(radius + 2.5, 5));
    this.words(pen, picture, camera, size, ink);
    if (picture.picked !== null) for (const more of [3, 6]) ring(pen, at(picture.picked), Math.max(radius + more, 3 + more));
    if (picture.loop.length > 1) outline(pen, picture.loop, ink);
    if (picture.pointed !== null) {
      pen.lineWidth = 2.5;
      ring(pen, at(picture.pointed), Math.max(radius + 4, 7));
    }
    if (picture.cross) cross(pen, size);
  }

  private words(
    pen: CanvasRenderingContext2D,
    { labels, ranked, scene, look }: Picture,
    camera: Camera,
    size: Size,
    ink: Rgb,
  ): void {
    const numbers = ranked.slice(0, 20).map((row, place): Label => {
      return { text: String(place + 1), at: [scene.xy[2 * row]!, scene.xy[2 * row + 1]!], tint: null, lift: 15 };
    });
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.font = `600 12px ${getComputedStyle(this.canvas).fontFamily}`;
    const placed = [...numbers, ...labels].map(({ text, at, tint, lift }) => {
      const words = short(text, 28);
      const [x, y] = toScreen(camera, size, at);
      const width = pen.measureText(words).width + 8;
      const inside = x >= 0 && x <= size.width; // then all of the word is to be seen
      return { words, tint, x: inside ? Math.min(Math.max(x, width / 2), size.width - width / 2) : x, y: y - lift, width };
    });
    const boxes = placed.map(({ x, y, width }) => ({ left: x - width / 2, top: y - 9, width, height: 18 }));
    const free = apart(boxes);
    placed.forEach(({ words, tint, x, y }, place) => {
      if (!free[place]) return;
      pen.lineWidth = 4;
      pen.strokeStyle = css(look.paper);
      pen.strokeText(words, x, y);
      pen.fillStyle = css(ink);
      pen.fillText(words, x, y);
      if (tint !== null) {
        pen.fillStyle = css(scene.palette[tint] ?? ink);
        pen.fillRect(x - pen.measureText(words).width / 2, y + 8, pen.measureText(words).width, 2.5);
      }
    });
  }
}

const EMPTY = new Uint32Array(0);
const CROWD = 5000; // lit points that are drawn as dots where all are drawn as density

function lens(camera: Camera, size: Size, ratio: number, margin: number): Lens {
  const scale = camera.scale * ratio;
  const [middle, level] = [(size.width * ratio) / 2, (size.height * ratio) / 2];
  return { scale, left: middle - camera.x * scale + margin, top: level + camera.y * scale + margin };
}

const css = ([red, green, blue]: Rgb): string => `rgb(${red} ${green} ${blue})`;

function ring(pen: CanvasRenderingContext2D, [x, y]: Place, radius: number): void {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.stroke();
}

function outline(pen: CanvasRenderingContext2D, loop: readonly Place[], ink: Rgb): void {
  pen.beginPath();
  for (const [x, y] of loop) pen.lineTo(x, y);
  pen.closePath();
  pen.fillStyle = `rgb(${ink[0]} ${ink[1]} ${ink[2]} / 8%)`;
  pen.fill();
  pen.strokeStyle = css(ink);
  pen.lineWidth = 1.5;
  pen.setLineDash([5, 4]);
  pen.stroke();
  pen.setLineDash([]);
}

function cross(pen: CanvasRenderingContext2D, { width, height }: Size): void {
  const [x, y] = [width / 2, height / 2];
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (const [dx, dy] of [
    [1, 0],
    [-1, 0],
    [0, 1],
    [0, -1],
  ] as const) {
    pen.moveTo(x + 5 * dx, y + 5 * dy);
    pen.lineTo(x + 13 * dx, y + 13 * dy);
  }
  pen.stroke();
}
