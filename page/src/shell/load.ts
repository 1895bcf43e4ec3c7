// Asking the server for what a view shows: while it comes, when it came, or what went wrong; an answer that is no longer wanted is dropped.
import { useCallback, useLayoutEffect, useState } from "preact/hooks";
import { isAbort } from "../api";

export type Loaded<T> =
  | { state: "idle" }
  | { state: "loading"; before?: T } // `before` is the last answer, to be shown meanwhile
  | { state: "ready"; value: T }
  | { state: "failed"; error: unknown };

/** Run `ask` whenever `deps` change; null asks nothing. `again` asks once more. */
export function useLoad<T>(ask: ((signal: AbortSignal) => Promise<T>) | null, deps: readonly unknown[]): [Loaded<T>, () => void] {
  const [loaded, setLoaded] = useState<Loaded<T>>(ask ? { state: "loading" } : { state: "idle" });
  const [round, setRound] = useState(0);
  useLayoutEffect(() => {
    // a layout effect, for nobody shall see the last answer, or act on it, as if it were that to what is asked now
    if (!ask) {
      setLoaded({ state: "idle" });
      return;
    }
    const leaving = new AbortController();
    setLoaded((last) => (last.state === "ready" ? { state: "loading", before: last.value } : { state: "loading" }));
    ask(leaving.signal).then(
      (value) => {
        if (!leaving.signal.aborted) setLoaded({ state: "ready", value });
      },
      (error: unknown) => {
        if (!leaving.signal.aborted && !isAbort(error)) setLoaded({ state: "failed", error });
      },
    );
    return () => leaving.abort();
  }, [...deps, round, ask === null]);
  const again = useCallback(() => setRound((number) => number + 1), []);
  return [loaded, again];
}

/** The newest value that is known: of now, or of before while the next one comes. */
export const known = <T>(loaded: Loaded<T>): T | undefined =>
  loaded.state === "ready" ? loaded.value : loaded.state === "loading" ? loaded.before : undefined;
