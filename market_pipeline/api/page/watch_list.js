/** The watch list: what is subscribed, with its last price and how far it is from the day before. */

import { changeOf, decimalsOf, element, isToday, secondsOf, writtenClock, writtenPrice, writtenTime } from "./formats.js";

export class WatchList {
  #list = document.getElementById("watch-list");
  #note = document.getElementById("watch-note");
  #rows = new Map();
  #charted = null;
  #reached = null;
  #choose;

  /** `choose(instrument)` is called with the one that was clicked. */
  constructor(choose) {
    this.#choose = choose;
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("focusin", (event) => this.#reach(event.target));
  }

  get ids() {
    return [...this.#rows.keys()];
  }

  find(id) {
    return this.#rows.get(id)?.instrument;
  }

  /** Take what the server lists; rows that stay keep the focus. */
  load({ instruments, next_cursor: more }) {
    const before = this.#rows;
    this.#rows = new Map(instruments.map((each) => [each.instrument_id, before.get(each.instrument_id) ?? this.#row(each)]));
    for (const each of instruments) this.#update(this.#rows.get(each.instrument_id), each);
    const items = [...this.#rows.values()].map((row) => row.item);
    if (items.some((item, place) => item !== this.#list.children[place]) || this.#list.children.length !== items.length) {
      this.#list.replaceChildren(...items);
    }
    if (!this.#reached?.isConnected) this.#reach(this.#rows.get(this.#charted)?.button ?? this.#list.querySelector("button"));
    this.#note.textContent = noteOf(instruments.length, more);
    this.#note.hidden = !this.#note.textContent;
  }

  /** Take live ticks; returns the instruments they are of. */
  add(ticks) {
    const newest = new Map(ticks.map((each) => [each.instrument_id, each]));
    for (const [id, tick] of newest) {
      const row = this.#rows.get(id);
      if (row) this.#update(row, { last_price: tick.last_price, time: tick.time, is_stale: false });
    }
    return newest;
  }

  /** Show which one the chart is of. */
  mark(id) {
    this.#charted = id;
    for (const [each, { button }] of this.#rows) markCurrent(button, each === id);
    const row = this.#rows.get(id);
    if (!row) return;
    this.#reveal(row.item);
    if (!this.#list.contains(document.activeElement)) this.#reach(row.button);
  }

  /** Let Tab come to one row; the arrow keys go on from there. */
  #reach(button) {
    if (this.#reached) this.#reached.tabIndex = -1;
    this.#reached = button;
    if (button) button.tabIndex = 0;
  }

  /** Scroll the list to a row, and nothing but the list. */
  #reveal(item) {
    const frame = this.#list.getBoundingClientRect();
    const { top, bottom } = item.getBoundingClientRect();
    this.#list.scrollTop += Math.min(top - frame.top, 0) + Math.max(bottom - frame.bottom, 0);
  }

  #row(instrument) {
    const parts = {
      price: element("span", "price"), change: element("span", "change"), detail: element("span", "muted detail"),
    };
    const symbol = element("span", "symbol", instrument.symbol);
    const button = element("button", "watched", symbol, parts.price, parts.detail, parts.change);
    button.type = "button";
    button.tabIndex = -1;
    markCurrent(button, instrument.instrument_id === this.#charted);
    const row = { ...parts, button, item: element("li", "", button), instrument: {} };
    button.addEventListener("click", () => this.#choose(row.instrument));
    return row;
  }

  #update(row, values) {
    const known = row.instrument;
    // An answer may be older than the last tick.
    const isOld = known.time && values.time && Date.parse(values.time) < Date.parse(known.time);
    row.instrument = { ...known, ...values, ...(isOld ? { time: known.time, last_price: known.last_price } : {}) };
    const { symbol, exchange, name, last_price: price, previous_close: before, time, is_stale: isStale, tick_size: tick } = row.instrument;
    const { text, spoken, direction } = changeOf(price, before);
    const written = writtenPrice(price, decimalsOf(tick));
    set(row.price, written);
    set(row.change, text);
    row.change.dataset.direction = direction;
    const last = lastOf(time);
    const isNamed = name !== symbol && (!time || isToday(time));
    set(row.detail, isStale ? `stale, ${last}` : `${exchange} · ${isNamed ? name : last}`);
    row.button.classList.toggle("stale", Boolean(isStale));
    row.button.setAttribute("aria-label", `${symbol}, ${exchange}: ${written}, ${spoken}${isStale ? ", stale" : ""}`);
  }

  #key(event) {
    const item = event.target.closest("li");
    if (!item) return;
    const next = {
      ArrowDown: item.nextElementSibling, ArrowUp: item.previousElementSibling,
      Home: this.#list.firstElementChild, End: this.#list.lastElementChild,
    }[event.key];
    if (!next) return;
    event.preventDefault();
    next.firstElementChild.focus();
  }
}

function lastOf(time) {
  if (!time) return "no tick yet";
  return `last ${isToday(time) ? writtenClock(time) : writtenTime(secondsOf(time), 1)}`;
}

function markCurrent(button, isCurrent) {
  if (isCurrent) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

function set(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function noteOf(number, more) {
  if (!number) return "Nothing is subscribed: `market-pipeline subscribe NSE:RELIANCE` does it.";
  return more ? `The first ${number}; there are more.` : "";
}
