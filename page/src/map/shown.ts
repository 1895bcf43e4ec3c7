// Which points are shown, and in which colours: by the two fields that the address names.
import { useMemo } from "preact/hooks";
import type { Api } from "../api";
import { known } from "../shell/load";
import type { Asked } from "./asked";
import { colour, type Colouring, hiding, type Look, passing, plain } from "./colouring";
import type { Read } from "./Fields";
import { type Plane, useField } from "./planes";

export interface Shown {
  coloured: Read;
  filtered: Read;
  passed: Uint8Array | null; // by the filter; null for all
  colouring: Colouring;
  tint: Uint8Array; // of each point, hidden ones too
  shown: number; // points that pass
}

export function useShown(api: Api, plane: Plane, { colour: by, field, filter }: Asked, look: Look): Shown {
  const { n } = plane.info;
  const [coloured] = useField(api, plane, by);
  const [filtered] = useField(api, plane, field);
  const passed = useMemo(() => {
    const loaded = known(filtered);
    return loaded?.field.name === field && loaded.values.length === n ? passing(loaded.field, loaded.values, filter) : null;
  }, [filtered, field, n, JSON.stringify(filter)]);
  const colouring = useMemo(() => {
    const loaded = known(coloured);
    return loaded?.field.name === by && loaded.values.length === n ? colour(loaded.field, loaded.values, look) : plain(n, look);
  }, [coloured, by, n, look]);
  const tint = useMemo(() => hiding(colouring.tint, passed), [colouring, passed]);
  const shown = useMemo(() => passed?.reduce((sum, one) => sum + one, 0) ?? n, [passed, n]);
  return { coloured, filtered, passed, colouring, tint, shown };
}
