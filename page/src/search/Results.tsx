// The results of one side: each with its rank here and there, its best passage, its rating, and the way to why.
import type { Result, SearchAnswer } from "../api";
import type { Loaded } from "../shell/load";
import { known } from "../shell/load";
import { Empty, Failed, Loading } from "../shell/states";
import { type Compared, identity, move, type Side } from "./comparison";
import { GRADES } from "./ratings";
import { fact, score } from "./words";

interface ResultsProps {
  side: Side;
  heading: string; // "A", or "Left" in blind mode
  otherName: string;
  answer: Loaded<SearchAnswer>;
  compared: Compared | null;
  grades: ReadonlyMap<string, number>;
  current: string | null; // the identity that is looked at, on either side
  at: number | null; // the row that the keyboard stands on
  veiled: boolean; // blind: neither scores nor reasons
  again: () => void;
  look: (at: number, name: string | null) => void;
  rate: (result: Result, grade: number) => void;
  why: (result: Result) => string;
}

export function Results(props: ResultsProps) {
  const { answer, heading, again } = props;
  const shown = known(answer);
  if (answer.state === "failed") return <Failed error={answer.error} again={again} />;
  if (answer.state === "idle") return null;
  if (!shown) return <Loading what={`${heading} is searching …`} />;
  if (shown.results.length === 0) {
    return (
      <Empty title="Nothing found">
        <p>No document matches. Words that no document has find nothing; a filter may leave nothing; vectors always find something.</p>
      </Empty>
    );
  }
  return (
    <ol class={answer.state === "loading" ? "hits stale" : "hits"} aria-label={`Results of ${heading}`} aria-busy={answer.state === "loading"}>
      {shown.results.map((result, at) => (
        <Hit key={identity(result)} {...props} result={result} place={at} />
      ))}
    </ol>
  );
}

function Hit(props: ResultsProps & { result: Result; place: number }) {
  const { result, place, side, answer, compared, grades, current, at, veiled, look, rate, why, otherName } = props;
  const name = identity(result);
  const grade = grades.get(name);
  const classes = ["hit", name === current ? "lit" : "", at === place ? "at" : ""].filter(Boolean).join(" ");
  return (
    <li
      class={classes}
      tabIndex={-1}
      data-side={side}
      data-place={place}
      // Not the focus that a mouse button brings: the passage would grow, and the button slip away before it is let go.
      onFocusIn={(event) => (event.target as Element).matches(":focus-visible") && look(place, name)}
      onPointerEnter={() => look(-1, name)}
      onClick={() => look(place, name)}
    >
      <div class="hit-rank">
        <span class="rank">{place + 1}</span>
        {compared && <Move by={move(compared, name, side)} otherName={otherName} there={compared.ranks.get(name)} side={side} />}
      </div>
      <div class="hit-body">
        <h3>{result.title || result.document}</h3>
        {result.title && <p class="id">{result.document}</p>}
        <p class="quoted passage">{result.text}</p>
        <Facts metadata={result.metadata} />
        <div class="row hit-foot">
          <div class="grades" role="group" aria-label="Rating">
            {GRADES.map((meaning, value) => (
              <button
                key={meaning}
                type="button"
                class={`grade grade-${value}`}
                title={`${value}: ${meaning}`}
                aria-label={`${value}, ${meaning}`}
                aria-pressed={grade === value}
                disabled={answer.state === "loading"}
                onClick={() => rate(result, value)}
              >
                {value}
              </button>
            ))}
          </div>
          {!veiled && (
            <>
              <span class="soft small">score {score(result.score)}</span>
              <a class="small" href={why(result)} aria-label={`Why ${result.title || result.document}`}>
                Why
              </a>
            </>
          )}
        </div>
      </div>
    </li>
  );
}

interface MoveProps {
  by: number | null;
  there: Partial<Record<Side, number>> | undefined;
  side: Side;
  otherName: string;
}

function Move({ by, there, side, otherName }: MoveProps) {
  const rank = there?.[side === "a" ? "b" : "a"];
  if (by === null || rank === undefined) {
    return (
      <span class="move only" title={`Not among the results of ${otherName}`}>
        only<span class="unseen"> here</span>
      </span>
    );
  }
  const says = by === 0 ? `at the same place in ${otherName}` : `number ${rank} in ${otherName}`;
  return (
    <span class={`move ${by > 0 ? "up" : by < 0 ? "down" : "same"}`} title={says}>
      <span aria-hidden="true">{by > 0 ? `▲${by}` : by < 0 ? `▼${-by}` : "="}</span>
      <span class="unseen">{says}</span>
    </span>
  );
}

const SHOWN = 4; // facts of a document beside its passage

function Facts({ metadata }: { metadata: Record<string, unknown> }) {
  const facts = Object.entries(metadata ?? {}).slice(0, SHOWN);
  if (facts.length === 0) return null;
  return (
    <ul class="facts">
      {facts.map(([name, value]) => (
        <li key={name} class="tag" title={fact(value)}>
          {name} <b>{fact(value)}</b>
        </li>
      ))}
    </ul>
  );
}
