// The map: where things lie by an encoder's vectors, what is near what, and how far the picture can be trusted. All that is chosen
// stands in the address; what is near comes from the vectors themselves, never from the picture.
import type { ScreenProps } from "../shell/App";
import { known, useLoad } from "../shell/load";
import { Empty, Failed, Loading } from "../shell/states";
import { type Change, changed, read } from "./asked";
import { Workplace } from "./Workplace";
import "./map.css";

export function MapScreen({ api, route }: ScreenProps) {
  const [collections, again] = useLoad((signal) => api.collections(signal), []);
  if (collections.state === "failed") return <Failed error={collections.error} again={again} />;
  const all = known(collections);
  if (!all) return <Loading what="Looking for collections" />;
  const drawable = all.filter((each) => !each.error && each.spaces.length > 0);
  if (!drawable.length) {
    return (
      <Empty title="There is nothing to draw">
        <p>
          A map shows the vectors of a collection. <code>vicino ingest FOLDER --collection NAME</code> makes one.
        </p>
      </Empty>
    );
  }
  const asked = read(route.params, drawable[0]!.name);
  const collection = drawable.find((each) => each.name === asked.first.collection);
  if (!collection) {
    return (
      <Empty title={`There is no map of “${asked.first.collection}”`}>
        <p class="row">
          {drawable.map(({ name }) => (
            <a key={name} href={route.href("/map", { collection: name })}>
              {name}
            </a>
          ))}
        </p>
      </Empty>
    );
  }
  const go = (change: Change, replace = false): void => route.go("/map", changed(route.params, change), { replace });
  return <Workplace key={collection.name} {...{ api, collection, asked, go }} collections={drawable} />;
}
