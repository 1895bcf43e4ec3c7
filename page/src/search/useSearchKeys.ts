// The keyboard of the search screen: through the results of both sides, and a rating with one key.
import { useEffect, useRef } from "preact/hooks";
import type { Result } from "../api";
import { meant } from "../shell/keys";

type Column = 0 | 1;

interface Actions {
  lists: readonly (readonly Result[])[];
  at: { column: Column; place: number } | null;
  show: (column: Column) => void;
  rate: (column: Column, result: Result, grade: number) => void;
  undo: (result: Result) => void;
  why: ((column: Column, result: Result) => void) | null; // null while blind
  blind: () => void;
  reveal: () => void;
  swap: () => void;
}

export function useSearchKeys(actions: Actions): void {
  const newest = useRef(actions);
  newest.current = actions;
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (meant(event) && act(event, newest.current)) event.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

const STEPS: Record<string, 1 | -1> = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
const SIDES: Record<string, Column> = { h: 0, ArrowLeft: 0, l: 1, ArrowRight: 1 };

/** Do what the key says; false where it says nothing here. */
function act(event: KeyboardEvent, actions: Actions): boolean {
  const { at, lists } = actions;
  const { key } = event;
  const arrow = key.startsWith("Arrow");
  const onRow = event.target instanceof Element && event.target.closest(".hit") !== null;
  if (arrow && !onRow) return false; // the page scrolls
  const step = STEPS[key];
  if (step) return stand(actions, at?.column ?? 0, at ? at.place + step : 0);
  const side = SIDES[key];
  if (side !== undefined) return stand(actions, side, at?.place ?? 0);
  if (key === "b") actions.blind();
  else if (key === "r") actions.reveal();
  else if (key === "x" && actions.why) actions.swap();
  else {
    const result = at ? lists[at.column]?.[at.place] : undefined;
    return at && result ? onResult(event, actions, at.column, result) : false;
  }
  return true;
}

function onResult(event: KeyboardEvent, actions: Actions, column: Column, result: Result): boolean {
  const { key } = event;
  const opens = key === "w" || (key === "Enter" && event.target instanceof Element && event.target.matches(".hit"));
  if (/^[0-3]$/.test(key)) actions.rate(column, result, Number(key));
  else if (key === "u") actions.undo(result);
  else if (opens && actions.why) actions.why(column, result);
  else return false;
  return true;
}

function stand({ lists, show }: Actions, column: Column, place: number): boolean {
  const last = (lists[column]?.length ?? 0) - 1;
  if (last < 0) return false;
  const to = Math.max(0, Math.min(last, place));
  show(column);
  // after the column is shown: in a narrow window it may have been away
  requestAnimationFrame(() => {
    const row = document.querySelector<HTMLElement>(`[data-column="${column}"] [data-place="${to}"]`);
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  });
  return true;
}
