/**
 * The WebSocket of live ticks and candles, which comes back by itself; its messages are told in
 * api/live/endpoint.py.
 */

import { apiKey } from "./server.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 8_000;
// The server sends a heartbeat every 5 seconds.
const SILENCE = 16_000;
const AS_PROTOCOL = /^[\w!#$%&'*+.^`|~-]+$/;

export class LiveTicks {
  #socket = null;
  #seq = null;
  #wasOpen = false;
  #failures = 0;
  #watchdog = 0;
  #retry = 0;
  #watched = [];
  #charted = null;
  #told;

  /**
   * `told` has what is called: state(name); ticks([...]) and candles([...]); missed() when something
   * was not sent, or may have been while there was no connection; ticksFlow() and candlesFlow() when
   * what was asked for comes from now on, so that what is read now has everything before.
   */
  constructor(told) {
    this.#told = told;
    addEventListener("online", () => this.#connectNow());
  }

  connect() {
    const key = apiKey();
    const url = new URL("api/ws/ticks", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const protocols = ["market-pipeline"];
    if (key && AS_PROTOCOL.test(key)) protocols.push(`key.${key}`);
    else if (key) url.searchParams.set("api_key", key);
    const socket = new WebSocket(url, protocols);
    this.#socket = socket;
    this.#watch();
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => {
      this.#watch();
      this.#receive(JSON.parse(event.data));
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#closed();
    };
  }

  /** Have the ticks of these instruments, by instrument_id. */
  watch(ids) {
    const gone = this.#watched.filter((id) => !ids.includes(id));
    const added = ids.filter((id) => !this.#watched.includes(id));
    this.#watched = ids;
    // This ends its candles as well: the charted one is asked for again.
    if (gone.length) this.#ask("unsubscribe", gone);
    if (added.length) this.#ask("subscribe", added);
    if (gone.includes(this.#charted)) this.#ask("candles", [this.#charted]);
  }

  /** Have the candles of one instrument in place of those of another. */
  chart(id) {
    const before = this.#charted;
    this.#charted = id;
    if (before !== null && before !== id) {
      this.#ask("unsubscribe", [before]);
      if (this.#watched.includes(before)) this.#ask("subscribe", [before]);
    }
    this.#ask("candles", [id]);
  }

  #ask(action, ids) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return; // asked for when it opens
    this.#send({ action, instruments: ids.map((id) => `id:${id}`) });
  }

  #send(request) {
    this.#socket.send(JSON.stringify(request));
  }

  #opened() {
    this.#failures = 0;
    if (this.#seq && this.#watched.length) this.#send({ action: "resume", seq: this.#seq });
    if (this.#watched.length) this.#ask("subscribe", this.#watched);
    if (this.#charted !== null) this.#ask("candles", [this.#charted]);
    this.#told.state("connected");
    if (this.#wasOpen) this.#told.missed();
    this.#wasOpen = true;
  }

  #receive(message) {
    if (message.seq) this.#seq = message.seq;
    switch (message.type) {
      case "ticks":
        this.#told.ticks(message.ticks);
        if (message.lost) this.#told.missed();
        break;
      case "candles":
        this.#told.candles(message.candles);
        break;
      case "subscribed":
      case "resumed":
        this.#told.ticksFlow();
        break;
      case "candles_subscribed":
        this.#told.candlesFlow();
        break;
      case "resume_failed":
      case "missed":
        this.#told.missed();
        break;
      case "heartbeat":
      case "status":
        this.#told.state(message.database === "available" ? "connected" : "database away");
        break;
      case "error":
        console.warn(message.problem.detail);
    }
  }

  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      const silent = this.#socket;
      this.#closed();
      silent.close();
    }, SILENCE);
  }

  #closed() {
    clearTimeout(this.#watchdog);
    this.#socket = null;
    const wait = Math.min(FIRST_WAIT * 2 ** this.#failures, LONGEST_WAIT);
    this.#failures += 1;
    this.#told.state("reconnecting");
    // Not all pages at once.
    this.#retry = setTimeout(() => this.#connectNow(), wait * (0.75 + Math.random() / 2));
  }

  #connectNow() {
    if (this.#socket) return;
    clearTimeout(this.#retry);
    this.connect();
  }
}
