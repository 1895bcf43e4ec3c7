// The page's colours as numbers: a canvas cannot read the style sheet.
import { useEffect, useState } from "preact/hooks";
import type { Look } from "./colouring";
import type { Rgb } from "./paint";

/** A colour as the browser computes it; black where it is none. */
export function rgb(text: string): Rgb {
  const [red = 0, green = 0, blue = 0] = (text.match(/[\d.]+/g) ?? []).map(Number);
  return [red, green, blue];
}

const luminance = ([red, green, blue]: Rgb): number => (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;

function now(): Look {
  const probe = document.createElement("i");
  probe.className = "map-paper";
  probe.hidden = true;
  document.body.append(probe);
  const paper = rgb(getComputedStyle(probe).backgroundColor);
  probe.remove();
  return { paper, dark: luminance(paper) < 0.5 };
}

/** Light or dark, as the page is now; follows the system and the page's own theme. */
export function useLook(): Look {
  const [look, setLook] = useState(now);
  useEffect(() => {
    const changed = (): void => setLook(now());
    const system = matchMedia("(prefers-color-scheme: dark)");
    const theme = new MutationObserver(changed);
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    system.addEventListener("change", changed);
    changed(); // the style sheet may have come after the first look
    return () => {
      theme.disconnect();
      system.removeEventListener("change", changed);
    };
  }, []);
  return look;
}
