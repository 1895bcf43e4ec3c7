// All that was compared, with intervals; and which two are set against each other.
import type { Go } from "./EvidenceScreen";
import { between, bytes, chance, seconds, share, signed } from "./figures";
import { type Comparison, type Interval, type Measured, measured, quality } from "./record";

interface Props {
  record: Comparison;
  metric: string;
  sort: string;
  a: string;
  b: string;
  go: Go;
}

const COSTS: Record<string, { label: string; of: (one: Measured) => number | null | undefined }> = {
  cost: { label: "Cost", of: ({ cost_seconds }) => cost_seconds },
  query: { label: "Query", of: ({ query_ms }) => query_ms?.p50 },
  index: { label: "Index", of: ({ index_bytes }) => index_bytes },
};

/** The best first by a metric, the least first by a cost; what nobody knows last. */
export function sorted(candidates: readonly Measured[], by: string): Measured[] {
  const cost = COSTS[by];
  const weight = (one: Measured): number => (cost ? (cost.of(one) ?? Infinity) : -quality(one, by));
  return [...candidates].sort((one, other) => {
    const [mine, its] = [weight(one), weight(other)];
    return mine === its ? 0 : mine - its; // two unknown ones keep their order: their difference is no number
  });
}

export function Candidates({ record, metric, sort, a, b, go }: Props) {
  const all = measured(record);
  const failed = record.candidates.filter(({ error }) => error);
  const intervals = all.flatMap((one) => one.metrics[metric] ?? []);
  const span = [Math.min(...intervals.map(({ low }) => low)), Math.max(...intervals.map(({ high }) => high))] as const;
  const head = (key: string, label: string, says: string) => (
    <th scope="col" aria-sort={sort === key ? (COSTS[key] ? "ascending" : "descending") : "none"}>
      <button type="button" class="quiet sorter" aria-pressed={sort === key} title={says} onClick={() => go({ sort: key })}>
        {label}
      </button>
    </th>
  );
  return (
    <>
      <div class="scroll" tabindex={0} role="region" aria-label="Table of candidates">
        <table class="candidates">
          <caption>
            Means over {record.task.queries.toLocaleString("en")} queries with their {Math.round(100 * record.statistics.level)} %
            intervals. Choose A and B to set them against each other.
          </caption>
          <thead>
            <tr>
              <th scope="col">Candidate</th>
              <th scope="col">A</th>
              <th scope="col">B</th>
              <th scope="col" class="text">
                <span class="unseen">Interval of {metric}, as a line</span>
              </th>
              {record.metrics.map(({ name, meaning }) => head(name, name, meaning))}
              <th scope="col">Against {record.baseline}</th>
              <th scope="col">p</th>
              {head("cost", "Cost", "Seconds to take the documents in and to answer 1,000 queries")}
              {head("query", "Query", "Half of the queries take longer")}
              {head("index", "Index", "Size of the index")}
            </tr>
          </thead>
          <tbody>
            {sorted(all, sort).map((one) => (
              <tr key={one.name} class={one.name === a ? "is-a" : one.name === b ? "is-b" : undefined}>
                <th scope="row">
                  {one.name}{" "}
                  {roles(record, one.name).map((role) => (
                    <span class="tag">{role}</span>
                  ))}
                </th>
                {(["a", "b"] as const).map((side) => (
                  <td key={side}>
                    <input
                      type="radio"
                      name={`side-${side}`}
                      aria-label={`${one.name} as ${side.toUpperCase()}`}
                      checked={one.name === (side === "a" ? a : b)}
                      onChange={() => go(one.name === (side === "a" ? b : a) ? { a: b, b: a } : { [side]: one.name })}
                    />
                  </td>
                ))}
                <td>
                  <Whisker interval={one.metrics[metric]} span={span} />
                </td>
                {record.metrics.map(({ name }) => (
                  <td key={name}>
                    {share(one.metrics[name]?.mean)} <span class="soft small interval">{between(one.metrics[name])}</span>
                  </td>
                ))}
                <td>
                  {one.against_baseline ? (
                    <>
                      {signed(one.against_baseline.difference.mean)}{" "}
                      <span class="soft small interval">{one.against_baseline.decision}</span>
                    </>
                  ) : (
                    "–"
                  )}
                </td>
                <td>{chance(one.against_baseline?.p)}</td>
                <td>{seconds(one.cost_seconds)}</td>
                <td>{seconds(typeof one.query_ms?.p50 === "number" ? one.query_ms.p50 / 1000 : null)}</td>
                <td>{bytes(one.index_bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {failed.length > 0 && (
        <div class="scroll" tabindex={0} role="region" aria-label="Candidates that failed">
          <table>
            <caption>These could not be measured; the others are not affected.</caption>
            <thead>
              <tr>
                <th scope="col">Candidate</th>
                <th scope="col" class="text">
                  Error
                </th>
              </tr>
            </thead>
            <tbody>
              {failed.map(({ name, error }) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td class="text">{error}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

const roles = ({ verdict, baseline }: Comparison, name: string): string[] => [
  ...(name === verdict.pick ? ["our pick"] : []),
  ...(name === baseline ? ["baseline"] : []),
  ...(verdict.tied.includes(name) && name !== verdict.pick ? ["tied"] : []),
];

function Whisker({ interval, span: [low, high] }: { interval: Interval | undefined; span: readonly [number, number] }) {
  if (!interval) return null;
  const x = (value: number): number => 4 + (112 * (value - low)) / Math.max(high - low, 1e-9);
  return (
    <svg class="whisker" viewBox="0 0 120 12" aria-hidden="true">
      <line x1={x(interval.low)} x2={x(interval.high)} y1="6" y2="6" />
      <circle cx={x(interval.mean)} cy="6" r="3.2" />
    </svg>
  );
}
