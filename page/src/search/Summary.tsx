// What the two lists have in common, how much moved, and how good each is by the ratings given so far.
import type { Compared } from "./comparison";
import { score } from "./words";

interface SummaryProps {
  compared: Compared;
  names: readonly [string, string];
  quality: readonly [number | null, number | null]; // nDCG by the ratings
  rated: number;
  k: number;
}

export function Summary({ compared, names, quality, rated, k }: SummaryProps) {
  const { common, only, moved } = compared;
  const all = common + only.a + only.b;
  return (
    <section class="summary" aria-label="Comparison">
      <svg viewBox={`0 0 ${Math.max(1, all)} 1`} preserveAspectRatio="none" aria-hidden="true">
        <rect class="share-a" width={only.a} height="1" />
        <rect class="share-both" x={only.a} width={common} height="1" />
        <rect class="share-b" x={only.a + common} width={only.b} height="1" />
      </svg>
      <div role="status">
      <dl>
        <Figure name={`only ${names[0]}`} value={only.a} look="a" />
        <Figure name="in common" value={common} />
        {common > 0 && <Figure name="of them at another rank" value={moved} />}
        <Figure name={`only ${names[1]}`} value={only.b} look="b" />
        {rated > 0 && (
          <div>
            <dt>
              nDCG@{k} by {rated} rating{rated === 1 ? "" : "s"}
            </dt>
            <dd>
              {quality[0] === null || quality[1] === null
                ? "nothing relevant yet"
                : `${names[0]} ${score(quality[0])} · ${names[1]} ${score(quality[1])}`}
            </dd>
          </div>
        )}
      </dl>
      </div>
    </section>
  );
}

function Figure({ name, value, look = "" }: { name: string; value: number; look?: string }) {
  return (
    <div class={look}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
