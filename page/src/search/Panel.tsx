// How one side searches: a form, closed to a line. Every change counts at once.
import type { Collection } from "../api";
import { type Configuration, DEPTH, MODES, summary } from "./configuration";
import { count } from "./words";

interface PanelProps {
  name?: string; // "A", "B"
  configuration: Configuration;
  collections: readonly Collection[];
  rerankers: readonly string[];
  change: (to: Configuration) => void;
}

export function Panel({ name, configuration, collections, rerankers, change }: PanelProps) {
  const set = (part: Partial<Configuration>): void => change({ ...configuration, ...part });
  const chosen = collections.find((one) => one.name === configuration.collection);
  const fields = Object.keys(chosen?.fields ?? {});
  return (
    <details class="panel">
      <summary>
        {name && <span class="letter">{name}</span>}
        <span>{summary(configuration)}</span>
      </summary>
      <div class="panel-form">
        <label class="field">
          Collection
          <select value={configuration.collection} onChange={(event) => set({ collection: event.currentTarget.value })}>
            {!chosen && <option value={configuration.collection}>{configuration.collection || "none"}</option>}
            {collections.map((one) => (
              <option key={one.name} value={one.name}>
                {one.name}
                {one.label && ` · ${one.label}`}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          Search by
          <select value={configuration.mode} onChange={(event) => set({ mode: event.currentTarget.value as Configuration["mode"] })}>
            {Object.entries(MODES).map(([mode, meaning]) => (
              <option key={mode} value={mode}>
                {meaning}
              </option>
            ))}
          </select>
        </label>
        {chosen && chosen.spaces.length > 1 && configuration.mode !== "lexical" && (
          <label class="field">
            Model
            <select value={configuration.space} onChange={(event) => set({ space: event.currentTarget.value })}>
              <option value="">all of them</option>
              {chosen.spaces.map(({ id, encoder, dim }) => (
                <option key={id} value={id}>
                  {encoder} · {dim}
                </option>
              ))}
            </select>
          </label>
        )}
        {configuration.mode === "hybrid" && <Weight weight={configuration.weight} set={(weight) => set({ weight })} />}
        <label class="field">
          Rerank by
          <select value={configuration.rerank} onChange={(event) => set({ rerank: event.currentTarget.value })}>
            <option value="">{rerankers.length > 0 ? "nothing" : "nothing; serve one with --reranker"}</option>
            {[...new Set([...rerankers, configuration.rerank])].filter(Boolean).map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        {configuration.rerank && (
          <label class="field">
            Passages to rerank
            <input
              type="number"
              min={1}
              max={1000}
              value={configuration.depth}
              onChange={(event) => set({ depth: event.currentTarget.valueAsNumber || DEPTH })}
            />
          </label>
        )}
        <label class="field wide">
          Filter
          <input
            value={configuration.where}
            placeholder={fields[0] ? `${fields[0]} = …` : "document = 'wings.md' and start < 1000"}
            spellcheck={false}
            onChange={(event) => set({ where: event.currentTarget.value })}
          />
          {fields.length > 0 && <span class="soft small">Fields: {fields.join(", ")}</span>}
        </label>
      </div>
      {chosen && <Told collection={chosen} />}
    </details>
  );
}

function Weight({ weight, set }: { weight: number | null; set: (weight: number | null) => void }) {
  const share = Math.round((weight ?? 0.5) * 100);
  return (
    <div class="field">
      <label class="check">
        <input type="checkbox" checked={weight !== null} onChange={(event) => set(event.currentTarget.checked ? 0.5 : null)} />
        Own weight{weight !== null && `: ${share} % vectors, ${100 - share} % words`}
      </label>
      {weight !== null && (
        <input
          type="range"
          min={0}
          max={100}
          step={5}
          value={share}
          aria-label="Share of the vectors, in percent"
          onChange={(event) => set(event.currentTarget.valueAsNumber / 100)}
        />
      )}
    </div>
  );
}

function Told({ collection }: { collection: Collection }) {
  if (collection.error) return <p class="band small">{collection.error}</p>;
  const encoders = collection.spaces.map(({ encoder, dim }) => `${encoder} (${dim} dimensions)`);
  return (
    <p class="soft small">
      {count(collection.documents, "document")}, {count(collection.passages, "passage")}
      {encoders.length > 0 && `; vectors of ${encoders.join(", ")}`}
    </p>
  );
}
