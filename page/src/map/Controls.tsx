// What a map is of and how it looks: collection, model, method, colours, filter, and how far the picture can be trusted.
import type { Collection, MapInfo } from "../api";
import { known } from "../shell/load";
import { Failed } from "../shell/states";
import { type Asked, type Go, METHODS, NEIGHBOURS } from "./asked";
import type { Colouring, Look } from "./colouring";
import { FilterBox, Legend, type Read } from "./Fields";

/** A share in two digits: also of a very small one something is left. */
const percent = (share: number): string => `${Number((100 * share).toPrecision(2))} %`;

const methodName = (method: string): string => METHODS[method] ?? method;
const spaceName = ({ spaces }: Collection, id: string): string => {
  const space = spaces.find((each) => each.id === id);
  return space ? `${space.encoder || space.id.slice(0, 8)} · ${space.dim.toLocaleString("en")} numbers` : id;
};

interface Props {
  collection: Collection;
  collections: Collection[];
  asked: Asked;
  go: Go;
  info: MapInfo | undefined;
}

// What another collection, or another way of drawing it, does not share.
const ALL_ELSE = {
  space: null,
  method: null,
  space2: null,
  method2: null,
  colour: null,
  filter: null,
  is: null,
  from: null,
  to: null,
  row: null,
  lasso: null,
  on: null,
};
const SHAPE = { lasso: null, on: null };

export function Toolbar({ collection, collections, asked, go, info }: Props) {
  const beside = asked.second;
  const first = info && { space: info.space, method: info.method };
  const toggle = (): void => {
    const other = collection.spaces.find(({ id }) => id !== first?.space)?.id ?? first?.space ?? null;
    go(
      beside
        ? { space2: null, method2: null, ...(asked.loop?.on === "second" ? SHAPE : {}) }
        : { space2: other, method2: first?.method ?? null },
    );
  };
  return (
    <div class="map-bar">
      <label class="field">
        Collection
        <select value={collection.name} onChange={(event) => go({ ...ALL_ELSE, collection: event.currentTarget.value })}>
          {collections.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <Which
        {...{ collection, go, info }}
        space={info?.space ?? asked.first.space}
        method={info?.method ?? asked.first.method}
        place=""
      />
      {beside && <Which {...{ collection, go, info }} space={beside.space} method={beside.method} place="2" />}
      <button type="button" aria-pressed={beside !== null} disabled={!info} onClick={toggle}>
        Two maps
      </button>
    </div>
  );
}

interface WhichProps {
  collection: Collection;
  go: Go;
  info: MapInfo | undefined;
  space: string | undefined;
  method: string | undefined;
  place: "" | "2";
}

function Which({ collection, go, info, space, method, place }: WhichProps) {
  const named = place ? "Second " : "";
  const methods = new Set([...(info?.methods ?? []), ...(method ? [method] : [])]);
  const shape = place ? {} : SHAPE;
  return (
    <>
      <label class="field">
        {named ? "Second model" : "Model"}
        <select
          value={space ?? ""}
          onChange={(event) => go({ [`space${place}`]: event.currentTarget.value, [`method${place}`]: method ?? null, ...shape })}
        >
          {!space && <option value="">…</option>}
          {collection.spaces.map(({ id }) => (
            <option key={id} value={id}>
              {spaceName(collection, id)}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        {named ? "Second method" : "Method"}
        <select
          value={method ?? ""}
          onChange={(event) => go({ [`method${place}`]: event.currentTarget.value, [`space${place}`]: space ?? null, ...shape })}
        >
          {!method && <option value="">…</option>}
          {[...methods].map((each) => (
            <option key={each} value={each}>
              {methodName(each)}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

export function QueryBox({ asked, go, busy }: { asked: Asked; go: Go; busy: boolean }) {
  const lit = asked.query !== "" || asked.row !== null;
  return (
    <form
      class="map-query row"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        const text = new FormData(event.currentTarget).get("q");
        go({ q: typeof text === "string" ? text.trim() : null, row: null });
      }}
    >
      <input
        key={asked.query}
        name="q"
        type="search"
        data-search
        aria-label="Light up what is nearest to"
        placeholder="Light up what is nearest to …"
        defaultValue={asked.query}
        autocomplete="off"
      />
      <label class="check small">
        <span class="soft">Nearest</span>
        <select
          aria-label="How many neighbours"
          value={String(asked.k)}
          onChange={(event) => go({ k: event.currentTarget.value })}
        >
          {[...new Set([...NEIGHBOURS, asked.k])]
            .sort((a, b) => a - b)
            .map((k) => (
              <option key={k}>{k}</option>
            ))}
        </select>
      </label>
      <button type="submit" class="primary" disabled={busy}>
        Find
      </button>
      {lit && (
        <button type="button" onClick={() => go({ q: null, row: null })}>
          Clear
        </button>
      )}
    </form>
  );
}

const TRUSTED = 0.25; // of the neighbours: with fewer kept, the picture misleads more than it shows

/** How many of the true neighbours stayed neighbours, in words and as a bar. */
export function Trust({ info, renew, name }: { info: MapInfo; renew: () => void; name?: string }) {
  const { kept, by_chance: chance, n, of } = info;
  const measured = typeof kept === "number" && Number.isFinite(kept);
  return (
    <section class="map-trust stack">
      <h2>{name ? `${name}: near stays near` : "Near stays near"}</h2>
      {measured ? (
        <>
          <p class="map-kept">
            <strong>{percent(kept)}</strong> <meter min={0} max={1} value={kept} aria-label="Share of neighbours kept" />
          </p>
          <p class="soft small">
            So many of a point's nearest vectors are near it on this {methodName(info.method)} map too; by chance{" "}
            {percent(chance)}. The rest lie elsewhere: far apart here need not mean unlike.
          </p>
        </>
      ) : (
        <p class="soft small" role="status">
          {info.measuring
            ? "Counting how many of a point's nearest vectors are near it here too …"
            : `Nobody measured how many neighbours this ${methodName(info.method)} map keeps.`}
        </p>
      )}
      {measured && (kept < TRUSTED || kept < 3 * chance) && (
        <p class="band" role="note">
          Few neighbours are kept. Groups on this map may not be groups, and what looks apart may be alike: ask for the neighbours
          of a point before you believe it{info.methods.some((each) => each !== info.method) ? ", or try another method" : ""}.
        </p>
      )}
      <p class="soft small">
        {n < of
          ? `${n.toLocaleString("en")} of ${of.toLocaleString("en")}, drawn by chance (seed ${info.seed})`
          : `All ${n.toLocaleString("en")}`}{" "}
        points.
      </p>
      {info.stale && (
        <p class="row small">
          The collection changed since this map was made.
          <button type="button" onClick={renew}>
            Make it anew
          </button>
        </p>
      )}
    </section>
  );
}

interface LookProps {
  info: MapInfo;
  asked: Asked;
  go: Go;
  coloured: Read;
  filtered: Read;
  colouring: Colouring;
  look: Look;
  shown: number;
}

const UNFILTERED = { is: null, from: null, to: null };

export function Looks({ info, asked, go, coloured, filtered, colouring, look, shown }: LookProps) {
  const fields = (label: string, value: string, none: string, choose: (name: string) => void) => (
    <label class="field">
      {label}
      <select value={value} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">{none}</option>
        {info.fields.map(({ name }) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
  return (
    <section class="stack">
      <h2>Colour and filter</h2>
      {info.fields.length === 0 && (
        <p class="soft small">The documents have no fields to colour by: give them metadata when they are ingested.</p>
      )}
      {info.fields.length > 0 && fields("Colour by", asked.colour, "nothing", (name) => go({ colour: name }))}
      {coloured.state === "failed" && <Failed error={coloured.error} />}
      {asked.colour && known(coloured) && <Legend name={asked.colour} colouring={colouring} look={look} />}
      {info.fields.length > 0 &&
        fields("Show only", asked.field, "everything", (name) => go({ filter: name, ...UNFILTERED, ...SHAPE }))}
      {filtered.state === "failed" && <Failed error={filtered.error} />}
      {asked.field && (
        <FilterBox
          read={filtered}
          filter={asked.filter}
          change={({ is, from, to }) =>
            go({ is, from: from === null ? null : String(from), to: to === null ? null : String(to) }, true)
          }
        />
      )}
      {shown < info.n && (
        <p class="small" role="status">
          {shown.toLocaleString("en")} of {info.n.toLocaleString("en")} points are shown.
        </p>
      )}
    </section>
  );
}
