// The box for the question, and who rates.
import { useLayoutEffect, useState } from "preact/hooks";
import { rater, setRater } from "../shell/settings";

export function SearchBox({ query, search, says = "What are you looking for?" }: { query: string; search: (query: string) => void; says?: string }) {
  const [text, setText] = useState(query);
  useLayoutEffect(() => setText(query), [query]); // at once: later it would take away what is typed by then
  return (
    <form
      class="ask"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) search(text.trim());
      }}
    >
      <input
        type="search"
        data-search
        aria-label="Question"
        placeholder={says}
        autocomplete="off"
        spellcheck={false}
        maxLength={10_000}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <button type="submit" class="primary">
        Search
      </button>
    </form>
  );
}

export function RaterField() {
  const [name, setName] = useState(rater());
  return (
    <label class="check rater">
      Rating as
      <input
        value={name}
        placeholder="anybody"
        autocomplete="off"
        spellcheck={false}
        maxLength={100}
        onInput={(event) => {
          setName(event.currentTarget.value);
          setRater(event.currentTarget.value);
        }}
      />
    </label>
  );
}
