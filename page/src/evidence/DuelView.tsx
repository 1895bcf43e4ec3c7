// Two candidates, query by query: what each of them does not understand.
import { useMemo, useState } from "preact/hooks";
import { Chart } from "./Chart";
import { between, chance, share, signed } from "./figures";
import { differences } from "./plots";
import { type Candidate, type Comparison, duel, type Duel, tested } from "./record";

interface Props {
  record: Comparison;
  a: Candidate;
  b: Candidate;
}

const useDuel = (record: Comparison, a: Candidate, b: Candidate): Duel =>
  useMemo(() => duel(a, b, record.statistics.level), [record, a.name, b.name]);

export function DuelView({ record, a, b }: Props) {
  const metric = record.metrics[0]!.name;
  const found = useDuel(record, a, b);
  if (!found.difference) return <p class="soft">The study kept no values of single queries for both.</p>;
  return (
    <>
      <p>
        <strong class="side-b">B</strong> {b.name} against <strong class="side-a">A</strong> {a.name}: better on{" "}
        {found.wins.toLocaleString("en")} queries, equal on {found.ties.toLocaleString("en")}, worse on{" "}
        {found.losses.toLocaleString("en")}.
      </p>
      <Test record={record} a={a} b={b} found={found} metric={metric} />
      <Chart draw={(width) => differences(found, metric, width)} deps={[found]}>
        One step a query, sorted. Above the line B is better, below it A is.
      </Chart>
    </>
  );
}

export function DuelQueries({ record, a, b }: Props) {
  const found = useDuel(record, a, b);
  if (!found.rows.length) return null;
  return (
    <div class="pair">
      <Queries title="B gains most" record={record} rows={found.rows.slice(0, found.wins)} {...{ a, b }} />
      <Queries
        title="B loses most"
        record={record}
        rows={found.rows.slice(found.rows.length - found.losses).reverse()}
        {...{ a, b }}
      />
    </div>
  );
}

/** The study's own test where it made one; otherwise the interval that this page computes, and what that is not. */
function Test({ record, a, b, found, metric }: { record: Comparison; a: Candidate; b: Candidate; found: Duel; metric: string }) {
  const test = tested(a, b);
  const level = Math.round(100 * record.statistics.level);
  if (test) {
    return (
      <p>
        {metric} differs by {signed(test.difference.mean)} ({level} % interval {between(test.difference, signed)}; p{" "}
        {chance(test.p)}): <strong>{DECISIONS[test.decision] ?? test.decision}</strong>. That is the study's test:{" "}
        {record.statistics.test}, {record.statistics.correction}.
      </p>
    );
  }
  return (
    <p>
      {metric} differs by {signed(found.difference?.mean)} ({level} % interval {between(found.difference, signed)}). The study did
      not test this pair: the interval is this page's, by bootstrap over single queries, and is too sure of itself where the pair
      was chosen for its difference.
    </p>
  );
}

const DECISIONS: Record<string, string> = {
  better: "B is better than A",
  worse: "B is worse than A",
  "the same": "B is as good as A",
  "not told apart": "these queries cannot tell B from A",
};

const FEW = 8;

interface QueriesProps {
  title: string;
  record: Comparison;
  rows: Duel["rows"];
  a: Candidate;
  b: Candidate;
}

function Queries({ title, record, rows, a, b }: QueriesProps) {
  const [shown, setShown] = useState(FEW);
  return (
    <section>
      <h3>{title}</h3>
      {rows.length === 0 && <p class="soft">On no query.</p>}
      {rows.length > 0 && (
        <div class="scroll" tabindex={0} role="region" aria-label={title}>
          <table>
            <thead>
              <tr>
                <th scope="col">Query</th>
                <th scope="col" title={a.name}>
                  A
                </th>
                <th scope="col" title={b.name}>
                  B
                </th>
                <th scope="col">Difference</th>
              </tr>
            </thead>
            <tbody>
              {rows.slice(0, shown).map((row) => (
                <tr key={row.query}>
                  <th scope="row" class="quoted">
                    {record.queries[row.query]?.text ?? `query ${row.query + 1}`}
                  </th>
                  <td>{share(row.a)}</td>
                  <td>{share(row.b)}</td>
                  <td>{signed(row.difference)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {rows.length > shown && (
        <button type="button" onClick={() => setShown(shown + 4 * FEW)}>
          Show more<span class="unseen"> of “{title}”</span>
        </button>
      )}
    </section>
  );
}
