// Why another document is not among the results: the stages that a search goes through, and where it was lost.
import { useState } from "preact/hooks";
import type { Stage, WhyNot as Told } from "../api";
import { score } from "../search/words";
import { known, type Loaded } from "../shell/load";
import { Failed, Loading } from "../shell/states";
import { lostAt, STAGES, STATES } from "./places";

export function WhyNotForm({ document, ask }: { document: string; ask: (document: string) => void }) {
  const [text, setText] = useState(document);
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) ask(text.trim());
      }}
    >
      <label class="field grows">
        Why not document
        <input
          id="why-not"
          placeholder="its id"
          autocomplete="off"
          spellcheck={false}
          maxLength={2000}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <button type="submit">Ask</button>
    </form>
  );
}

export function WhyNot({ told, again }: { told: Loaded<Told>; again: () => void }) {
  if (told.state === "failed") return <Failed error={told.error} again={again} />;
  const answer = known(told);
  if (!answer) return <Loading what="Following the document through the search …" />;
  const lost = lostAt(answer.stages);
  return (
    <article class="stack" aria-busy={told.state === "loading"}>
      <header>
        <p class="id">{answer.document}</p>
        <div role="status">
          <h2>{answer.verdict}</h2>
        </div>
      </header>
      <ol class="stages">
        {answer.stages.map((stage) => (
          <Row key={stage.stage} stage={stage} lost={stage === lost} />
        ))}
      </ol>
    </article>
  );
}

function Row({ stage, lost }: { stage: Stage; lost: boolean }) {
  const { mark, says } = STATES[stage.state] ?? { mark: "?", says: stage.state };
  const numbers = [
    stage.rank === null ? "" : `rank ${stage.rank.toLocaleString("en")}`,
    stage.score === null ? "" : `score ${score(stage.score)}`,
    stage.needed === null ? "" : `needed ${Number.isInteger(stage.needed) ? stage.needed.toLocaleString("en") : score(stage.needed)}`,
  ].filter(Boolean);
  return (
    <li class={`stage ${stage.state.replace(" ", "-")} ${lost ? "lost" : ""}`}>
      <span class="stage-mark" aria-hidden="true">
        {mark}
      </span>
      <div>
        <h3>
          {STAGES[stage.stage] ?? stage.stage} <span class="soft">{says}</span>
        </h3>
        <p>{stage.say}</p>
        {numbers.length > 0 && <p class="soft small">{numbers.join(" · ")}</p>}
      </div>
    </li>
  );
}
