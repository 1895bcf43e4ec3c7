// One map: a canvas that is moved, zoomed, pointed at and drawn on, by pointer, by touch or by the keyboard alone.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Bounds, type Camera, fit, panned, type Place, seen, type Size, toMap, toScreen, zoomed } from "./camera";
import { Painter, type Picture } from "./drawing";
import { HIDDEN } from "./paint";
import { nearest } from "./pick";
import type { Plane } from "./planes";

interface Props {
  name: string;
  plane: Plane;
  picture: Omit<Picture, "loop" | "cross">;
  loop: readonly Place[]; // that was drawn on this map, in its units
  lasso: boolean; // dragging draws a loop instead of moving the map
  tip: ComponentChildren; // what the point under the pointer is
  point: (row: number | null) => void;
  pick: (row: number) => void;
  enclose: (loop: Place[]) => void;
  rested: (view: Bounds) => void; // the map stands still
}

const HANDLING =
  "Arrows move it, plus and minus zoom, 0 shows all, Enter takes the point in the middle. The table holds the same points.";
const REACH = 9; // pixels around the pointer
const STEP = 60; // pixels, of an arrow key
const REST_MS = 180;

const ARROWS: Record<string, Place> = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
const ZOOMS: Record<string, number> = { "+": 1.4, "=": 1.4, "-": 1 / 1.4 };

export function MapPane({ name, plane, picture, loop, lasso, tip, point, pick, enclose, rested }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState<Size | null>(null);
  const [drawing, setDrawing] = useState<Place[]>([]); // the loop under the pointer, in pixels
  const [crossed, setCrossed] = useState(false);
  const camera = useRef<Camera | null>(null);
  const painter = useRef<Painter | null>(null);
  const frame = useRef(0);
  const resting = useRef(0);
  const [, moved] = useState(0); // the tip stands at its point

  useLayoutEffect(() => {
    const box = canvas.current!;
    const watch = new ResizeObserver(() => setSize({ width: box.clientWidth, height: box.clientHeight }));
    watch.observe(box);
    return () => watch.disconnect();
  }, []);
  useLayoutEffect(() => {
    camera.current = null; // another map is seen whole first
  }, [plane]);

  const draw = (): void => {
    if (!size?.width || !size.height || !canvas.current) return;
    painter.current ??= new Painter(canvas.current);
    camera.current ??= fit(plane.bounds, size);
    const at = camera.current;
    const ring = drawing.length ? drawing : loop.map((corner) => toScreen(at, size, corner));
    const { count, mode } = painter.current.draw({ ...picture, loop: ring, cross: crossed }, at, size);
    Object.assign(canvas.current.dataset, { drawn: String(count), mode });
  };
  const latest = useRef(draw);
  latest.current = draw;
  const redraw = (): void => {
    frame.current ||= requestAnimationFrame(() => {
      frame.current = 0;
      latest.current();
    });
  };
  useEffect(redraw);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);

  const look = (next: Camera): void => {
    camera.current = next;
    redraw();
    rest();
  };
  const rest = (): void => {
    clearTimeout(resting.current);
    resting.current = window.setTimeout(() => {
      if (camera.current && size) rested(seen(camera.current, size));
      moved((number) => number + 1);
    }, REST_MS);
  };
  useEffect(() => {
    rest();
    return () => clearTimeout(resting.current);
  }, [plane, size]);

  const drawn = (row: number): boolean => (picture.scene.tint[row] ?? HIDDEN) !== HIDDEN;
  const at = (place: Place, reach = REACH): number | null =>
    camera.current && size
      ? nearest(plane.tree(), plane.xy, toMap(camera.current, size, place), reach / camera.current.scale, drawn)
      : null;
  const zoom = (place: Place, factor: number): void => {
    if (camera.current && size) look(zoomed(camera.current, size, place, factor, fit(plane.bounds, size)));
  };
  const hands = useHands({
    lasso,
    pan: (dx, dy) => camera.current && look(panned(camera.current, dx, dy)),
    zoom,
    hover: (place) => point(place && at(place)),
    tap: (place) => {
      const row = at(place);
      if (row !== null) pick(row);
    },
    loop: setDrawing,
    looped: (pixels) => {
      setDrawing([]);
      if (camera.current && size) enclose(pixels.map((place) => toMap(camera.current!, size, place)));
    },
  });
  useEffect(() => {
    const box = canvas.current!;
    const wheel = (event: WheelEvent): void => {
      event.preventDefault();
      zoom(
        [event.offsetX, event.offsetY],
        Math.exp(-Math.min(Math.max(event.deltaY, -120), 120) * (event.ctrlKey ? 0.01 : 0.0022)),
      );
    };
    box.addEventListener("wheel", wheel, { passive: false });
    return () => box.removeEventListener("wheel", wheel);
  });

  const middle = (): Place => [(size?.width ?? 0) / 2, (size?.height ?? 0) / 2];
  const whole = (): void => {
    if (size) look(fit(plane.bounds, size));
  };
  const keyed = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || !camera.current) return;
    const [arrow, factor] = [ARROWS[event.key], ZOOMS[event.key]];
    if (arrow) look(panned(camera.current, ...arrow));
    else if (factor) zoom(middle(), factor);
    else if (event.key === "0") whole();
    else if (event.key === "Enter") {
      const row = at(middle(), 40);
      if (row !== null) pick(row);
    } else return;
    event.preventDefault();
    setCrossed(true);
    point(at(middle(), 40));
  };

  const place =
    picture.pointed !== null && camera.current && size ? toScreen(camera.current, size, placeOf(plane, picture.pointed)) : null;
  return (
    <div class="map-pane">
      <canvas
        ref={canvas}
        class={lasso ? "map-canvas drawing" : "map-canvas"}
        data-map={name}
        tabindex={0}
        role="application"
        aria-roledescription="map"
        aria-label={`Map of ${plane.info.n.toLocaleString("en")} points. ${HANDLING}`}
        onKeyDown={keyed}
        onBlur={() => setCrossed(false)}
        {...hands}
      />
      {place && size && tip && (
        <div
          class={`map-tip${place[0] > size.width / 2 ? " to-left" : ""}${place[1] > size.height / 2 ? " to-top" : ""}`}
          style={{ left: `${place[0]}px`, top: `${place[1]}px` }}
        >
          {tip}
        </div>
      )}
      <div class="map-zoom" role="group" aria-label={`Zoom of the ${name} map`}>
        <button type="button" class="quiet" aria-label="Nearer" title="Nearer (+)" onClick={() => zoom(middle(), 1.6)}>
          +
        </button>
        <button type="button" class="quiet" aria-label="Farther" title="Farther (-)" onClick={() => zoom(middle(), 1 / 1.6)}>
          −
        </button>
        <button type="button" class="quiet" aria-label="All points" title="All points (0)" onClick={whole}>
          ⤢
        </button>
      </div>
    </div>
  );
}

const placeOf = ({ xy }: Plane, row: number): Place => [xy[2 * row]!, xy[2 * row + 1]!];

interface Moves {
  lasso: boolean;
  pan: (dx: number, dy: number) => void;
  zoom: (at: Place, factor: number) => void;
  hover: (at: Place | null) => void;
  tap: (at: Place) => void;
  loop: (pixels: Place[]) => void;
  looped: (pixels: Place[]) => void;
}

const SLACK = 4; // pixels that a tap may move

/** What one or two pointers do: move, draw a loop (also with Shift held), pinch, point, tap. */
function useHands(moves: Moves) {
  const down = useRef(new Map<number, Place>());
  const start = useRef<Place>([0, 0]);
  const loop = useRef<Place[] | null>(null);
  const far = useRef(false);
  const of = (event: PointerEvent): Place => [event.offsetX, event.offsetY];
  const onPointerDown = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    down.current.set(event.pointerId, of(event));
    start.current = of(event);
    far.current = down.current.size > 1;
    loop.current = down.current.size === 1 && (moves.lasso || event.shiftKey) ? [of(event)] : null;
    if (!loop.current) moves.loop([]);
  };
  const onPointerMove = (event: PointerEvent): void => {
    const now = of(event);
    const before = down.current.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") moves.hover(now);
      return;
    }
    down.current.set(event.pointerId, now);
    if (Math.hypot(now[0] - start.current[0], now[1] - start.current[1]) > SLACK) far.current = true;
    const other = [...down.current].find(([id]) => id !== event.pointerId)?.[1];
    if (other) pinched(moves, before, now, other);
    else if (loop.current) {
      loop.current.push(now);
      moves.loop([...loop.current]);
    } else if (far.current) moves.pan(now[0] - before[0], now[1] - before[1]);
  };
  const onPointerUp = (event: PointerEvent): void => {
    if (!down.current.delete(event.pointerId)) return;
    const drawn = loop.current;
    loop.current = null;
    if (drawn && far.current) moves.looped(drawn);
    else if (!far.current) moves.tap(of(event));
  };
  const onPointerCancel = (event: PointerEvent): void => {
    down.current.delete(event.pointerId);
    loop.current = null;
    moves.loop([]);
  };
  return { onPointerDown, onPointerMove, onPointerUp, onPointerCancel, onPointerLeave: () => moves.hover(null) };
}

/** Two fingers: the map keeps the place between them, and zooms by how much their distance changes. */
function pinched(moves: Moves, before: Place, now: Place, other: Place): void {
  const between: Place = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
  const apart = (one: Place): number => Math.max(1, Math.hypot(one[0] - other[0], one[1] - other[1]));
  moves.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  moves.zoom(between, apart(now) / apart(before));
}
