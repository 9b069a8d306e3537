/** The live page: puts its parts together, and has the keys that work anywhere on it. */

import { Charted, INTERVALS } from "./charted.js";
import { element } from "./formats.js";
import { LiveTicks } from "./live_ticks.js";
import { Search } from "./search.js";
import { get } from "./server.js";
import { showConnection, showStatus } from "./status.js";
import { WatchList } from "./watch_list.js";

const STATUS_EVERY = 5_000;
const WATCH_LIST_EVERY = 30_000;
const PLACE = /^#id:(\d+)(?:\/(\w+))?$/;

const charted = new Charted(quote);
const watchList = new WatchList(open);
const search = new Search(open);
const live = new LiveTicks({
  state: showConnection,
  ticks: addTicks,
  candles: addCandles,
  missed: () => Promise.all([charted.reload(), charted.instrument ? readWatchList() : openFirst(), readStatus()]),
  ticksFlow: readWatchList,
  candlesFlow: () => charted.readEnd(),
});
let gapsSeen = null;

await charted.prepare();
addIntervals();
addEventListener("keydown", key);
live.connect();
readStatus();
await openFirst();
setInterval(() => {
  readStatus();
  if (!charted.instrument) openFirst();
}, STATUS_EVERY);
setInterval(readWatchList, WATCH_LIST_EVERY);

/** Open what the address names, or what stands first in the watch list. */
async function openFirst() {
  const [, id, name] = PLACE.exec(location.hash) ?? [];
  await readWatchList();
  const instrument = await attempt(() => id ? named(id) : first());
  const interval = INTERVALS.find((each) => each.name === name) ?? charted.interval;
  if (instrument && !charted.instrument) await open(instrument, interval);
}

/** Return an instrument; if there is none of that number, what stands first. */
async function named(id) {
  try {
    return await get(`api/instruments/id:${id}`);
  } catch (error) {
    if (error.status !== 404) throw error;
    return first();
  }
}

function first() {
  return watchList.find(watchList.ids[0]);
}

async function open(instrument, interval = charted.interval) {
  history.replaceState(null, "", `#id:${instrument.instrument_id}/${interval.name}`);
  document.querySelector(`#intervals input[value="${interval.name}"]`).checked = true;
  watchList.mark(instrument.instrument_id);
  live.chart(instrument.instrument_id);
  const opened = charted.open(instrument, interval);
  quote();
  await opened;
}

function addTicks(ticks) {
  if (watchList.add(ticks).has(charted.instrument?.instrument_id)) quote();
}

function addCandles(candles) {
  charted.add(candles);
  quote();
}

function quote() {
  if (!charted.instrument) return;
  const watched = watchList.find(charted.instrument.instrument_id);
  charted.quote(watched?.last_price ?? charted.lastPrice, watched?.previous_close ?? null);
}

async function readStatus() {
  const status = await attempt(() => get("api/ws/status"));
  if (!status) return;
  showStatus(status);
  // A gap that ends or is filled changes candles.
  const gaps = JSON.stringify(status.gaps_today.map((each) => [each.gap_id, each.ended_at, each.repaired_by]));
  if (gapsSeen !== null && gaps !== gapsSeen) charted.reload();
  gapsSeen = gaps;
}

async function readWatchList() {
  const listed = await attempt(() => get("api/watchlist"));
  if (!listed) return;
  watchList.load(listed);
  live.watch(watchList.ids);
  quote();
}

/** Return an answer, or nothing while the server is away: everything is read when it is back. */
async function attempt(ask) {
  try {
    return await ask();
  } catch (error) {
    console.warn(error.message);
    return null;
  }
}

function addIntervals() {
  const choices = INTERVALS.map(({ name }, place) => {
    const input = element("input");
    Object.assign(input, { type: "radio", name: "interval", value: name });
    input.setAttribute("aria-keyshortcuts", String(place + 1));
    input.addEventListener("change", () => choose(place));
    return element("label", "", input, element("span", "", name));
  });
  document.getElementById("intervals").append(...choices);
  choices[0].firstChild.checked = true;
}

function choose(place) {
  if (charted.instrument) open(charted.instrument, INTERVALS[place]);
  else charted.interval = INTERVALS[place];
}

function key(event) {
  const isWriting = event.target.matches("input:not([type=radio])") || document.querySelector("dialog[open]");
  if (isWriting || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    search.focus();
  } else if (INTERVALS[Number(event.key) - 1]) {
    document.querySelectorAll("#intervals input")[Number(event.key) - 1].checked = true;
    choose(Number(event.key) - 1);
  }
}
