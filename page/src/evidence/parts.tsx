// The rest of a study: its questions one by one, the slices where the pick is weak, and how it was made.
import { between, chance, seconds, share, signed } from "./figures";
import { type Answer, type Comparison, measured, type Slice } from "./record";

export function Factors({ record }: { record: Comparison }) {
  const { study } = record;
  if (!study?.answers.length) return null;
  return (
    <section class="stack" aria-labelledby="factors">
      <h2 id="factors">Question by question</h2>
      <p>{study.sentence}</p>
      <div class="factors">
        {study.answers.map((answer) => (
          <Factor key={answer.factor} record={record} answer={answer} />
        ))}
      </div>
      {Object.entries(study.skipped).map(([name, why]) => (
        <p key={name} class="soft small">
          Left out: {name}: {why}
        </p>
      ))}
    </section>
  );
}

function Factor({ record, answer }: { record: Comparison; answer: Answer }) {
  const metric = record.metrics[0]!.name;
  const of = new Map(measured(record).map((one) => [one.name, one]));
  return (
    <article class="card stack">
      <h3>{answer.question}</h3>
      <p>{answer.sentence}</p>
      <table>
        <caption class="unseen">
          {metric} of each level of {answer.factor}
        </caption>
        <thead>
          <tr>
            <th scope="col">Level</th>
            <th scope="col">{metric}</th>
            <th scope="col">Interval</th>
          </tr>
        </thead>
        <tbody>
          {answer.levels.map((name) => (
            <tr key={name}>
              <th scope="row">
                {name} {name === answer.pick && <span class="tag">taken</span>}{" "}
                {name === answer.default && name !== answer.pick && <span class="tag">default</span>}
              </th>
              <td>{share(of.get(name)?.metrics[metric]?.mean)}</td>
              <td class="soft">{answer.skipped[name] ?? between(of.get(name)?.metrics[metric])}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </article>
  );
}

export function Slices({ record }: { record: Comparison }) {
  const slices = record.slices ?? [];
  if (!slices.length) return null;
  const level = Math.round(100 * record.statistics.level);
  const beside = slices.some(({ against_baseline }) => against_baseline);
  return (
    <section class="stack" aria-labelledby="slices">
      <h2 id="slices">Where it is weak</h2>
      <div class="scroll" tabindex={0} role="region" aria-label="Table of slices">
        <table>
          <caption>
            {record.metrics[0]!.name} of {record.verdict.pick} on parts of the queries, the worst first, with {level} % intervals.
            p says how easily chance alone would make the difference from the rest; it is corrected for all parts.
          </caption>
          <thead>
            <tr>
              <th scope="col">Queries</th>
              <th scope="col">How many</th>
              <th scope="col">Here</th>
              <th scope="col">Interval</th>
              <th scope="col">On the rest</th>
              <th scope="col">p</th>
              {beside && <th scope="col">Less {record.baseline}</th>}
            </tr>
          </thead>
          <tbody>
            {slices.map((slice) => (
              <Part key={`${slice.by} ${slice.name}`} slice={slice} beside={beside} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const Part = ({ slice, beside }: { slice: Slice; beside: boolean }) => (
  <tr>
    <th scope="row">
      {slice.name} <span class="soft small">{slice.by}</span>
    </th>
    <td>{slice.queries.toLocaleString("en")}</td>
    <td>{share(slice.pick.mean)}</td>
    <td class="soft">{between(slice.pick)}</td>
    <td>{share(slice.rest)}</td>
    <td>{chance(slice.p)}</td>
    {beside && (
      <td>
        {signed(slice.against_baseline?.mean)} <span class="soft small">{between(slice.against_baseline, signed)}</span>
      </td>
    )}
  </tr>
);

/** What a reader needs to believe it, or to do it again. */
export function Made({ record }: { record: Comparison }) {
  const { statistics: told, task } = record;
  return (
    <section class="stack" aria-labelledby="made">
      <h2 id="made">How sure is it, and how to repeat it</h2>
      {record.foreseen?.sentence && <p>{record.foreseen.sentence}</p>}
      <p>
        Intervals: {told.interval}. Tests: {told.test}; {told.correction}.{" "}
        {told.units ? `${told.units.toLocaleString("en")} of the queries speak for themselves.` : ""}
      </p>
      {(task.notes ?? []).map((note) => (
        <p key={note}>{note}</p>
      ))}
      <p class="soft small">
        Made {record.created.replace("T", " ").replace("+00:00", " UTC")}
        {typeof record.seconds === "number" ? ` in ${seconds(record.seconds)}` : ""}
        {record.versions["vicino"] ? ` by vicino ${record.versions["vicino"]}` : ""}.
      </p>
      {record.command && (
        <pre class="scroll" tabindex={0}>
          <code>{record.command}</code>
        </pre>
      )}
    </section>
  );
}
