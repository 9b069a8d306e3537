/** What the streams do, today's gaps, and whether there is a connection to the server. */

import { element, writtenClock, writtenCount } from "./formats.js";

const streams = document.getElementById("streams");
const gaps = document.getElementById("gaps");
const connection = document.getElementById("connection");
const LASTS = "lasts";

/** Say how the connection is: connecting, connected, reconnecting or database away. */
export function showConnection(state) {
  if (connection.textContent !== state) connection.textContent = state; // each change is read out
  connection.dataset.state = state.split(" ")[0];
  // What was live is grey meanwhile: nobody is to take it for what is.
  document.body.classList.toggle("away", ["reconnecting", "database"].includes(connection.dataset.state));
}

/** Show an answer of GET /api/ws/status. */
export function showStatus(status) {
  const none = status.is_streaming ? "No stream runs now." : "Streaming was stopped.";
  fill(streams, status.streams.map(stream), none);
  fill(gaps, status.gaps_today.map(gap), "None.");
}

function fill(list, items, none) {
  list.replaceChildren(...(items.length ? items : [element("li", "muted", none)]));
}

function stream(row) {
  const state = row.is_alive || ["stopped", "failed"].includes(row.state) ? row.state : "no sign of life";
  const name = element("span", "badge", state.replaceAll("_", " "));
  name.dataset.state = row.is_alive && row.state === "streaming" ? "live" : "down";
  const facts = row.is_alive ? working(row) : [`last sign of life ${writtenClock(row.heartbeat_at)}`];
  const lines = [element("span", "symbol", row.stream), name, element("span", "muted facts", facts.join(" · "))];
  if (row.detail) lines.push(element("span", "facts", row.detail));
  return element("li", "stream", ...lines);
}

function counted(count, what) {
  return `${writtenCount(count)} ${what}${count === 1 ? "" : "s"}`;
}

function working(row) {
  const facts = [
    row.lag_ms === null ? "lag unknown" : `lag ${writtenCount(row.lag_ms)} ms`,
    `${writtenCount(row.ticks_per_second)} ticks/s`,
    counted(row.instruments, "instrument"),
  ];
  if (row.reconnects) facts.push(counted(row.reconnects, "reconnection"));
  if (row.stale_instruments) facts.push(`${writtenCount(row.stale_instruments)} stale`);
  return facts;
}

function gap(row) {
  const until = row.ended_at ? writtenClock(row.ended_at) : "now";
  const scope = row.instruments ? counted(row.instruments, "instrument") : "all instruments";
  const [state, how] = outcome(row);
  const badge = element("span", "badge", state);
  if (state === LASTS) badge.dataset.state = "down";
  return element(
    "li", "gap",
    element("span", "times", `${writtenClock(row.started_at)} – ${until}`),
    badge,
    element("span", "muted facts", `${row.stream}, ${scope}: ${row.cause}`),
    ...(how ? [element("span", "facts", how)] : []),
  );
}

/** What became of a gap, in a word and in full. */
function outcome(row) {
  if (row.covered_by) return ["covered", `${row.covered_by} made the candles`];
  if (!row.ended_at) return [LASTS, ""];
  if (row.repaired_by) return ["filled", row.repaired_by];
  return ["not filled", row.repair_failure ?? ""];
}
