import { describe, expect, it } from "vitest";
import { type Api, ApiError, type MapInfo } from "../api";
import { fetched } from "./planes";

describe("a map that is made when it is asked for", () => {
  it("is not told of once another one is wanted", async () => {
    const leaving = new AbortController();
    const told: unknown[] = [];
    const api = {
      map: () => Promise.reject(new ApiError(404, "There is no such map yet.", "", "map_not_made")),
      makeMap: () => {
        leaving.abort(); // another one is chosen while the server begins
        return Promise.resolve({ state: "making", method: "tsne" } as MapInfo);
      },
    } as unknown as Api;
    const map = fetched(api, { collection: "notes", method: "tsne" }, (info) => told.push(info), leaving.signal);
    await expect(map).rejects.toMatchObject({ name: "AbortError" });
    expect(told).toEqual([]);
  });
});
