// Why these results, one by one; and why not another document.
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Result } from "../api";
import { type Configuration, read, request, write } from "../search/configuration";
import { identity } from "../search/comparison";
import { Panel } from "../search/Panel";
import { type Served, served } from "../search/served";
import { SearchBox } from "../search/SearchBox";
import type { ScreenProps } from "../shell/App";
import { meant } from "../shell/keys";
import { known, useLoad } from "../shell/load";
import { Empty, Failed, Loading, NoCollections } from "../shell/states";
import { Explanation } from "./Explanation";
import { WhyNot, WhyNotForm } from "./WhyNot";
import "../search/search.css";
import "./why.css";

const K = 20;

export function WhyScreen({ api, route }: ScreenProps) {
  const [loaded, again] = useLoad((signal) => served(api, signal), [api]);
  const found = known(loaded);
  if (loaded.state === "failed") return <Failed error={loaded.error} again={again} />;
  if (!found) return <Loading what="Looking for collections …" />;
  if (found.collections.length === 0) return <NoCollections />;
  return <Asked api={api} route={route} {...found} />;
}

function Asked({ api, route, collections, rerankers }: ScreenProps & Served) {
  const { params } = route;
  const query = params.get("q") ?? "";
  const not = params.get("not") ?? "";
  const written = read(params);
  const configuration: Configuration = { ...written, collection: written.collection || (collections[0]?.name ?? "") };
  const asked = JSON.stringify([query, configuration]);
  const search = request(configuration, query, K);
  const [answer, again] = useLoad(query ? (signal) => api.search({ ...search, explain: true }, signal) : null, [api, asked]);
  const results = known(answer)?.results;
  const wanted = { document: params.get("document") ?? "", source: params.get("source") ?? "" };
  const at = useMemo(() => (results ? placeOf(results, wanted) : -1), [results, wanted.document, wanted.source]);
  // A link may name a document that is no longer among the first: then it is followed through the stages instead.
  const follows = not || (results && at < 0 ? wanted.document : "");
  const [told, askAgain] = useLoad(
    query && follows
      ? (signal) => api.whyNot({ ...search, document: follows, ...(!not && wanted.source ? { source: wanted.source } : {}) }, signal)
      : null,
    [api, asked, follows],
  );

  const go = (part: { q?: string; to?: Configuration; result?: Result; not?: string }): void => {
    const to = new URLSearchParams(params);
    if (part.q !== undefined) to.set("q", part.q);
    if (part.to) write(to, part.to);
    if (part.q !== undefined || part.to || part.not !== undefined) ["document", "source"].forEach((name) => to.delete(name));
    if (part.result) {
      to.set("document", part.result.document);
      to.set("source", part.result.source);
    }
    if (part.not) to.set("not", part.not);
    else if (part.result || part.not === "") to.delete("not");
    route.go("/why", to, { replace: part.result !== undefined });
  };
  useKeys(results, follows ? -1 : at, (result) => go({ result }));
  const here = results?.[at < 0 ? 0 : at];

  return (
    <div class="why search">
      <h1 class="unseen">Why</h1>
      <SearchBox query={query} search={(q) => (q === query ? again() : go({ q }))} says="Why does it find what it finds?" />
      <Panel configuration={configuration} collections={collections} rerankers={rerankers} change={(to) => go({ to })} />
      {!query && (
        <Empty title="Ask something">
          <p>
            Every result is explained: its words, its vectors, and how they were put together. Then ask why another document is not
            there.
          </p>
        </Empty>
      )}
      {answer.state === "failed" && <Failed error={answer.error} again={again} />}
      {query && answer.state === "loading" && !results && <Loading what="Searching, and asking why …" />}
      {results && (
        <div class="why-columns">
          <nav class="picks" aria-label="Results">
            <WhyNotForm key={not} document={not} ask={(document) => go({ not: document })} />
            {results.length === 0 && <p class="soft">Nothing found.</p>}
            <ol>
              {results.map((result, place) => (
                <li key={identity(result)}>
                  <button type="button" aria-current={!follows && result === here} onClick={() => go({ result })}>
                    <span class="rank">{place + 1}</span>
                    <span class="pick-name">{result.title || result.document}</span>
                  </button>
                </li>
              ))}
            </ol>
          </nav>
          <div class="reasons">
            {follows ? <WhyNot told={told} again={askAgain} /> : here && <Explanation result={here} place={results.indexOf(here)} />}
          </div>
        </div>
      )}
    </div>
  );
}

/** Where the document that the address names stands; the first where it names none, -1 where it is not among them. */
function placeOf(results: readonly Result[], { document, source }: { document: string; source: string }): number {
  if (!document) return results.length > 0 ? 0 : -1;
  return results.findIndex((one) => one.document === document && (!source || one.source === source));
}

function useKeys(results: readonly Result[] | undefined, at: number, choose: (result: Result) => void): void {
  const newest = useRef({ results, at, choose });
  newest.current = { results, at, choose };
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (!meant(event)) return;
      const { results: all = [], at: now, choose: take } = newest.current;
      const step = { j: 1, k: -1 }[event.key];
      const next = step === undefined ? undefined : all[Math.max(0, Math.min(all.length - 1, now + step))];
      const box = event.key === "n" ? document.getElementById("why-not") : null;
      if (!next && !box) return;
      event.preventDefault();
      if (next) take(next);
      box?.focus();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}
