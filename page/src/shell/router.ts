// Where the page stands: a path and a query string, both in the address bar, so that every view can be linked and reloaded.
import { useEffect, useState } from "preact/hooks";

export const PATHS = ["/evidence", "/map", "/search", "/why"] as const;
export type Path = (typeof PATHS)[number];

export interface Route {
  path: Path;
  params: URLSearchParams; // read only: go somewhere to change it
  go(path: Path, params: URLSearchParams | Record<string, string>, options?: { replace?: boolean }): void;
  href(path: Path, params?: URLSearchParams | Record<string, string>): string;
}

export const HOME: Path = "/search";

export const isPath = (text: string): text is Path => (PATHS as readonly string[]).includes(text);

export function href(path: Path, params: URLSearchParams | Record<string, string> = {}): string {
  const asked = new URLSearchParams(params).toString();
  return asked ? `${path}?${asked}` : path;
}

/** The path that an address means; an unknown one is home. */
export const pathOf = (pathname: string): Path => {
  const trimmed = pathname.replace(/\/+$/, "");
  return isPath(trimmed) ? trimmed : HOME;
};

export function useRoute(): Route {
  const [at, setAt] = useState(() => here());
  useEffect(() => {
    const moved = (): void => setAt(here());
    addEventListener("popstate", moved);
    return () => removeEventListener("popstate", moved);
  }, []);
  return {
    ...at,
    href,
    go: (path, params, { replace = false } = {}) => {
      const target = href(path, params);
      if (target === location.pathname + location.search) return;
      history[replace ? "replaceState" : "pushState"](null, "", target);
      if (!replace) scrollTo(0, 0);
      setAt(here());
    },
  };
}

const here = (): { path: Path; params: URLSearchParams } => ({
  path: pathOf(location.pathname),
  params: new URLSearchParams(location.search),
});

/** Follow links of the page itself without loading it again. Others, and those opened in a new tab, are the browser's. */
export function follow(event: MouseEvent, route: Route): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.target || link.hash || link.hasAttribute("download") || link.origin !== location.origin || !isPath(link.pathname)) return;
  event.preventDefault();
  route.go(link.pathname, new URLSearchParams(link.search));
}
