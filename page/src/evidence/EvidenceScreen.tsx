// A study's evidence: what to use, what it costs, how sure that is, and two candidates set against each other.
import type { ScreenProps } from "../shell/App";
import type { StudySummary } from "../api";
import { known, useLoad } from "../shell/load";
import { useKeys } from "../shell/useKeys";
import { Empty, Failed, Loading } from "../shell/states";
import { Candidates } from "./Candidates";
import { Chart } from "./Chart";
import { DuelQueries, DuelView } from "./DuelView";
import { type Mark, pareto } from "./plots";
import { Factors, Made, Slices } from "./parts";
import { type Comparison, measured, opening, readRecord } from "./record";
import "./evidence.css";

export type Go = (change: Record<string, string>) => void;

export function EvidenceScreen({ api, route }: ScreenProps) {
  const [studies, again] = useLoad((signal) => api.studies(signal), []);
  const all = known(studies);
  const id = route.params.get("study") ?? all?.[0]?.id ?? null;
  const [study, retry] = useLoad(
    id === null ? null : async (signal) => ({ id, record: readRecord(await api.study(id, signal)) }),
    [id],
  );
  if (studies.state === "failed") return <Failed error={studies.error} again={again} />;
  if (!all) return <Loading what="Looking for studies" />;
  if (id === null) {
    return (
      <Empty title="No study yet">
        <p>
          Compare what could search your data, and reload: <code>vicino compare DATA</code>
        </p>
      </Empty>
    );
  }
  const shown = known(study);
  const go: Go = (change) => {
    const params = new URLSearchParams(route.params);
    for (const [name, value] of Object.entries(change)) params.set(name, value);
    route.go("/evidence", params, { replace: true });
  };
  return (
    <div class="stack evidence">
      <Choice studies={all} id={id} choose={(other) => route.go("/evidence", { study: other })} />
      {study.state === "failed" && <Failed error={study.error} again={retry} />}
      {study.state !== "failed" &&
        (shown?.id === id ? <Study record={shown.record} params={route.params} go={go} /> : <Loading what="Opening the study" />)}
    </div>
  );
}

function Choice({ studies, id, choose }: { studies: StudySummary[]; id: string; choose: (id: string) => void }) {
  const there = studies.some((each) => each.id === id);
  if (studies.length < 2 && there) return null;
  return (
    <label class="field study-choice">
      Study
      <select value={id} onChange={(event) => choose(event.currentTarget.value)}>
        {!there && <option value={id}>{id}</option>}
        {studies.map((each) => (
          <option key={each.id} value={each.id}>
            {each.name} · {each.created.slice(0, 16).replace("T", " ")} · {each.pick}
          </option>
        ))}
      </select>
    </label>
  );
}

function Study({ record, params, go }: { record: Comparison; params: URLSearchParams; go: Go }) {
  const all = measured(record);
  const named = (side: "a" | "b"): string | undefined => all.find(({ name }) => name === params.get(side))?.name;
  const [a0, b0] = opening(record);
  const [a, b] = [named("a") ?? a0, named("b") ?? b0];
  useKeys({ x: () => go({ a: b, b: a }) });
  if (!all.length) return <Empty title="Nothing in this study could be measured" />;
  const metric = record.metrics.find(({ name }) => name === params.get("metric"))?.name ?? record.metrics[0]!.name;
  const sort = params.get("sort") ?? metric;
  const roles = { [a]: "A", [b]: "B" };
  const unpriced = all.filter(({ cost_seconds }) => typeof cost_seconds !== "number").map(({ name }) => name);
  const [one, other] = [all.find(({ name }) => name === a)!, all.find(({ name }) => name === b)!];
  return (
    <>
      <Verdict record={record} />
      <div class="evidence-top">
        <section class="card stack" aria-labelledby="cost">
          <div class="row spread">
            <h2 id="cost">Quality and cost</h2>
            <label class="check small">
              <span class="soft">Metric</span>
              <select
                value={metric}
                onChange={(event) => go({ metric: event.currentTarget.value, sort: event.currentTarget.value })}
              >
                {record.metrics.map(({ name }) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
          </div>
          <Chart
            draw={(width) => pareto(all, metric, roles, width)}
            deps={[record, metric, a, b]}
            chosen={(value) => {
              const { name } = value as Mark;
              if (name !== a) go({ b: name });
            }}
          >
            Further left is cheaper, higher is better; the line joins those that no other beats on both. ■ A, ◆ B; click on
            another to take it as B.
            {unpriced.length > 0 && ` What these cost is not known: ${unpriced.join(", ")}.`}
          </Chart>
        </section>
        <section class="card stack" aria-labelledby="duel">
          <h2 id="duel">Two, query by query</h2>
          {a === b ? <p>Choose two different candidates in the table.</p> : <DuelView record={record} a={one} b={other} />}
        </section>
      </div>
      {a !== b && <DuelQueries record={record} a={one} b={other} />}
      <section class="stack" aria-labelledby="all-candidates">
        <h2 id="all-candidates">All candidates</h2>
        <Candidates {...{ record, metric, sort, a, b, go }} />
      </section>
      <Factors record={record} />
      <Slices record={record} />
      <Made record={record} />
    </>
  );
}

function Verdict({ record: { verdict, task, study, candidates } }: { record: Comparison }) {
  const facts = [
    ["Documents", task.documents],
    ["Queries", task.queries],
    ["Judgements", task.judgements],
    ["Candidates", candidates.length],
  ] as const;
  return (
    <header class="verdict stack">
      <p class="soft">What is best for {task.name}?</p>
      <h1>Use {verdict.pick}</h1>
      <p class="verdict-says">{verdict.sentence}</p>
      {study?.sentence && <p class="soft">{study.sentence}</p>}
      {task.synthetic && (
        <p class="band" role="note">
          The queries are synthetic: no person asked them, and real questions may rank the candidates otherwise. {task.synthetic}
        </p>
      )}
      <dl class="facts">
        {facts.map(([name, number]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{number.toLocaleString("en")}</dd>
          </div>
        ))}
      </dl>
    </header>
  );
}
