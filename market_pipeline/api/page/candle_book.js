/**
 * The candles of one instrument and length: those the server has, and the minute that is being made.
 *
 * Only the server knows where a candle begins, since that depends on the exchange's hours. So a minute
 * that lies behind the last candle makes no new one, unless candles are of one minute: `add` says
 * that the end has to be read again. Times are seconds since 1970.
 */

import { dayOf, secondsOf } from "./formats.js";

const MINUTE = 60;
// So many live minutes are remembered, as answers may be older than they are.
const MOST_LIVE = 10;

export class CandleBook {
  /** In the order of time; the last may still change. */
  candles = [];
  #length;
  #minutes = new Map();
  #live = new Map();
  #late = Infinity;

  constructor(minutes) {
    this.#length = minutes * MINUTE;
  }

  get last() {
    return this.candles.at(-1);
  }

  /** From when on to read again: from the candle before the last, or one that a late tick has changed. */
  get tail() {
    const before = this.candles.at(-2) ?? this.last;
    const late = this.candles.findLast((each) => each.time <= this.#late) ?? before;
    return before && Math.min(before.time, late.time);
  }

  /** Take the server's candles in place of those from the first of them on; `minutes`: of the last. */
  load(candles, minutes) {
    const loaded = candles.map(read);
    const begin = loaded[0]?.time ?? Infinity;
    this.candles = [...this.candles.filter((each) => each.time < begin), ...loaded];
    this.#minutes = new Map(minutes.map(read).map((each) => [each.time, each]));
    if (begin <= this.#late) this.#late = Infinity;
    // Those before the last candle are in the answer: what came while it was read is read again.
    const live = [...this.#live.values()].filter((each) => this.#length === MINUTE || each.time >= this.last?.time);
    return live.map((each) => this.#merge(each)).some((result) => result.isBehind);
  }

  /** Add older candles of the server before those that are there. */
  prepend(candles) {
    const older = candles.map(read).filter((each) => !this.candles.length || each.time < this.candles[0].time);
    this.candles = [...older, ...this.candles];
  }

  /** Add a live minute; `changed` is the candle it has changed, `isBehind`: read the end again. */
  add(message) {
    if (message.open === null) return {};
    const minute = { ...read(message), state: "provisional" };
    this.#live.set(minute.time, minute);
    if (this.#live.size > MOST_LIVE) this.#live.delete(this.#live.keys().next().value);
    return this.#merge(minute);
  }

  #merge(minute) {
    return this.#length === MINUTE ? this.#mergeMinute(minute) : this.#mergeIntoLast(minute);
  }

  #mergeMinute(minute) {
    const place = this.candles.findLastIndex((each) => each.time <= minute.time);
    const known = this.candles[place];
    if (known?.time !== minute.time) {
      this.candles.splice(place + 1, 0, minute);
      return { changed: minute, isNew: true };
    }
    if (!isNewer(minute, known)) return {};
    const changed = { ...minute, has_gap: known.has_gap };
    this.candles[place] = changed;
    return { changed };
  }

  #mergeIntoLast(minute) {
    const last = this.last;
    if (!last) return { isBehind: true };
    if (minute.time < last.time) {
      this.#late = Math.min(this.#late, minute.time);
      return { isBehind: true };
    }
    const isWithin = minute.time < last.time + this.#length && dayOf(minute.time) === dayOf(last.time);
    if (!isWithin) return { isBehind: true };
    const known = this.#minutes.get(minute.time);
    if (known && !isNewer(minute, known)) return {};
    this.#minutes.set(minute.time, minute);
    const changed = { ...folded([...this.#minutes.values()]), time: last.time, state: last.state, has_gap: last.has_gap };
    this.candles[this.candles.length - 1] = changed;
    return { changed };
  }
}

function read(candle) {
  return { ...candle, time: secondsOf(candle.time), has_gap: candle.has_gap ?? false };
}

/** Whether a live minute knows more than what the server answered; the broker's candles stay. */
function isNewer(live, known) {
  return known.state === "provisional" && live.trades >= (known.trades ?? 0);
}

/** One candle of several minutes, in any order. */
function folded(minutes) {
  const ordered = minutes.toSorted((a, b) => a.time - b.time);
  const volumes = ordered.map((each) => each.volume).filter((each) => each !== null);
  return {
    open: ordered[0].open,
    high: Math.max(...ordered.map((each) => each.high)),
    low: Math.min(...ordered.map((each) => each.low)),
    close: ordered.at(-1).close,
    volume: volumes.length ? volumes.reduce((sum, each) => sum + each, 0) : null,
    open_interest: ordered.map((each) => each.open_interest).findLast((each) => each !== null) ?? null,
    trades: ordered.reduce((sum, each) => sum + (each.trades ?? 0), 0),
  };
}
