// Ratings of the documents of one question: those that were kept, and those that are given now, each saved as it is given.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Api, isAbort, type Judgment, type Result } from "../api";
import { rater } from "../shell/settings";
import { identity } from "./comparison";

export const GRADES = ["irrelevant", "related", "relevant", "perfect"] as const;

interface Saved {
  id: string; // of the judgment that the server keeps
  collection: string;
  grade: number;
  own: boolean; // given in this visit or under the name of whoever rates: only such are taken back
}

export interface Ratings {
  grades: ReadonlyMap<string, number>; // identity -> grade
  error: unknown; // why the last one could not be saved
  rate(result: Result, grade: number, about: Pick<Judgment, "collection" | "configuration" | "blind">): void;
  undo(result: Result): void;
}

/** Ratings of `query` in these collections. `anew` shows none of before: in blind mode they would lead the eye. */
export function useRatings(api: Api, query: string, collections: readonly string[], anew: boolean): Ratings {
  const [grades, setGrades] = useState<ReadonlyMap<string, number>>(new Map());
  const [error, setError] = useState<unknown>(null);
  const saved = useRef(new Map<string, Saved>()); // of this question; another one has another map
  const line = useRef<Promise<void>>(Promise.resolve()); // they reach the server in the order in which they were given
  const names = [...new Set(collections)].filter(Boolean);
  useLayoutEffect(() => {
    const mine = new Map<string, Saved>();
    saved.current = mine;
    setGrades(new Map());
    setError(null);
    if (anew || !query) return;
    const leaving = new AbortController();
    const name = rater();
    Promise.all(names.map((collection) => api.judgments(collection, leaving.signal))).then(
      (lists) => {
        for (const one of lists.flat()) {
          const wanted = one.query === query && (!name || one.rater === name);
          if (wanted && !mine.get(identity(one))?.own) mine.set(identity(one), { ...one, own: name !== "" }); // the last word counts
        }
        const found = [...mine].map(([document, { grade }]) => [document, grade] as const);
        setGrades((given) => new Map([...found, ...given])); // what was rated meanwhile is newer
      },
      (reason: unknown) => {
        if (!isAbort(reason)) setError(reason);
      },
    );
    return () => leaving.abort();
  }, [api, query, anew, names.join("\u0000")]);

  // A rating stands at once; where it could not be saved, what is saved stands again and the reason is told.
  const change = (result: Result, grade: number | undefined, work: (mine: Map<string, Saved>, document: string) => Promise<void>): void => {
    const mine = saved.current;
    const document = identity(result);
    const put = (value: number | undefined): void =>
      setGrades((before) => {
        const after = new Map(before);
        if (value === undefined) after.delete(document);
        else after.set(document, value);
        return after;
      });
    put(grade);
    setError(null);
    line.current = line.current.then(async () => {
      try {
        await work(mine, document);
      } catch (reason) {
        if (saved.current === mine) put(mine.get(document)?.grade);
        setError(reason);
      }
    });
  };
  return {
    grades,
    error,
    rate: (result, grade, about) =>
      change(result, grade, async (mine, name) => {
        const { source, document } = result;
        const before = mine.get(name);
        const id = await api.judge({ ...about, query, document, source, grade, rater: rater() });
        mine.set(name, { id, collection: about.collection, grade, own: true });
        if (before?.own) await api.unjudge(before.id, before.collection);
      }),
    undo: (result) => {
      if (!grades.has(identity(result))) return;
      change(result, undefined, async (mine, name) => {
        const before = mine.get(name);
        if (!before?.own) throw new Error("This rating was given earlier, by somebody else perhaps. Rate as that name to take it back.");
        await api.unjudge(before.id, before.collection);
        mine.delete(name);
      });
    },
  };
}
