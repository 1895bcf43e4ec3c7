// The keys of a screen: each does one thing, where it is meant for the page.
import { useLayoutEffect, useRef } from "preact/hooks";
import { meant } from "./keys";

export function useKeys(does: Record<string, () => void>): void {
  const newest = useRef(does); // what a key does as soon as it can be seen, not one effect later
  newest.current = does;
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const act = meant(event) && Object.hasOwn(newest.current, event.key) ? newest.current[event.key] : undefined;
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}
