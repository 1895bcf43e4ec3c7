// What the page remembers on this device: the theme, who rates, and, where asked, the key. Storage that is refused is done without.

export type Theme = "auto" | "light" | "dark";

const THEMES: readonly Theme[] = ["auto", "light", "dark"];

function read(storage: () => Storage, name: string): string {
  try {
    return storage().getItem(name) ?? "";
  } catch {
    return "";
  }
}

function write(storage: () => Storage, name: string, value: string): void {
  try {
    if (value) storage().setItem(name, value);
    else storage().removeItem(name);
  } catch {
    // private windows may refuse: then it holds until the page is left
  }
}

const device = (): Storage => localStorage;
const visit = (): Storage => sessionStorage;

export const theme = (): Theme => THEMES.find((one) => one === read(device, "vicino.theme")) ?? "auto";

export function setTheme(chosen: Theme): void {
  write(device, "vicino.theme", chosen === "auto" ? "" : chosen);
  showTheme(chosen);
}

/** Colours follow `color-scheme` (style.css); a theme that was chosen overrides the system's. */
export function showTheme(chosen: Theme): void {
  if (chosen === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosen;
}

export const rater = (): string => read(device, "vicino.rater");
export const setRater = (name: string): void => write(device, "vicino.rater", name.trim());

let secret = read(visit, "vicino.key") || read(device, "vicino.key");

export const key = (): string => secret;
export const keyIsKept = (): boolean => read(device, "vicino.key") !== "";

/** Use this key from now on: for this visit, or until it is taken away where `keep`. */
export function setKey(text: string, keep: boolean): void {
  secret = text.trim();
  write(visit, "vicino.key", secret);
  write(device, "vicino.key", keep ? secret : "");
}
