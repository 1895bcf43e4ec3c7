// What a view shows when there is nothing to show yet: it is coming, it is empty, or it went wrong; each says what to do next.
import type { ComponentChildren } from "preact";
import { ApiError } from "../api";

export function Loading({ what }: { what: string }) {
  return (
    <div class="state" role="status">
      <span class="pulse" aria-hidden="true" />
      <p>{what}</p>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="state">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function NoCollections() {
  return (
    <Empty title="No collection yet">
      <p>
        Make one and reload: <code>vicino ingest notes/ --collection notes</code>
      </p>
    </Empty>
  );
}

/** An error, what mends it, and a button to try again. Asks for a key where one is missing. */
export function Failed({ error, again }: { error: unknown; again?: () => void }) {
  const told = error instanceof ApiError ? error : new ApiError(0, error instanceof Error ? error.message : String(error));
  const [first, ...details] = told.message.split("\n"); // a filter that is none is shown with a mark below it
  return (
    <div class="state failed" role="alert">
      <h2>{first}</h2>
      {details.length > 0 && <pre>{details.join("\n")}</pre>}
      {told.mend && <p>{told.mend}</p>}
      {told.retryAfter !== null && <p>The server asks to wait {Math.ceil(told.retryAfter)} s.</p>}
      <p class="row">
        {told.status === 401 || told.status === 403 ? <KeyButton /> : null}
        {again && (
          <button type="button" onClick={again}>
            Try again
          </button>
        )}
      </p>
      {told.requestId && (
        <p class="soft small">
          Request <code>{told.requestId}</code>: the server's log has it under this name.
        </p>
      )}
    </div>
  );
}

/** Opens the dialog for the key, wherever it stands: the shell listens (App.tsx). */
export const ASK_KEY = "vicino:key";

function KeyButton() {
  return (
    <button type="button" class="primary" onClick={() => dispatchEvent(new Event(ASK_KEY))}>
      Enter a key
    </button>
  );
}
