// Numbers and values as words: how the page writes scores, times and what documents carry.

/** Three significant digits, and never an exponent for the sizes that scores have. */
export function score(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size > 0 && size < 0.001) return value.toPrecision(2);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

export const milliseconds = (value: number): string =>
  value >= 1000 ? `${(value / 1000).toFixed(1)} s` : value >= 10 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;

/** Of a value in percent; what is not all is never rounded up to all. */
export const percent = (value: number): string =>
  value > 99 && value < 100 ? `${Math.min(99.99, Number(value.toFixed(2)))} %` : `${Number(value.toFixed(1))} %`;

export const count = (number: number, one: string, many = `${one}s`): string => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** What a document carries, flat: lists joined, deep things as JSON. */
export function fact(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (Array.isArray(value)) return value.map(fact).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * Cut a text where its words begin with one of the terms. Terms are those of the index, stems perhaps, so that "wing" marks "wings".
 * Even pieces are plain, odd ones are marked.
 */
export function marked(text: string, terms: readonly string[]): string[] {
  const wanted = [...new Set(terms.map((term) => term.normalize("NFKC").toLowerCase()))].filter((term) => term.length > 1);
  if (wanted.length === 0) return [text];
  const pieces: string[] = [];
  let plain = 0;
  for (const found of text.matchAll(/[\p{L}\p{N}\p{M}_]+/gu)) {
    const word = found[0].normalize("NFKC").toLowerCase();
    if (!wanted.some((term) => word === term || (word.startsWith(term) && term.length >= 3 && word.length <= term.length + 4))) continue;
    pieces.push(text.slice(plain, found.index), found[0]);
    plain = found.index + found[0].length;
  }
  pieces.push(text.slice(plain));
  return pieces;
}
