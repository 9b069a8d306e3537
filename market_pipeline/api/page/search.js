/** The search field: a list of what the server finds, walked with the arrow keys. */

import { element } from "./formats.js";
import { get, reasonOf } from "./server.js";

const DEBOUNCE = 150;
const MOST = 12;

export class Search {
  #input = document.getElementById("search");
  #results = document.getElementById("results");
  #list = document.getElementById("found");
  #note = document.getElementById("search-note");
  #found = [];
  #active = -1;
  #isSearching = false;
  #isEntered = false;
  #timer = 0;
  #request = new AbortController();
  #choose;

  /** `choose(instrument)` is called with what was chosen. */
  constructor(choose) {
    this.#choose = choose;
    this.#input.addEventListener("input", () => this.#changed());
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("blur", () => this.#close());
    this.#input.addEventListener("focus", () => this.#changed());
    // The field keeps the focus, or its list would close before the click.
    this.#results.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("li");
      if (option) this.#take([...this.#list.children].indexOf(option));
    });
  }

  focus() {
    this.#input.focus();
    this.#input.select();
  }

  #changed() {
    clearTimeout(this.#timer);
    this.#request.abort();
    this.#isEntered = false;
    const text = this.#input.value.trim();
    this.#isSearching = Boolean(text);
    if (text) this.#timer = setTimeout(() => this.#search(text), DEBOUNCE);
    else this.#close();
  }

  async #search(text) {
    this.#request = new AbortController();
    try {
      const answer = await get("api/instruments/search", { q: text, limit: MOST }, this.#request.signal);
      this.#show(answer.instruments, noteOf(answer));
      if (this.#isEntered && !answer.is_similar) this.#take(0);
    } catch (error) {
      if (error.name !== "AbortError") this.#show([], reasonOf(error));
    }
  }

  #show(instruments, note) {
    this.#isSearching = false;
    this.#found = instruments;
    this.#list.replaceChildren(...instruments.map(option));
    this.#note.textContent = note;
    this.#note.hidden = !note;
    this.#results.hidden = document.activeElement !== this.#input;
    this.#input.setAttribute("aria-expanded", String(!this.#results.hidden && instruments.length > 0));
    this.#activate(instruments.length ? 0 : -1);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#request.abort();
    this.#isSearching = this.#isEntered = false;
    this.#results.hidden = true;
    this.#found = [];
    this.#input.setAttribute("aria-expanded", "false");
    this.#activate(-1);
  }

  #activate(place) {
    this.#active = place;
    [...this.#list.children].forEach((each, at) => each.setAttribute("aria-selected", String(at === place)));
    const active = this.#list.children[place];
    if (place < 0 || !active) {
      this.#input.removeAttribute("aria-activedescendant");
      return;
    }
    this.#input.setAttribute("aria-activedescendant", active.id);
    active.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const number = this.#found.length;
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps && number) {
      this.#activate((this.#active + steps[event.key] + number) % number);
    } else if (event.key === "Enter" && this.#isSearching) {
      this.#isEntered = true; // what is shown is of a text before
    } else if (event.key === "Enter" && number) {
      this.#take(this.#active);
    } else if (event.key === "Escape") {
      this.#input.value = "";
      this.#input.blur();
    } else {
      return;
    }
    event.preventDefault();
  }

  #take(place) {
    const chosen = this.#found[place];
    if (!chosen) return;
    this.#input.value = "";
    this.#input.blur();
    this.#choose(chosen);
  }
}

function option(instrument, place) {
  const { exchange, symbol, name, kind, expiry } = instrument;
  const made = element(
    "li", "option",
    element("span", "symbol", symbol),
    element("span", "kind", `${exchange} ${kind}`),
    element("span", "muted", expiry ? `expires ${expiry}` : name === symbol ? "" : name),
  );
  made.id = `found-${place}`;
  made.setAttribute("role", "option");
  return made;
}

function noteOf({ instruments, is_similar: isSimilar, has_more: hasMore }) {
  if (!instruments.length) return "Nothing is called so.";
  if (isSimilar) return "Nothing is called so; these are similar.";
  return hasMore ? "There are more: say more." : "";
}
