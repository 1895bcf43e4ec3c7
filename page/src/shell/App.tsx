// The house of the page: where to go, the key, the theme, the help; and the screen that the address names.
import type { ComponentType } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Api, connect } from "../api";
import { HelpDialog, KeyDialog } from "./dialogs";
import { GOES, meant } from "./keys";
import { follow, type Path, type Route, useRoute } from "./router";
import { key, setTheme, type Theme, theme } from "./settings";
import { ASK_KEY, Failed, Loading } from "./states";

export interface ScreenProps {
  api: Api;
  route: Route;
}
type Screen = ComponentType<ScreenProps>;

// Each screen is a file of its own that comes when it is first opened.
const SCREENS: Record<Path, { name: string; title: string; load: () => Promise<Screen> }> = {
  "/evidence": { name: "Evidence", title: "Evidence", load: async () => (await import("../evidence/EvidenceScreen")).EvidenceScreen },
  "/map": { name: "Map", title: "Map", load: async () => (await import("../map/MapScreen")).MapScreen },
  "/search": { name: "Search", title: "Search A | B", load: async () => (await import("../search/SearchScreen")).SearchScreen },
  "/why": { name: "Why", title: "Why", load: async () => (await import("../why/WhyScreen")).WhyScreen },
};

export function App() {
  const route = useRoute();
  const [dialog, setDialog] = useState<"key" | "help" | null>(null);
  const [keyed, setKeyed] = useState(0); // how often the key changed: screens begin anew with another key
  const api = useMemo(() => connect(key), []);
  useShellKeys(route, () => setDialog("help"));
  useEffect(() => {
    const ask = (): void => setDialog("key");
    addEventListener(ASK_KEY, ask);
    return () => removeEventListener(ASK_KEY, ask);
  }, []);
  useEffect(() => {
    document.title = `${SCREENS[route.path].title} · vicino`;
  }, [route.path]);
  return (
    <div class="house" onClick={(event) => follow(event, route)}>
      <a class="skip" href="#screen">
        To the content
      </a>
      <header class="bar">
        <a class="brand" href="/search">
          <Mark />
          vicino
        </a>
        <nav aria-label="Screens">
          {Object.entries(SCREENS).map(([path, { name }]) => (
            <a key={path} href={path} aria-current={path === route.path ? "page" : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <div class="tools">
          <ThemeButton />
          <button type="button" class="quiet" title="Key" aria-label="Key" onClick={() => setDialog("key")}>
            <Icon path="M9.6 10a3.1 3.1 0 1 1-6.2 0 3.1 3.1 0 0 1 6.2 0ZM9.6 10H17v2.6M13.8 10v2.1" />
          </button>
          <button type="button" class="quiet" title="Keyboard help (?)" aria-label="Keyboard help" onClick={() => setDialog("help")}>
            <Icon path="M7 7.4a3 3 0 1 1 4.4 2.7c-.9.5-1.4 1-1.4 2.1M10 15.4v.1" />
          </button>
        </div>
      </header>
      <main id="screen" tabindex={-1}>
        <Shown key={`${route.path} ${keyed}`} api={api} route={route} />
      </main>
      {dialog === "key" && <KeyDialog close={() => setDialog(null)} changed={() => setKeyed(keyed + 1)} />}
      {dialog === "help" && <HelpDialog path={route.path} close={() => setDialog(null)} />}
    </div>
  );
}

function Shown({ api, route }: ScreenProps) {
  const [screen, setScreen] = useState<{ it: Screen } | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    SCREENS[route.path].load().then((it) => setScreen({ it }), setError);
  }, []);
  if (error) return <Failed error={error} again={() => location.reload()} />;
  if (!screen) return <Loading what="Opening …" />;
  return <screen.it api={api} route={route} />;
}

function useShellKeys(route: Route, help: () => void): void {
  const going = useRef(0); // until when a letter after `g` names a screen
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && event.target instanceof HTMLInputElement) event.target.blur();
      if (!meant(event)) return;
      const goes = performance.now() < going.current ? GOES[event.key] : undefined;
      going.current = event.key === "g" ? performance.now() + 1500 : 0;
      const box = event.key === "/" ? document.querySelector<HTMLInputElement>("[data-search]") : null;
      if (goes) route.go(goes, {});
      else if (event.key === "?") help();
      else if (box) {
        box.focus();
        box.select();
      } else return;
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    addEventListener("keydown", pressed, { capture: true });
    return () => removeEventListener("keydown", pressed, { capture: true });
  });
}

const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const LOOKS: Record<Theme, string> = {
  auto: "M10 4a6 6 0 1 0 0 12V4Z M10 4a6 6 0 0 1 0 12",
  light:
    "M10 6.8a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4Z M10 2.5v1.7M10 15.8v1.7M2.5 10h1.7M15.8 10h1.7 " +
    "M4.7 4.7l1.2 1.2M14.1 14.1l1.2 1.2M15.3 4.7l-1.2 1.2M5.9 14.1l-1.2 1.2",
  dark: "M15.8 11.8A6.2 6.2 0 0 1 8.2 4.2a6.2 6.2 0 1 0 7.6 7.6Z",
};

function ThemeButton() {
  const [chosen, choose] = useState(theme());
  const says = `Theme: ${chosen === "auto" ? "as the system" : chosen}`;
  const next = (): void => {
    setTheme(NEXT[chosen]);
    choose(NEXT[chosen]);
  };
  return (
    <button type="button" class="quiet" title={says} aria-label={says} onClick={next}>
      <Icon path={LOOKS[chosen]} filled={chosen === "auto"} />
    </button>
  );
}

function Icon({ path, filled = false }: { path: string; filled?: boolean }) {
  return (
    <svg class={filled ? "icon half" : "icon"} viewBox="0 0 20 20" aria-hidden="true">
      {path.split(/ (?=M)/).map((part) => (
        <path key={part} d={part} />
      ))}
    </svg>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="9" cy="11" r="5.5" class="mark-a" />
      <circle cx="18" cy="16" r="3.5" class="mark-b" />
    </svg>
  );
}
