// One question, two ways to search: what both find, what moved, what it cost; rated by one key, blind where asked.
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Api, Result, SearchAnswer } from "../api";
import type { ScreenProps } from "../shell/App";
import { download } from "../shell/download";
import { known, type Loaded, useLoad } from "../shell/load";
import { Empty, Failed, Loading, NoCollections } from "../shell/states";
import { compare, drawLots, identity, ndcg, type Side } from "./comparison";
import { type Configuration, plain, read, request, same, write } from "./configuration";
import { Links } from "./Links";
import { Panel } from "./Panel";
import { useRatings } from "./ratings";
import { Results } from "./Results";
import { RaterField, SearchBox } from "./SearchBox";
import { type Served, served } from "./served";
import { Summary } from "./Summary";
import { Timings } from "./Timings";
import { useSearchKeys } from "./useSearchKeys";
import "./search.css";

const DEFAULTS = { a: plain(), b: plain("", "lexical") };
const NONE: readonly Result[] = [];

export function SearchScreen({ api, route }: ScreenProps) {
  const [loaded, again] = useLoad((signal) => served(api, signal), [api]);
  const found = known(loaded);
  if (loaded.state === "failed") return <Failed error={loaded.error} again={again} />;
  if (!found) return <Loading what="Looking for collections …" />;
  if (found.collections.length === 0) return <NoCollections />;
  return <Search api={api} route={route} {...found} />;
}

function Search({ api, route, collections, rerankers }: ScreenProps & Served) {
  const { params } = route;
  const query = params.get("q") ?? "";
  const k = Number(params.get("k")) || 10;
  const blind = params.get("blind") === "1";
  const first = collections[0]?.name ?? "";
  const written = { a: read(params, "a.", DEFAULTS.a), b: read(params, "b.", DEFAULTS.b) };
  const a = { ...written.a, collection: written.a.collection || first };
  const b = { ...written.b, collection: written.b.collection || a.collection };
  const configurations: Record<Side, Configuration> = { a, b };
  const asked = JSON.stringify([query, k, a, b, blind]);

  const [[answerA, answerB], again] = useBoth(api, query, k, a, b);
  const [revealed, setRevealed] = useState("");
  const veiled = blind && revealed !== asked;
  const lots = useMemo(() => drawLots(), [asked]);
  const order: readonly [Side, Side] = blind ? [lots.left, lots.right] : ["a", "b"];
  const names = (veiled ? ["Left", "Right"] : order.map((side) => side.toUpperCase())) as [string, string];
  const bySide = { a: answerA, b: answerB };
  const waits = veiled && (answerA.state === "loading" || answerB.state === "loading"); // who comes first would tell
  const answers = order.map((side) => (waits ? { state: "loading" } : bySide[side])) as [Loaded<SearchAnswer>, Loaded<SearchAnswer>];
  const lists = answers.map((answer) => known(answer)?.results ?? NONE);
  const [left = NONE, right = NONE] = lists;
  const both = answers.every((answer) => answer.state === "ready");
  const compared = useMemo(() => (both ? compare(left, right) : null), [both, left, right]);
  const ids = useMemo(() => [left.map(identity), right.map(identity)] as const, [left, right]);
  const most = Math.max(...[answerA, answerB].map((answer) => known(answer)?.timing.total_ms ?? 0));

  const ratings = useRatings(api, query, [a.collection, b.collection], blind);
  const [shown, setShown] = useState<0 | 1>(0); // the column of a narrow window
  const [lit, setLit] = useState<string | null>(null);
  const [at, setAt] = useState<{ column: 0 | 1; place: number } | null>(null);
  useLayoutEffect(() => setAt(null), [asked]);

  const go = (part: { q?: string; k?: number; blind?: boolean; a?: Configuration; b?: Configuration }): void => {
    const to = new URLSearchParams(params);
    const put = (name: string, value: string): void => (value ? to.set(name, value) : to.delete(name));
    if (part.q !== undefined) put("q", part.q);
    if (part.k !== undefined) put("k", part.k === 10 ? "" : String(part.k));
    if (part.blind !== undefined) put("blind", part.blind ? "1" : "");
    if (part.a) write(to, part.a, "a.", DEFAULTS.a);
    if (part.b) write(to, part.b, "b.", DEFAULTS.b);
    route.go("/search", to);
  };
  const why = (column: 0 | 1) => (result: Result): string => {
    const to = new URLSearchParams({ q: query });
    write(to, configurations[order[column]]);
    to.set("document", result.document);
    to.set("source", result.source);
    return route.href("/why", to);
  };
  const rate = (column: 0 | 1, result: Result, grade: number): void => {
    if (answers[column].state !== "ready") return; // what is shown until then answered what was asked before
    const configuration = configurations[order[column]];
    const rank = lists[column]?.indexOf(result) ?? -1;
    ratings.rate(result, grade, {
      collection: configuration.collection,
      configuration: { ...request(configuration, query, k), side: order[column], rank: rank + 1 },
      blind: veiled,
    });
  };
  useSearchKeys({
    lists,
    at,
    show: setShown,
    rate,
    undo: ratings.undo,
    why: veiled ? null : (column, result) => route.go("/why", new URL(why(column)(result), location.origin).searchParams),
    blind: () => go({ blind: !blind }),
    reveal: () => setRevealed(asked),
    swap: () => go({ a: b, b: a }),
  });

  return (
    <div class="search">
      <h1 class="unseen">Search A | B</h1>
      <SearchBox query={query} search={(q) => (q === query ? again() : go({ q }))} />
      <div class="row options">
        <label class="check">
          Show
          <select value={String(k)} onChange={(event) => go({ k: Number(event.currentTarget.value) })}>
            {[...new Set([5, 10, 20, 50, k])].sort((one, two) => one - two).map((number) => (
              <option key={number}>{number}</option>
            ))}
          </select>
        </label>
        <button type="button" aria-pressed={blind} onClick={() => go({ blind: !blind })}>
          Blind
        </button>
        <button type="button" disabled={veiled} onClick={() => go({ a: b, b: a })}>
          Change A for B
        </button>
        <RaterField />
        <Exports api={api} collections={[...new Set([a.collection, b.collection])]} />
      </div>
      {veiled ? (
        <div class="band row spread">
          <p>Which side is which was drawn by lot. Rate what you see, then reveal it.</p>
          <button type="button" onClick={() => setRevealed(asked)}>
            Reveal
          </button>
        </div>
      ) : (
        <div class="panels">
          {order.map((side) => (
            <div key={side} class={`side-${side}`}>
              <Panel
                name={side.toUpperCase()}
                configuration={configurations[side]}
                collections={collections}
                rerankers={rerankers}
                change={(to) => go({ [side]: to })}
              />
            </div>
          ))}
        </div>
      )}
      {same(a, b) && !blind && <p class="soft">A and B are the same search: change one of them.</p>}
      {ratings.error !== null && <Failed error={ratings.error} />}
      {compared && (
        <Summary
          compared={compared}
          names={names}
          quality={[ndcg(ids[0], ratings.grades), ndcg(ids[1], ratings.grades)]}
          rated={ratings.grades.size}
          k={k}
        />
      )}
      {query ? (
        <>
          <div class="switch" role="group" aria-label="Side">
            {([0, 1] as const).map((column) => (
              <button key={column} type="button" aria-pressed={shown === column} onClick={() => setShown(column)}>
                {names[column]}
              </button>
            ))}
          </div>
          <div class="columns">
            {([0, 1] as const).map((column) => (
              <section
                key={column}
                class={`column ${veiled ? "" : `side-${order[column]}`} ${shown === column ? "" : "away"}`}
                data-column={column}
                aria-label={names[column]}
              >
                <header class="row">
                  <h2>
                    <span class="letter">{names[column]}</span>
                  </h2>
                  {!veiled && <Told answer={known(answers[column])} most={most} />}
                </header>
                <Results
                  side={column === 0 ? "a" : "b"}
                  heading={names[column]}
                  otherName={names[1 - column] ?? ""}
                  answer={answers[column]}
                  compared={compared}
                  grades={ratings.grades}
                  current={lit}
                  at={at?.column === column ? at.place : null}
                  veiled={veiled}
                  again={again}
                  look={(place, name) => {
                    setLit(name);
                    if (place >= 0) setAt({ column, place });
                  }}
                  rate={(result, grade) => rate(column, result, grade)}
                  why={why(column)}
                />
              </section>
            ))}
            {both && <Links left={ids[0]} right={ids[1]} lit={lit} />}
          </div>
        </>
      ) : (
        <Empty title="Ask something">
          <p>Both sides answer the same question. Open a side above to choose how it searches.</p>
        </Empty>
      )}
    </div>
  );
}

/** Both searches, one after the other so that neither's time is the other's; each fails by itself. */
function useBoth(api: Api, query: string, k: number, a: Configuration, b: Configuration) {
  const turn = useRef<Promise<unknown>>(Promise.resolve());
  const ask = (configuration: Configuration) =>
    query
      ? (signal: AbortSignal): Promise<SearchAnswer> => {
          const answer = turn.current.then(() => api.search(request(configuration, query, k), signal));
          turn.current = answer.catch(() => null);
          return answer;
        }
      : null;
  const [answerA, againA] = useLoad(ask(a), [api, query, k, JSON.stringify(a)]);
  const [answerB, againB] = useLoad(ask(b), [api, query, k, JSON.stringify(b)]);
  const again = (): void => {
    againA();
    againB();
  };
  return [[answerA, answerB], again] as const;
}

function Told({ answer, most }: { answer: SearchAnswer | undefined; most: number }) {
  if (!answer) return null;
  return (
    <>
      <span class="soft small how">{answer.how}</span>
      {!answer.complete && <span class="tag">may have missed some: the index is approximate</span>}
      <Timings timing={answer.timing} most={most} />
    </>
  );
}

function Exports({ api, collections }: { api: Api; collections: readonly string[] }) {
  const [error, setError] = useState<unknown>(null);
  const fetchFile = async (name: string): Promise<void> => {
    setError(null);
    try {
      download(`${name}-judgments.csv`, await api.judgmentsFile(name, "csv"));
    } catch (reason) {
      setError(reason);
    }
  };
  return (
    <>
      {collections.map((name) => (
        <button key={name} type="button" class="quiet" title="A csv that vicino compare --judgements reads" onClick={() => void fetchFile(name)}>
          Ratings of {name} as csv
        </button>
      ))}
      {error !== null && <Failed error={error} />}
    </>
  );
}
