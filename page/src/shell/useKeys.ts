// The keys of a screen: each does one thing, where it is meant for the page.
import { useEffect } from "preact/hooks";
import { meant } from "./keys";

export function useKeys(does: Record<string, () => void>): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const act = meant(event) && Object.hasOwn(does, event.key) ? does[event.key] : undefined;
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}
