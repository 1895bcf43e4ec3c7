// Where a map is looked at from: which place is in the middle, and how many pixels a unit takes. The second axis points upwards.

export interface Size {
  width: number; // CSS pixels
  height: number;
}

export interface Bounds {
  left: number;
  right: number;
  bottom: number;
  top: number;
}

export interface Camera {
  x: number;
  y: number;
  scale: number; // CSS pixels a unit
}

export type Place = readonly [x: number, y: number];

/** The box around all places that are numbers; a unit box around nothing. */
export function boundsOf(xy: Float32Array): Bounds {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let at = 0; at + 1 < xy.length; at += 2) {
    const x = xy[at]!;
    const y = xy[at + 1]!;
    if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < bottom) bottom = y;
    if (y > top) top = y;
  }
  return left <= right ? { left, right, bottom, top } : { left: -0.5, right: 0.5, bottom: -0.5, top: 0.5 };
}

/** All of `bounds`, with a margin. */
export function fit(bounds: Bounds, size: Size): Camera {
  const wide = Math.max(bounds.right - bounds.left, 1e-9);
  const high = Math.max(bounds.top - bounds.bottom, 1e-9);
  const scale = 0.92 * Math.min(size.width / wide, size.height / high);
  return { x: (bounds.left + bounds.right) / 2, y: (bounds.bottom + bounds.top) / 2, scale: Math.max(scale, 1e-9) };
}

export const toScreen = (camera: Camera, size: Size, [x, y]: Place): Place => [
  size.width / 2 + (x - camera.x) * camera.scale,
  size.height / 2 - (y - camera.y) * camera.scale,
];

export const toMap = (camera: Camera, size: Size, [x, y]: Place): Place => [
  camera.x + (x - size.width / 2) / camera.scale,
  camera.y - (y - size.height / 2) / camera.scale,
];

/** What can be seen, in the map's units. */
export function seen(camera: Camera, size: Size): Bounds {
  const [wide, high] = [size.width / camera.scale / 2, size.height / camera.scale / 2];
  return { left: camera.x - wide, right: camera.x + wide, bottom: camera.y - high, top: camera.y + high };
}

/** Moved by pixels: what was under the pointer stays under it. */
export const panned = (camera: Camera, dx: number, dy: number): Camera => ({
  ...camera,
  x: camera.x - dx / camera.scale,
  y: camera.y + dy / camera.scale,
});

/** Nearer by `factor`, with the place under pixel `at` where it was; between a third of the whole and 20,000 times as near. */
export function zoomed(camera: Camera, size: Size, at: Place, factor: number, whole: Camera): Camera {
  const scale = Math.min(Math.max(camera.scale * factor, whole.scale / 3), whole.scale * 20_000);
  const [x, y] = toMap(camera, size, at);
  return { x: x - (at[0] - size.width / 2) / scale, y: y + (at[1] - size.height / 2) / scale, scale };
}
