// Where the time of a search went: a bar, and the numbers beside it. Both sides share one scale.
import type { Timing } from "../api";
import { milliseconds } from "./words";

const STAGES = ["embed", "lexical", "dense", "fuse", "rerank", "fetch"] as const;

export function Timings({ timing, most }: { timing: Timing; most: number }) {
  const stages = STAGES.flatMap((stage) => {
    const took = timing[`${stage}_ms`];
    return took === undefined || took === null ? [] : [{ stage, took }];
  });
  const total = timing.total_ms ?? stages.reduce((sum, { took }) => sum + took, 0);
  let x = 0;
  return (
    <div class="timings">
      <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        <rect class="stage-rest" width={scaled(total, most)} height="4" />
        {stages.map(({ stage, took }) => {
          const width = scaled(took, most);
          x += width;
          return <rect key={stage} class={`stage-${stage}`} x={x - width} width={width} height="4" />;
        })}
      </svg>
      <ul>
        {stages.map(({ stage, took }) => (
          <li key={stage}>
            <i class={`stage-${stage}`} aria-hidden="true" />
            {stage} {milliseconds(took)}
          </li>
        ))}
        <li class="total">total {milliseconds(total)}</li>
      </ul>
    </div>
  );
}

const scaled = (took: number, most: number): number => (most > 0 ? Math.min(100, (100 * took) / most) : 0);
