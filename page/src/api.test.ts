import { describe, expect, it } from "vitest";
import { ApiError, connect } from "./api";

function fake(status: number, body: unknown, headers: Record<string, string> = {}) {
  const asked: { path: string; init: RequestInit }[] = [];
  const ask = (async (path: string, init: RequestInit) => {
    asked.push({ path, init });
    const content = body instanceof ArrayBuffer ? body : typeof body === "string" ? body : JSON.stringify(body);
    return new Response(content, { status, headers });
  }) as unknown as typeof fetch;
  return { ask, asked };
}

const failure = async (promise: Promise<unknown>): Promise<ApiError> => {
  const error = await promise.then(() => null, (reason: unknown) => reason);
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
};

describe("the client", () => {
  it("asks with the key of that moment", async () => {
    const { ask, asked } = fake(200, { collections: [] });
    let key = "";
    const api = connect(() => key, ask);
    await api.collections();
    key = "secret";
    await api.collections();
    const sent = asked.map(({ init }) => new Headers(init.headers).get("Authorization"));
    expect(sent).toEqual([null, "Bearer secret"]);
  });

  it("tells what was refused, and what mends it", async () => {
    const error = { message: "no collection 'nots'", mend: "did you mean notes?", code: "unknown_name", type: "x", request_id: "r1" };
    const { ask } = fake(404, { error });
    const told = await failure(connect(() => "", ask).search({ collection: "nots", query: "q" }));
    expect(told).toMatchObject({ status: 404, message: error.message, mend: error.mend, code: "unknown_name", requestId: "r1", retryAfter: null });
  });

  it("knows how long to wait", async () => {
    const { ask } = fake(429, { error: { message: "busy" } }, { "Retry-After": "2" });
    expect((await failure(connect(() => "", ask).studies())).retryAfter).toBe(2);
  });

  it("makes sense of answers that are not the server's own", async () => {
    for (const body of ["<html>502</html>", "null", '{"error": "text"}', '{"error": {"message": 5}}']) {
      const told = await failure(connect(() => "", fake(502, body).ask).studies());
      expect(told.message).toMatch(/502/);
    }
  });

  it("says that nobody answers, but not of a request that was taken back", async () => {
    const gone = (async () => Promise.reject(new TypeError("fetch failed"))) as unknown as typeof fetch;
    expect((await failure(connect(() => "", gone).studies())).status).toBe(0);
    const left = (async () => Promise.reject(new DOMException("left", "AbortError"))) as unknown as typeof fetch;
    await expect(connect(() => "", left).studies()).rejects.toMatchObject({ name: "AbortError" });
  });

  it("writes every name into the address so that it stays one name", async () => {
    const { ask, asked } = fake(200, new Float32Array([1, 2]).buffer as ArrayBuffer);
    const api = connect(() => "", ask);
    const choice = { collection: "../a b?c", space: "s&t", method: "pca" };
    expect([...(await api.mapCoordinates(choice))]).toEqual([1, 2]);
    expect(asked[0]?.path).toBe("/api/collections/..%2Fa%20b%3Fc/map/coordinates?space=s%26t&method=pca");
    await api.unjudge("x/y", "n");
    expect(asked[1]).toMatchObject({ path: "/api/judgments/x%2Fy?collection=n", init: { method: "DELETE" } });
  });

  it("reads fields of the map by their kind", async () => {
    const { ask } = fake(200, new Uint16Array([0, 65535]).buffer as ArrayBuffer);
    const api = connect(() => "", ask);
    expect(await api.mapField({ collection: "n" }, { name: "lang", kind: "text", values: ["en"] })).toEqual(new Uint16Array([0, 65535]));
    expect(await api.mapField({ collection: "n" }, { name: "year", kind: "number" })).toBeInstanceOf(Float32Array);
  });
});
