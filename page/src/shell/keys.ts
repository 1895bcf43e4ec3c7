// The keyboard: what each key does, as a table that the help shows, and whether a key that was pressed is meant for the page.
import type { Path } from "./router";

export type Shortcut = readonly [keys: string, does: string];

export const EVERYWHERE: readonly Shortcut[] = [
  ["?", "this help"],
  ["/", "to the search box"],
  ["g e", "Evidence"],
  ["g m", "Map"],
  ["g s", "Search A | B"],
  ["g w", "Why"],
  ["Esc", "close, or leave the box"],
];

export const KEYS: Record<Path, readonly Shortcut[]> = {
  "/search": [
    ["j  k", "next, previous result"],
    ["h  l", "side A, side B"],
    ["0  1  2  3", "rate the result: irrelevant to perfect"],
    ["u", "take the rating back"],
    ["Enter  w", "why this result"],
    ["b", "blind mode"],
    ["r", "reveal which side is which"],
    ["x", "change A for B"],
  ],
  "/why": [
    ["j  k", "next, previous result"],
    ["n", "ask about another document"],
  ],
  "/map": [
    ["m", "to the map, where arrows move it"],
    ["+  -  0", "nearer, farther, all of it"],
    ["Enter", "the neighbours of the point in the middle"],
    ["l", "lasso: drag around points"],
    ["v", "select what is in view"],
    ["c", "clear the selection"],
  ],
  "/evidence": [["x", "change A for B"]],
};

/** Where `g` and a letter go. */
export const GOES: Record<string, Path> = { e: "/evidence", m: "/map", s: "/search", w: "/why" };

/** A key that a person means for the page and not for a field, a menu, a dialog or the browser. */
export function meant(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return false;
  if (document.querySelector("dialog[open]")) return false;
  const at = event.target;
  return !(at instanceof HTMLElement && (at.isContentEditable || at.closest("input:not([type=checkbox],[type=radio]), textarea, select")));
}
