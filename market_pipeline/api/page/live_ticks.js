/**
 * The WebSocket of live ticks and candles, which comes back by itself; its messages are told in
 * api/live/endpoint.py.
 */

import { apiKey, isPassing, waitAfter } from "./server.js";

// The server sends a heartbeat every 5 seconds.
const SILENCE = 16_000;
const DATABASE_AWAY = "database away";
const AS_PROTOCOL = /^[\w!#$%&'*+.^`|~-]+$/;

export class LiveTicks {
  #socket = null;
  #seq = null;
  #awaited = null;
  #wasConnected = false;
  #isDatabaseAway = false;
  #failures = 0;
  #watchdog = 0;
  #retry = 0;
  #watched = [];
  #charted = null;
  #told;

  /**
   * `told` has what is called: state(name); ticks([...]) and candles([...]); missed() when something
   * was not sent, or may have been, while there was no connection or no database; ticksFlow() and
   * candlesFlow() when what was asked for comes from now on, so that what is read now has everything before.
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
      if (socket !== this.#socket) return;
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
    this.#isDatabaseAway = false;
    if (this.#seq && this.#watched.length) this.#send({ action: "resume", seq: this.#seq });
    if (this.#watched.length) this.#ask("subscribe", this.#watched);
    if (this.#charted !== null) this.#ask("candles", [this.#charted]);
    this.#awaited = this.#charted !== null ? "candles_subscribed" : this.#watched.length ? "subscribed" : null;
    if (!this.#awaited) this.#connected();
  }

  /** All that was asked for when it opened is answered: only now does it come. */
  #connected() {
    this.#awaited = null;
    this.#failures = 0;
    this.#told.state("connected");
    if (this.#wasConnected) this.#told.missed();
    this.#wasConnected = true;
  }

  #receive(message) {
    // Ticks from before a subscription may still be on their way: it tells only of streams that are new.
    if (message.seq) this.#seq = message.type === "subscribed" ? { ...message.seq, ...this.#seq } : message.seq;
    if (message.type === this.#awaited) this.#connected();
    switch (message.type) {
      case "ticks":
        this.#told.ticks(message.ticks);
        if (message.lost) this.#told.missed();
        break;
      case "candles":
        this.#told.candles(message.candles);
        if (message.lost) this.#told.missed();
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
        this.#databaseIs(message.database === "available");
        break;
      case "error":
        this.#refused(message.problem);
    }
  }

  #databaseIs(isAvailable) {
    const isBack = isAvailable && this.#isDatabaseAway;
    this.#isDatabaseAway = !isAvailable;
    if (!isAvailable) this.#told.state(DATABASE_AWAY);
    else if (!this.#awaited) this.#told.state("connected");
    if (isBack) this.#told.missed();
  }

  /** Ask for everything again, by and by, if that can help: an error does not say of what it is. */
  #refused({ type, status, detail }) {
    console.warn(detail);
    if (isPassing(status)) this.#leave(type.endsWith(":database-unavailable") ? DATABASE_AWAY : "reconnecting");
    else if (this.#awaited) this.#connected();
  }

  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#leave("reconnecting"), SILENCE);
  }

  #leave(state) {
    const left = this.#socket;
    this.#closed(state);
    left.close();
  }

  #closed(state = "reconnecting") {
    clearTimeout(this.#watchdog);
    this.#socket = null;
    this.#failures += 1;
    this.#told.state(state);
    this.#retry = setTimeout(() => this.#connectNow(), waitAfter(this.#failures));
  }

  #connectNow() {
    if (this.#socket) return;
    clearTimeout(this.#retry);
    this.connect();
  }
}
