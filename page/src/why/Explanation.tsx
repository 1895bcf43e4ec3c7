// Why a result stands where it stands: the words, the vectors, how the two were put together, and what reranking changed.
import type { Result, Why } from "../api";
import { percent, score } from "../search/words";
import { addsUp, pieces } from "./places";

export function Explanation({ result, place }: { result: Result; place: number }) {
  const { why } = result;
  return (
    <article class="explanation stack">
      <header>
        <p class="soft">
          Number {place + 1}, score {score(result.score)}
        </p>
        <h2>{result.title || result.document}</h2>
        <p class="id">
          {result.document} · {result.source}
        </p>
      </header>
      <Passage result={result} />
      {!why && <p class="soft">The server gave no reasons for this result.</p>}
      {why?.lexical && <Words lexical={why.lexical} />}
      {why?.dense && why.dense.length > 0 && <Vectors dense={why.dense} />}
      {why?.fusion && <Fusion fusion={why.fusion} />}
      {why?.rerank && <Rerank rerank={why.rerank} />}
    </article>
  );
}

function Passage({ result }: { result: Result }) {
  return (
    <figure class="nearest">
      <blockquote class="quoted" tabIndex={0} aria-label="The nearest passage">
        {pieces(result).map(({ text, near, term }, at) => {
          const shown = term ? <mark>{text}</mark> : text;
          return (
            <span key={at} class={near ? "near" : "soft"}>
              {shown}
            </span>
          );
        })}
      </blockquote>
      <figcaption class="soft small">
        The nearest passage: characters {result.start.toLocaleString("en")} to {result.end.toLocaleString("en")} of the document
      </figcaption>
    </figure>
  );
}

function Words({ lexical }: { lexical: NonNullable<Why["lexical"]> }) {
  const most = Math.max(...lexical.terms.map(({ weight }) => weight), 0);
  return (
    <section class="card">
      <h3>
        Words: BM25 {score(lexical.score)}
        {lexical.rank !== null && `, number ${lexical.rank} by words`}
      </h3>
      {lexical.terms.length === 0 ? (
        <p class="soft">No word of the question stands in this passage.</p>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Terms">
          <table>
            <thead>
              <tr>
                <th scope="col">Term</th>
                <th scope="col">Times in the passage</th>
                <th scope="col">Adds</th>
                <th scope="col" class="bar-cell">
                  <span class="unseen">Bar</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {lexical.terms.map(({ term, weight, count }) => (
                <tr key={term}>
                  <th scope="row">{term}</th>
                  <td>{count}</td>
                  <td>{score(weight)}</td>
                  <td class="bar-cell">
                    <svg class="strip" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
                      <rect width={most > 0 ? (100 * Math.max(0, weight)) / most : 0} height="6" />
                    </svg>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Vectors({ dense }: { dense: NonNullable<Why["dense"]> }) {
  return (
    <section class="card">
      <h3>Vectors</h3>
      {dense.map(({ space, score: similarity, rank, percentile }) => (
        <div key={space} class="stack vector">
          <p>
            Similarity <b>{score(similarity)}</b>
            {rank !== null && `, number ${rank} by vectors`}: nearer to the question than <b>{percent(percentile)}</b> of all documents.
          </p>
          <svg class="scale" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
            <rect class="track" y="4" width="100" height="4" />
            <rect class="fill" y="4" width={percentile} height="4" />
            <rect class="pin" x={Math.min(99.4, percentile)} width="0.6" height="12" />
          </svg>
          <p class="id">{space}</p>
        </div>
      ))}
    </section>
  );
}

function Fusion({ fusion }: { fusion: NonNullable<Why["fusion"]> }) {
  return (
    <section class="card">
      <h3>Put together by {METHODS[fusion.method] ?? fusion.method}</h3>
      <div class="scroll" tabIndex={0} role="region" aria-label="Fusion">
        <table>
          <thead>
            <tr>
              <th scope="col">Part</th>
              <th scope="col">Rank</th>
              <th scope="col">Weight</th>
              <th scope="col">× share</th>
              <th scope="col">= adds</th>
            </tr>
          </thead>
          <tbody>
            {fusion.parts.map(({ name, rank, weight, share, product }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{rank ?? "–"}</td>
                <td>{score(weight)}</td>
                <td>{exact(share)}</td>
                <td>{exact(product)}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row" colSpan={4}>
                Sum
              </th>
              <td>{exact(fusion.sum)}</td>
            </tr>
          </tfoot>
        </table>
      </div>
      {!addsUp(fusion) && <p class="soft small">The parts shown do not add up to the sum: others took part that are not listed.</p>}
    </section>
  );
}

const METHODS: Record<string, string> = { rrf: "reciprocal rank", convex: "a weighted sum of scores" };

const exact = (value: number): string => (Math.abs(value) < 1 ? value.toFixed(5) : score(value));

function Rerank({ rerank }: { rerank: NonNullable<Why["rerank"]> }) {
  const { before, after } = rerank;
  const by = before === null || after === null ? null : before - after;
  return (
    <section class="card">
      <h3>Reranked</h3>
      <p>
        {before === null ? "Not among the first before" : `Number ${before} before`}, {after === null ? "not among those read" : `number ${after} after`}
        {by === null ? "" : by === 0 ? ": it stayed" : by > 0 ? `: ${by} up` : `: ${-by} down`}.
        {rerank.score !== null && ` The reranker's score is ${score(rerank.score)}.`}
      </p>
    </section>
  );
}
