import { describe, expect, it } from "vitest";
import type { Result } from "../api";
import { compare, drawLots, identity, move, ndcg } from "./comparison";
import { plain, read, request, same, summary, write } from "./configuration";
import { count, fact, marked, milliseconds, percent, score } from "./words";

const result = (document: string, source = "notes"): Result => ({
  ...{ rank: 0, document, source, score: 1, start: 0, end: 1, title: "", text: "x", metadata: {} },
});
const results = (...names: string[]): Result[] => names.map((name) => result(name));

describe("comparing two rankings", () => {
  it("counts what is common, only here, and moved", () => {
    const told = compare(results("p", "q", "r"), results("q", "p", "s"));
    expect([told.common, told.only, told.moved]).toEqual([2, { a: 1, b: 1 }, 2]);
    expect(move(told, identity(result("p")), "a")).toBe(1);
    expect(move(told, identity(result("p")), "b")).toBe(-1);
    expect(move(told, identity(result("r")), "a")).toBeNull();
  });

  it("knows a document by its source and its id together", () => {
    expect(compare([result("p", "x")], [result("p", "y")]).common).toBe(0);
    expect(identity({ source: "a", document: "bc" })).not.toBe(identity({ source: "ab", document: "c" }));
  });

  it("says of nothing that nothing is there", () => {
    expect(compare([], [])).toMatchObject({ common: 0, only: { a: 0, b: 0 }, moved: 0 });
  });

  it("has the nDCG of vicino.metrics.ranking.ndcg", () => {
    const grades = new Map([["good", 3], ["poor", 1]]);
    expect(ndcg(["poor", "good"], grades)).toBeCloseTo(0.7967, 4);
    expect(ndcg(["good", "poor"], grades)).toBe(1);
    expect(ndcg(["other"], grades)).toBe(0);
    expect(ndcg(["other"], new Map([["other", 0]]))).toBeNull();
  });

  it("draws both lots", () => {
    expect(drawLots(() => 0.1)).toEqual({ left: "a", right: "b" });
    expect(drawLots(() => 0.9)).toEqual({ left: "b", right: "a" });
    const seen = new Set(Array.from({ length: 64 }, () => drawLots().left));
    expect(seen.size).toBe(2); // one chance in 2^63 to fail
  });
});

describe("a configuration in the address", () => {
  const odd = { collection: "a&b=c ü", mode: "hybrid", weight: 0.25, space: "minilm", rerank: "org/model", depth: 50, where: "lang = 'en' and x > 1" } as const;

  it("comes back as it went, beside another", () => {
    const params = new URLSearchParams();
    write(params, odd, "a.");
    write(params, plain("notes"), "b.");
    const reread = new URLSearchParams(params.toString());
    expect(read(reread, "a.")).toEqual(odd);
    expect(read(reread, "b.")).toEqual(plain("notes"));
    expect([...reread.keys()].filter((name) => name.startsWith("b."))).toEqual(["b.collection"]);
  });

  it("passes over what cannot be", () => {
    const params = new URLSearchParams("mode=toString&weight=7&depth=-3");
    expect(read(params)).toEqual(plain());
    expect(read(new URLSearchParams("weight=&depth=x"))).toEqual(plain());
  });

  it("takes away what became the default again", () => {
    const params = new URLSearchParams("mode=dense&where=x&q=kept");
    write(params, plain());
    expect(params.toString()).toBe("q=kept");
  });

  it("asks only what is set", () => {
    expect(request(plain("n"), "q", 5)).toEqual({ collection: "n", query: "q", k: 5, mode: "recipe" });
    expect(request({ ...plain("n", "lexical"), weight: 0.5, where: "  " }, "q", 5)).toEqual({ collection: "n", query: "q", k: 5, mode: "lexical" });
    expect(request({ ...odd, mode: "lexical" }, "q", 5)).not.toHaveProperty("space");
    expect(request(odd, "q", 5)).toMatchObject({ weight: 0.25, space: "minilm", rerank: "org/model", depth: 50, where: odd.where });
  });

  it("is the same where the same is asked", () => {
    expect(same(plain("n", "dense"), { ...plain("n", "dense"), weight: 0.3, depth: 7 })).toBe(true);
    expect(same(plain("n"), plain("m"))).toBe(false);
  });

  it("is told in a few words", () => {
    expect(summary(odd)).toBe("a&b=c ü · words and vectors · minilm · 25 % vectors · first 50 reranked by org/model · where lang = 'en' and x > 1");
  });
});

describe("words", () => {
  it("writes scores and times", () => {
    expect([0, 0.00012, 0.5, 1.234, 12.34, 123.4, Infinity].map(score)).toEqual(["0.000", "0.00012", "0.500", "1.23", "12.3", "123", "–"]);
    expect([0.05, 9.94, 12.6, 1500].map(milliseconds)).toEqual(["0.1 ms", "9.9 ms", "13 ms", "1.5 s"]);
  });

  it("never rounds a percentile up to all", () => {
    expect([100, 99.9999, 99.511, 50, 0].map(percent)).toEqual(["100 %", "99.99 %", "99.51 %", "50 %", "0 %"]);
  });

  it("counts", () => {
    expect([count(1, "query", "queries"), count(1234, "document")]).toEqual(["1 query", "1,234 documents"]);
  });

  it("flattens what documents carry", () => {
    expect([null, ["a", 1], { x: [1] }, true].map(fact)).toEqual(["–", "a, 1", '{"x":[1]}', "true"]);
  });

  it("marks words that begin with a stem, and gives back the whole text", () => {
    const text = "Wings hold; a swing does not. <b>WING</b>";
    const pieces = marked(text, ["wing"]);
    expect(pieces.join("")).toBe(text);
    expect(pieces.filter((_, at) => at % 2)).toEqual(["Wings", "WING"]);
    expect(marked("Größe größer", ["größ"]).filter((_, at) => at % 2)).toEqual(["Größe", "größer"]);
    expect(marked(text, [])).toEqual([text]);
    expect(marked("in indeed", ["in"]).filter((_, at) => at % 2)).toEqual(["in"]);
  });
});
