/** How numbers and times are written. Times are India's, whatever the machine's zone. */

const ZONE = "Asia/Kolkata";
const DASH = "–";
const LEAST_DECIMALS = 2;
const MOST_DECIMALS = 6;

const clock = new Intl.DateTimeFormat("en-GB", {
  timeZone: ZONE, hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const minute = new Intl.DateTimeFormat("en-GB", {
  timeZone: ZONE, weekday: "short", day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit",
});
const day = new Intl.DateTimeFormat("en-GB", {
  timeZone: ZONE, weekday: "short", day: "2-digit", month: "short", year: "numeric",
});
const whole = new Intl.NumberFormat("en-IN", { maximumFractionDigits: 0 });
const byDecimals = new Map();
const shorts = new Map();

/** An instant of the API in seconds since 1970. */
export function secondsOf(instant) {
  return Date.parse(instant) / 1000;
}

export function writtenClock(instant) {
  return clock.format(new Date(instant));
}

export function isToday(instant) {
  return dayOf(secondsOf(instant)) === dayOf(Date.now() / 1000);
}

/** When a candle of so many minutes begins, in words; `seconds` since 1970. */
export function writtenTime(seconds, minutes) {
  return (minutes < 1440 ? minute : day).format(new Date(seconds * 1000));
}

/** The day in India of an instant in seconds since 1970. */
export function dayOf(seconds) {
  return day.format(new Date(seconds * 1000));
}

/** How many decimals prices have that move in steps of a tick size: 2 for 0.05, 4 for 0.0025. */
export function decimalsOf(tickSize) {
  const [, decimals = ""] = String(tickSize ?? "").split(".");
  return Math.min(Math.max(decimals.length, 2), 6);
}

export function writtenPrice(price, decimals = 2) {
  if (price === null || price === undefined) return DASH;
  if (!byDecimals.has(decimals)) {
    const options = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    byDecimals.set(decimals, new Intl.NumberFormat("en-IN", options));
  }
  return byDecimals.get(decimals).format(price);
}

export function writtenCount(count) {
  return count === null || count === undefined ? DASH : whole.format(count);
}

/** A count where there is little room: 36.31L for 36,31,000. */
export function writtenShort(count) {
  return shortWith(LEAST_DECIMALS).format(count);
}

/** Different counts so that they look different: 36.311L and 36.314L. */
export function writtenShorts(counts) {
  for (let decimals = LEAST_DECIMALS; ; decimals += 1) {
    const written = counts.map(shortWith(decimals).format);
    if (decimals === MOST_DECIMALS || new Set(written).size === written.length) return written;
  }
}

function shortWith(decimals) {
  if (!shorts.has(decimals)) {
    const options = { notation: "compact", minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    shorts.set(decimals, new Intl.NumberFormat("en-IN", options));
  }
  return shorts.get(decimals);
}

/** A change against a price before, with an arrow; `direction` is up, down or flat. */
export function changeOf(price, before) {
  if (!price || !before) return { text: DASH, spoken: "no change known", direction: "flat" };
  const percent = ((price - before) / before) * 100;
  const rounded = Math.abs(percent).toFixed(2);
  if (rounded === "0.00") return { text: "0.00 %", spoken: "unchanged", direction: "flat" };
  const isUp = percent > 0;
  return {
    text: `${isUp ? "▲ +" : "▼ −"}${rounded} %`,
    spoken: `${isUp ? "up" : "down"} ${rounded} percent`,
    direction: isUp ? "up" : "down",
  };
}

/** Make an element with a class and its content: texts and elements. */
export function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}
