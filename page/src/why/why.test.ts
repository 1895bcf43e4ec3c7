import { describe, expect, it } from "vitest";
import type { Result, Stage, Why } from "../api";
import { addsUp, lostAt, pieces } from "./places";

const result = (text: string, start: number, why: Why): Result => ({
  ...{ rank: 1, document: "d", source: "s", score: 1, end: start + text.length, title: "", metadata: {} },
  ...{ text, start, why },
});

describe("the text of a result", () => {
  it("is cut at the nearest passage, whose places are the document's", () => {
    const cut = pieces(result("One. Two. Three.", 100, { passage: { start: 105, end: 109 } }));
    expect(cut).toEqual([
      { text: "One. ", near: false, term: false },
      { text: "Two.", near: true, term: false },
      { text: " Three.", near: false, term: false },
    ]);
  });

  it("counts characters as Python does", () => {
    const cut = pieces(result("🛩️ wing", 0, { passage: { start: 3, end: 7 } }));
    expect(cut.find(({ near }) => near)?.text).toBe("wing");
  });

  it("marks found words, and loses no character", () => {
    const text = "Wings and <i>more</i> wings.";
    const cut = pieces(result(text, 7, { lexical: { score: 2, rank: 1, terms: [{ term: "wing", weight: 2, count: 2 }] } }));
    expect(cut.map((piece) => piece.text).join("")).toBe(text);
    expect(cut.filter(({ term }) => term).map((piece) => piece.text)).toEqual(["Wings", "wings"]);
    expect(cut.every(({ near }) => near)).toBe(true);
  });

  it("stands between what is before and after it", () => {
    const around = { start: 100, end: 104, before: "One. ", after: " Three <b>" };
    expect(pieces(result("Two.", 100, { passage: around }))).toEqual([
      { text: "… One. ", near: false, term: false },
      { text: "Two.", near: true, term: false },
      { text: " Three <b>", near: false, term: false },
    ]);
    expect(pieces(result("Two.", 5, { passage: { start: 5, end: 9, before: "One. ", after: "" } }))).toHaveLength(2);
  });

  it("bears places that lie elsewhere", () => {
    for (const passage of [{ start: 0, end: 5 }, { start: 900, end: 950 }, { start: 12, end: 11 }]) {
      expect(pieces(result("some text", 100, { passage })).map((piece) => piece.text).join("")).toBe("some text");
    }
  });
});

describe("fusion", () => {
  const part = (product: number) => ({ name: "bm25", rank: 1, weight: 1, share: 1, product });
  it("is checked, not believed", () => {
    expect(addsUp({ method: "weights", parts: [part(0.2), part(0.3)], sum: 0.5 })).toBe(true);
    expect(addsUp({ method: "weights", parts: [part(0.2), part(0.3)], sum: 0.6 })).toBe(false);
    expect(addsUp({ method: "weights", parts: [part(1 / 61), part(1 / 62)], sum: 0.0325 })).toBe(true);
  });
});

describe("where a document was lost", () => {
  const stage = (name: Stage["stage"], state: Stage["state"]): Stage => ({ stage: name, state, rank: null, score: null, needed: null, say: "" });
  it("is the first stage that put it out", () => {
    expect(lostAt([stage("filter", "passed"), stage("lexical", "missed"), stage("truncation", "out")])?.stage).toBe("truncation");
    expect(lostAt([stage("lexical", "missed"), stage("dense", "missed")])?.stage).toBe("dense");
    expect(lostAt([stage("filter", "passed"), stage("rerank", "not asked")])).toBeNull();
  });
});
