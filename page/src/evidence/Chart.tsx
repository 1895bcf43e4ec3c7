// A drawing that is made anew for each width and theme, inside a figure.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Drawing } from "./plots";

interface Props {
  draw: (width: number) => Drawing | null;
  deps: readonly unknown[];
  chosen?: (value: unknown) => void; // what stands under the pointer was clicked
  children: ComponentChildren; // the caption
}

export function Chart({ draw, deps, chosen, children }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const drawn = useRef<Drawing | null>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => setWidth(Math.floor(place.current?.clientWidth ?? 0)));
    watch.observe(place.current!);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    drawn.current = width > 0 ? draw(width) : null;
    place.current?.replaceChildren(...(drawn.current ? [drawn.current] : []));
  }, [width, ...deps]);
  const click = (): void => {
    if (drawn.current?.value) chosen?.(drawn.current.value);
  };
  return (
    <figure class="figure">
      <div ref={place} class="chart-place" onClick={click} />
      <figcaption class="soft small">{children}</figcaption>
    </figure>
  );
}
