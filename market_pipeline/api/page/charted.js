/** The instrument that is charted: reads its candles, keeps them live, and shows them in words. */

import { CandleBook } from "./candle_book.js";
import { Chart } from "./chart.js";
import { changeOf, decimalsOf, element, writtenCount, writtenPrice, writtenTime } from "./formats.js";
import { get, isPassing, reasonOf, waitAfter } from "./server.js";

const AGAIN = 1_000;
const MOST = 10_000;
const DAY = 86_400_000;
const LONGEST_AGO = 365 * DAY;

/** Names, minutes and how many days of them are read. */
export const INTERVALS = [
  { name: "1m", minutes: 1, days: 5 },
  { name: "3m", minutes: 3, days: 10 },
  { name: "5m", minutes: 5, days: 15 },
  { name: "15m", minutes: 15, days: 40 },
  { name: "1h", minutes: 60, days: 90 },
  { name: "1d", minutes: 1440, days: 365 },
];

const MISSING_LIBRARY = "The chart library is missing. `make page` gets it (it needs Node.js 18 or newer); then load "
  + "this page again. Watch list and status work without it.";

export class Charted {
  instrument = null;
  interval = INTERVALS[0];
  #chart = null;
  #book = new CandleBook(1);
  #request = new AbortController();
  #again = 0;
  #loading = null;
  #unread = Infinity;
  #isOpened = false;
  #failures = 0;
  #retry = 0;
  #earliest = 0;
  #hasEarlier = false;
  #frame = document.getElementById("chart");
  #note = document.getElementById("chart-note");
  #legend = document.getElementById("legend");
  #loaded;

  /** `loaded()` is called whenever candles were read. */
  constructor(loaded) {
    this.#loaded = loaded;
  }

  /** Load the chart library, which may be missing; what is live works without. */
  async prepare() {
    try {
      const library = await import("./vendor/lightweight-charts.js");
      this.#chart = new Chart(library, this.#frame, {
        point: (candle) => this.#describe(candle),
        nearBeginning: () => this.readEarlier(),
      });
    } catch (error) {
      console.warn(error.message);
      this.#frame.hidden = true;
      this.#say(MISSING_LIBRARY);
    }
  }

  /** Show an instrument at an interval. */
  async open(instrument, interval) {
    const isOther = instrument.instrument_id !== this.instrument?.instrument_id;
    this.instrument = instrument;
    this.interval = interval;
    this.#book = new CandleBook(interval.minutes);
    this.#earliest = Date.now() - interval.days * DAY;
    this.#hasEarlier = true;
    this.#unread = Infinity;
    this.#failures = 0;
    this.#isOpened = true;
    document.getElementById("instrument").textContent = instrument.symbol;
    const about = [instrument.exchange, instrument.kind, instrument.name === instrument.symbol ? "" : instrument.name];
    document.getElementById("instrument-name").textContent = about.filter(Boolean).join(" · ");
    if (isOther) this.quote(null, null);
    this.#describe(null);
    this.#chart?.begin(instrument.tick_size, interval.minutes);
    await this.reload();
  }

  /** Read all candles again, as when something was missed or repaired. */
  async reload() {
    if (!this.instrument) return;
    // The newest may be old: a day may be replayed, or trading have ended.
    const newest = Math.min(Date.now(), this.#book.last ? this.#book.last.time * 1000 : Infinity);
    await this.#load(newest - this.interval.days * DAY);
  }

  /** Read candles before those that are there, unless something is being read or there are none. */
  readEarlier() {
    if (this.#loading || !this.#hasEarlier || !this.#book.last) return;
    this.#reading(async (signal) => {
      const since = this.#earliest - this.interval.days * DAY;
      const candles = await this.#read(this.interval.name, since, this.#earliest, signal);
      this.#earliest = since;
      this.#hasEarlier = candles.length > 0;
      this.#book.prepend(candles);
      this.#chart.draw(this.#book.candles);
    });
  }

  /** Read the last candles again: soon, once, and after what is being read. */
  readEnd() {
    this.#again ||= setTimeout(async () => {
      this.#again = 0;
      await this.#loading;
      if (this.#book.tail) this.#load(this.#book.tail * 1000);
      else this.reload();
    }, AGAIN);
  }

  /** Take live minutes. */
  add(candles) {
    for (const each of candles) {
      if (each.instrument_id !== this.instrument?.instrument_id) continue;
      const { changed, isNew, isBehind } = this.#book.add(each);
      if (changed) this.#chart?.update(this.#book.candles, changed, isNew);
      if (isBehind) this.readEnd();
      if (changed && this.#unread === Infinity) this.#say("");
    }
  }

  /** Show the last price, and how far it is from the close of the day before. */
  quote(price, previousClose) {
    const place = document.getElementById("quote");
    const written = price === null ? "" : writtenPrice(price, decimalsOf(this.instrument.tick_size));
    const { text, direction } = changeOf(price, previousClose);
    const change = element("span", "change", previousClose ? text : "");
    change.dataset.direction = direction;
    place.replaceChildren(element("span", "price", written), change);
    document.title = written ? `${this.instrument.symbol} ${written}` : "market_pipeline";
  }

  get lastPrice() {
    return this.#book.last?.close ?? null;
  }

  /** Read the candles from then on, and what was to be read before and is not; again until it is. */
  #load(from) {
    clearTimeout(this.#retry);
    const since = Math.min(from, this.#unread);
    this.#unread = since;
    return this.#reading(async (signal) => {
      const lately = await this.#read(this.interval.name, since, null, signal);
      const candles = lately.length || this.#book.last ? lately : await this.#readOld(signal);
      const isLonger = this.interval.minutes > 1 && candles.length;
      const begin = isLonger ? Date.parse(candles.at(-1).time) : 0;
      const minutes = isLonger ? await this.#read("1m", begin, null, signal) : [];
      const isBehind = this.#book.load(candles, minutes);
      this.#unread = Infinity;
      this.#failures = 0;
      this.#chart.draw(this.#book.candles);
      if (this.#isOpened) this.#chart.showNewest();
      this.#isOpened = false;
      this.#say(this.#book.last ? "" : "No candles in the last year.");
      if (isBehind) this.readEnd();
      this.#loaded();
    }, () => this.#load(since));
  }

  /** Read in place of what is being read; if that fails say what is wrong, and try `again` by and by. */
  #reading(read, again = null) {
    if (!this.#chart) return null;
    this.#request.abort();
    const request = new AbortController();
    this.#request = request;
    this.#loading = read(request.signal).catch((error) => {
      if (request.signal.aborted) return;
      const isTried = again && (error instanceof TypeError || isPassing(error.status));
      this.#say(`${reasonOf(error)}${isTried ? " Trying again." : ""}`);
      if (!isTried) return;
      this.#failures += 1;
      this.#retry = setTimeout(again, waitAfter(this.#failures));
    }).finally(() => {
      if (request === this.#request) this.#loading = null;
    });
    return this.#loading;
  }

  /** Return the last candles of an instrument that has none lately. */
  async #readOld(signal) {
    const days = await this.#read("1d", Date.now() - LONGEST_AGO, null, signal);
    if (!days.length) return [];
    this.#earliest = Date.parse(days.at(-1).time) - this.interval.days * DAY;
    return this.#read(this.interval.name, this.#earliest, null, signal);
  }

  /** Return the candles of a period; times in milliseconds since 1970, up to now unless it says. */
  async #read(interval, since, until, signal) {
    const asked = { instrument: `id:${this.instrument.instrument_id}`, interval, limit: MOST, from: new Date(since).toISOString() };
    if (until) asked.to = new Date(until).toISOString();
    const candles = [];
    for (let cursor = ""; cursor !== null;) {
      const page = await get("api/historical/candles", cursor ? { ...asked, cursor } : asked, signal);
      candles.push(...page.candles);
      cursor = page.next_cursor;
    }
    return candles;
  }

  #say(text) {
    if (this.#note.textContent !== text) this.#note.textContent = text;
    this.#note.hidden = !text;
  }

  /** Show a candle in words: in the legend, and for those who do not see the chart. */
  #describe(candle) {
    const facts = candle ? this.#facts(candle) : [];
    this.#legend.replaceChildren(...facts.map(([name, value]) =>
      element("div", name.length > 2 ? "long" : "", element("dt", name.length > 2 ? "unseen" : "", name), element("dd", "", value))));
    this.#legend.dataset.direction = !candle || candle.close === candle.open ? "flat" : candle.close > candle.open ? "up" : "down";
    const words = facts.map(([name, value]) => `${name} ${value}`).join(", ");
    this.#frame.setAttribute("aria-label", `Candle chart of ${this.instrument?.symbol ?? "nothing"}. ${words}`);
    for (const [id, isThere] of [["gap-mark", (each) => each.has_gap], ["repair-mark", (each) => each.state === "repaired"]]) {
      document.getElementById(id).hidden = !this.#book.candles.some(isThere);
    }
  }

  #facts(candle) {
    const price = (value) => writtenPrice(value, decimalsOf(this.instrument.tick_size));
    const facts = [
      ["Begins", writtenTime(candle.time, this.interval.minutes)],
      ["O", price(candle.open)], ["H", price(candle.high)], ["L", price(candle.low)], ["C", price(candle.close)],
      ["V", writtenCount(candle.volume)],
    ];
    if (candle.open_interest) facts.push(["OI", writtenCount(candle.open_interest)]);
    facts.push(["State", candle.has_gap ? `${candle.state}, touches a gap` : candle.state]);
    return facts;
  }
}
