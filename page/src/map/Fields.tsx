// What colours mean, and which points are shown: the values of fields.
import { useId, useMemo, useState } from "preact/hooks";
import type { MapField } from "../api";
import { known, type Loaded } from "../shell/load";
import { type Colouring, counts, type Filter, type Look, ramp, range, type Values } from "./colouring";
import type { Rgb } from "./paint";

export type Read = Loaded<{ field: MapField; values: Values }>;

const css = ([red, green, blue]: Rgb): string => `rgb(${red} ${green} ${blue})`;

const figure = (value: number): string =>
  Number(value.toPrecision(6)).toLocaleString("en", { useGrouping: Math.abs(value) >= 10_000 });

export function Legend({ name, colouring, look }: { name: string; colouring: Colouring; look: Look }) {
  if (colouring.range) {
    const [low, high] = colouring.range;
    return (
      <div class="map-scale">
        <span class="map-ramp" style={{ backgroundImage: `linear-gradient(to right, ${ramp(look).map(css).join()})` }} />
        <span class="row spread small">
          <span>≤ {figure(low)}</span>
          <span>{name}</span>
          <span>≥ {figure(high)}</span>
        </span>
      </div>
    );
  }
  return (
    <ul class="map-legend" aria-label={`Colours of ${name}`}>
      {colouring.legend.map(({ label, count, tint }) => (
        <li key={label}>
          <span class="map-swatch" style={{ background: css(colouring.palette[tint]!) }} />
          <span class="map-value">{label || "(empty)"}</span>
          <span class="soft">{count.toLocaleString("en")}</span>
        </li>
      ))}
    </ul>
  );
}

const LISTED = 200;

export function FilterBox({ read, filter, change }: { read: Read; filter: Filter; change: (filter: Filter) => void }) {
  const loaded = known(read);
  if (!loaded) return null;
  const { field, values } = loaded;
  return field.values ? (
    <Choose {...{ field, values, filter, change }} labels={field.values} />
  ) : (
    <Between {...{ values, filter, change }} />
  );
}

interface Choices {
  field: MapField;
  labels: readonly string[];
  values: Values;
  filter: Filter;
  change: (filter: Filter) => void;
}

function Choose({ field, labels, values, filter, change }: Choices) {
  const [typed, setTyped] = useState("");
  const found = useMemo(() => counts(values, labels.length), [values, labels]);
  const order = useMemo(() => labels.map((_, code) => code).sort((a, b) => found[b]! - found[a]! || a - b), [found]);
  const wanted = new Set(filter.is);
  const asked = typed.trim().toLocaleLowerCase();
  const matching = order.filter((code) => labels[code]!.toLocaleLowerCase().includes(asked));
  const toggle = (label: string, on: boolean): void =>
    change({ ...filter, is: on ? [...filter.is, label] : filter.is.filter((one) => one !== label) });
  return (
    <fieldset class="map-choices">
      <legend class="unseen">Only these values of {field.name}</legend>
      {labels.length > 12 && (
        <input
          type="text"
          aria-label={`Find a value of ${field.name}`}
          placeholder="Find a value"
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
      )}
      <div class="map-boxes">
        {matching.slice(0, LISTED).map((code) => (
          <label key={code} class="check">
            <input
              type="checkbox"
              checked={wanted.has(labels[code]!)}
              onChange={(event) => toggle(labels[code]!, event.currentTarget.checked)}
            />
            <span class="map-value">{labels[code] || "(empty)"}</span>
            <span class="soft">{found[code]!.toLocaleString("en")}</span>
          </label>
        ))}
      </div>
      {matching.length > LISTED && (
        <p class="soft small">{(matching.length - LISTED).toLocaleString("en")} more: type to find them.</p>
      )}
      {filter.is.length > 0 && (
        <button type="button" onClick={() => change({ ...filter, is: [] })}>
          Show all values
        </button>
      )}
    </fieldset>
  );
}

function Between({ values, filter, change }: { values: Values; filter: Filter; change: (filter: Filter) => void }) {
  const [low, high] = useMemo(() => range(values), [values]);
  const id = useId();
  const set = (end: "from" | "to", text: string): void => {
    const value = text.trim() === "" ? null : Number(text);
    if (value === null || Number.isFinite(value)) change({ ...filter, [end]: value });
  };
  return (
    <div class="map-between">
      {(["from", "to"] as const).map((end) => (
        <label key={end} class="field" for={`${id}${end}`}>
          {end === "from" ? "From" : "To"}
          <input
            id={`${id}${end}`}
            type="number"
            step="any"
            placeholder={figure(end === "from" ? low : high)}
            value={filter[end] ?? ""}
            onChange={(event) => set(end, event.currentTarget.value)}
          />
        </label>
      ))}
    </div>
  );
}
