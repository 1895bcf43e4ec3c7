// The two dialogs of the shell: the key, and what the keyboard can do.
import { useState } from "preact/hooks";
import { Dialog } from "./Dialog";
import { EVERYWHERE, KEYS, type Shortcut } from "./keys";
import type { Path } from "./router";
import { key, keyIsKept, setKey } from "./settings";

export function KeyDialog({ close, changed }: { close: () => void; changed: () => void }) {
  const [text, setText] = useState(key());
  const [keep, setKeep] = useState(keyIsKept());
  const use = (secret: string): void => {
    setKey(secret, keep);
    changed();
    close();
  };
  return (
    <Dialog title="Key" close={close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          use(text);
        }}
      >
        <p>
          A server that has keys wants one. <code>vicino keys add NAME</code> makes it, and shows it once.
        </p>
        <label class="field">
          Key
          <input type="password" autocomplete="off" spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <label class="check">
          <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.currentTarget.checked)} />
          Keep it on this device; otherwise it is forgotten with this tab
        </label>
        <p class="row">
          <button type="submit" class="primary">
            Use it
          </button>
          {key() && (
            <button type="button" onClick={() => use("")}>
              Forget it
            </button>
          )}
        </p>
      </form>
    </Dialog>
  );
}

export function HelpDialog({ path, close }: { path: Path; close: () => void }) {
  return (
    <Dialog title="Keyboard" close={close}>
      <div class="stack">
        {KEYS[path].length > 0 && <Shortcuts name="On this screen" rows={KEYS[path]} />}
        <Shortcuts name="Everywhere" rows={EVERYWHERE} />
      </div>
    </Dialog>
  );
}

function Shortcuts({ name, rows }: { name: string; rows: readonly Shortcut[] }) {
  return (
    <section>
      <h3>{name}</h3>
      <dl class="shortcuts">
        {rows.map(([keys, does]) => (
          <div key={keys}>
            <dt>
              {keys.split("  ").map((one) => (
                <kbd key={one}>{one}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
