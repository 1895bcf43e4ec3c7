// Lines between the two lists, from where a document stands on the left to where it stands on the right. What they show is also
// written at each result, so this is for the eye alone.
import { useLayoutEffect, useRef, useState } from "preact/hooks";

interface Line {
  name: string;
  from: number; // pixels from the top
  to: number;
  look: string;
}

interface LinksProps {
  left: readonly string[]; // identities, in order
  right: readonly string[];
  lit: string | null; // the document that is looked at
}

export function Links({ left, right, lit }: LinksProps) {
  const own = useRef<SVGSVGElement>(null);
  const [lines, setLines] = useState<Line[]>([]);
  useLayoutEffect(() => {
    const svg = own.current;
    const lists = svg ? [...(svg.parentElement?.querySelectorAll("ol") ?? [])] : [];
    const [first, second] = lists;
    if (!svg || !first || !second) return;
    const measure = (): void => {
      const top = svg.getBoundingClientRect().top;
      const middles = (list: HTMLOListElement): number[] =>
        [...list.children].map((row) => row.getBoundingClientRect().top - top + 22);
      const [before, after] = [middles(first), middles(second)];
      setLines(
        left.flatMap((name, at) => {
          const there = right.indexOf(name);
          const from = before[at];
          const to = after[there];
          if (from === undefined || to === undefined) return [];
          return [{ name, from, to, look: there === at ? "stays" : there < at ? "rises" : "falls" }];
        }),
      );
    };
    measure();
    const watch = new ResizeObserver(measure);
    lists.forEach((list) => watch.observe(list));
    return () => watch.disconnect();
  }, [left, right]);
  return (
    <svg ref={own} class="links" aria-hidden="true">
      {lines.map(({ name, from, to, look }) => (
        <path key={name} class={name === lit ? `${look} lit` : look} d={`M0 ${from} C30 ${from} 26 ${to} 56 ${to}`} />
      ))}
    </svg>
  );
}
