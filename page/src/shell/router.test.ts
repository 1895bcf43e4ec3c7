import { describe, expect, it } from "vitest";
import { GOES, KEYS } from "./keys";
import { HOME, href, isPath, PATHS, pathOf } from "./router";

describe("addresses", () => {
  it("name a screen, and home otherwise", () => {
    expect(pathOf("/why/")).toBe("/why");
    expect(["/", "", "/nowhere", "/search/x"].map(pathOf)).toEqual([HOME, HOME, HOME, HOME]);
    expect(isPath("/toString")).toBe(false);
  });

  it("carry what a person wrote", () => {
    expect(href("/search", { q: "a&b = ü?" })).toBe("/search?q=a%26b+%3D+%C3%BC%3F");
    expect(href("/map")).toBe("/map");
  });

  it("can all be reached by the keyboard", () => {
    expect(new Set(Object.values(GOES))).toEqual(new Set(PATHS));
    expect(Object.keys(KEYS).sort()).toEqual([...PATHS].sort());
  });
});
