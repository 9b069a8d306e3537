/** Draws candles, their volume and open interest, and tells which candle is under the cursor. */

import { decimalsOf, writtenPrice, writtenShort, writtenShorts } from "./formats.js";

const IST_SECONDS = 19_800; // the library writes UTC: it is told India's clock
const CANDLE_PIXELS = 9;
const WIDE_CANDLE_PIXELS = 24;
const MARGIN_CANDLES = 4;
const FEW_CANDLES = 10;
const LEAST_WIDTH_FOR_TWO_SCALES = 520;

/** The chart; `library` is the module of lightweight-charts. */
export class Chart {
  #library;
  #chart;
  #series;
  #volume;
  #interest;
  #markers;
  #frame;
  #candles = [];
  #byTime = new Map();
  #cursor = null;
  #keyed = null;
  #colours;
  #told;

  /**
   * `told` has what is called: point(candle) with the candle under the cursor, or the last;
   * nearBeginning() when there are few candles left to the left of what is seen.
   */
  constructor(library, frame, told) {
    this.#library = library;
    this.#frame = frame;
    this.#told = told;
    this.#chart = library.createChart(frame, this.#options());
    this.#addSeries();
    this.#colour();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#colour());
    this.#chart.subscribeCrosshairMove((event) => {
      if (event.sourceEvent) this.#keyed = null; // the mouse takes it from the keys, a scale that moves does not
      this.#cursor = event.time ?? null;
      told.point(this.#pointedAt());
    });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < FEW_CANDLES) told.nearBeginning();
    });
    new ResizeObserver(() => this.#fitScales()).observe(frame);
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #options() {
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    return {
      autoSize: true,
      // The logo brings a style of its own, which the page's policy forbids; the footer has the notice.
      layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily },
      localization: { locale: "en-GB" },
      kineticScroll: { touch: !isCalm, mouse: false },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: MARGIN_CANDLES },
      leftPriceScale: { visible: false },
    };
  }

  #addSeries() {
    const { CandlestickSeries, HistogramSeries, LineSeries, createSeriesMarkers } = this.#library;
    this.#volume = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
    this.#interest = this.#chart.addSeries(LineSeries, {
      priceScaleId: "left", lineWidth: 1, visible: false,
      priceFormat: { type: "custom", minMove: 1, formatter: writtenShort, tickmarksFormatter: writtenShorts },
      lastValueVisible: false, priceLineVisible: false, crosshairMarkerVisible: false,
    });
    this.#series = this.#chart.addSeries(CandlestickSeries, { priceScaleId: "right" });
    const margins = { top: 0.12, bottom: 0.24 };
    this.#series.priceScale().applyOptions({ scaleMargins: margins });
    this.#interest.priceScale().applyOptions({ scaleMargins: margins });
    this.#markers = createSeriesMarkers(this.#series, []);
  }

  /** Take the colours of the style sheet, which knows whether it is dark. */
  #colour() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    const names = ["up", "down", "up-faint", "down-faint", "interest", "gap", "repair"];
    this.#colours = Object.fromEntries(names.map((name) => [name, of(name)]));
    const { up, down, interest } = this.#colours;
    const line = of("line");
    this.#chart.applyOptions({
      layout: { background: { color: of("surface") }, textColor: of("muted") },
      grid: { vertLines: { color: of("grid") }, horzLines: { color: of("grid") } },
      timeScale: { borderColor: line },
      rightPriceScale: { borderColor: line },
      leftPriceScale: { borderColor: line },
    });
    this.#series.applyOptions({
      upColor: up, wickUpColor: up, borderUpColor: up, downColor: down, wickDownColor: down, borderDownColor: down,
    });
    this.#interest.applyOptions({ color: interest });
    this.draw(this.#candles);
  }

  /** Begin with another instrument or length. */
  begin(tickSize, minutes) {
    const precision = decimalsOf(tickSize);
    const formatter = (price) => writtenPrice(price, precision);
    this.#series.applyOptions({ priceFormat: { type: "custom", minMove: 10 ** -precision, formatter } });
    this.#chart.timeScale().applyOptions({ timeVisible: minutes < 1440 });
    this.#series.priceScale().applyOptions({ autoScale: true });
    this.#keyed = null;
    this.draw([]);
  }

  /** Draw all candles. */
  draw(candles) {
    this.#candles = candles;
    this.#byTime = new Map(candles.map((each) => [shifted(each.time), each]));
    this.#series.setData(candles.map(bar));
    this.#volume.setData(candles.map((each) => this.#volumeBar(each)));
    const hasInterest = candles.some((each) => each.open_interest);
    this.#interest.setData(hasInterest ? candles.map(interestPoint) : []);
    this.#interest.applyOptions({ visible: hasInterest });
    this.#fitScales();
    this.#mark();
    this.#pointByKey();
    this.#tell();
  }

  /** Draw one candle that has changed or is new; `candles` has it already. */
  update(candles, changed, isNew) {
    const isLast = changed === candles.at(-1);
    if (isNew && !isLast) { // the library adds at the end alone
      this.draw(candles);
      return;
    }
    this.#candles = candles;
    this.#byTime.set(shifted(changed.time), changed);
    this.#series.update(bar(changed), !isLast);
    this.#volume.update(this.#volumeBar(changed), !isLast);
    if (this.#interest.options().visible) this.#interest.update(interestPoint(changed), !isLast);
    this.#tell();
  }

  /** Show the newest candles, as many as there is room for; a few are drawn wider. */
  showNewest() {
    const width = this.#frame.clientWidth;
    const number = Math.min(Math.max(this.#candles.length, width / WIDE_CANDLE_PIXELS), width / CANDLE_PIXELS);
    const end = this.#candles.length + MARGIN_CANDLES;
    this.#chart.timeScale().setVisibleLogicalRange({ from: end - number, to: end });
  }

  /** Show the scale of open interest where there is room; its line is there anyway. */
  #fitScales() {
    const isWide = this.#frame.clientWidth >= LEAST_WIDTH_FOR_TWO_SCALES;
    const visible = isWide && this.#interest.options().visible;
    this.#chart.applyOptions({ leftPriceScale: { visible } });
    this.#frame.dataset.scales = visible ? 2 : 1;
  }

  #tell() {
    this.#frame.dataset.candles = this.#candles.length;
    this.#told.point(this.#pointedAt());
  }

  #pointedAt() {
    return this.#byTime.get(this.#keyed ?? this.#cursor) ?? this.#candles.at(-1) ?? null;
  }

  #mark() {
    const { gap, repair } = this.#colours;
    const markers = [];
    for (const each of this.#candles) {
      const time = shifted(each.time);
      if (each.state === "repaired") markers.push({ time, position: "aboveBar", shape: "square", color: repair, size: 0.5 });
      if (each.has_gap) markers.push({ time, position: "belowBar", shape: "circle", color: gap, size: 0.5 });
    }
    this.#markers.setMarkers(markers);
  }

  #volumeBar(candle) {
    const time = shifted(candle.time);
    if (candle.volume === null) return { time };
    const name = candle.close >= candle.open ? "up-faint" : "down-faint";
    return { time, value: candle.volume, color: this.#colours[name] };
  }

  /** Keys are the chart's where it has the focus; arrows and Escape also where nothing has. */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isOwn = event.target === this.#frame || (event.target === document.body && !["Home", "End"].includes(event.key));
    if (!isOwn) return;
    if (event.key === "Escape") this.#leave();
    else this.#move(event);
  }

  #leave() {
    this.#keyed = this.#cursor = null;
    this.#chart.clearCrosshairPosition();
    this.#told.point(this.#pointedAt());
  }

  /** Move the cursor by keys. */
  #move(event) {
    const last = this.#candles.length - 1;
    const at = this.#candles.indexOf(this.#pointedAt());
    const place = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (place === undefined || last < 0) return;
    event.preventDefault();
    const candle = this.#candles[Math.min(Math.max(place, 0), last)];
    this.#reveal(this.#candles.indexOf(candle));
    this.#keyed = shifted(candle.time);
    this.#pointByKey();
    this.#told.point(candle);
  }

  #pointByKey() {
    const candle = this.#byTime.get(this.#keyed);
    if (candle) this.#chart.setCrosshairPosition(candle.close, this.#keyed, this.#series);
  }

  #reveal(place) {
    const scale = this.#chart.timeScale();
    const { from, to } = scale.getVisibleLogicalRange();
    const by = place < from ? place - from : place > to ? place - to : 0;
    if (by) scale.setVisibleLogicalRange({ from: from + by, to: to + by });
  }
}

function shifted(seconds) {
  return seconds + IST_SECONDS;
}

function bar({ time, open, high, low, close }) {
  return { time: shifted(time), open, high, low, close };
}

function interestPoint({ time, open_interest: value }) {
  return value === null ? { time: shifted(time) } : { time: shifted(time), value };
}
