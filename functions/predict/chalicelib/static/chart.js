// Forecast against realized, drawn anew only when its data, its width or its unit has changed.
const chart = { points: [], unit: "hour", at: null, seen: "" };
const LEFT = 46, RIGHT = 14, TOP = 28, BOTTOM = 38;
const scaled = (value) => chart.unit === "year" ? value * Math.sqrt(HOURS_PER_YEAR) : value;
const digits = () => chart.unit === "year" ? 1 : 3;

function showChart(points, facts) {
  const box = byId("chart"), width = Math.round(box.clientWidth), height = Math.round(box.clientHeight);
  const seen = JSON.stringify([facts, width, height, chart.unit]);
  if (seen === chart.seen || !width) return;
  Object.assign(chart, { points, facts, width, height, seen });
  const readout = byId("readout") || el("div", { id: "readout", hidden: "" });
  if (!points.length) {
    box.replaceChildren(el("p", { class: "note" }, "No forecasts of past hours are on record yet."));
    return;
  }
  scale();
  chart.cursor = svg("g", {});
  box.replaceChildren(svg("svg", { width, height, "aria-hidden": "true" }, ...axes(), zone(), ...lines(), ...rug(), now(), chart.cursor), readout);
  box.setAttribute("aria-label", summary());
  box.setAttribute("aria-valuemax", points.length - 1);
  point(chart.at);
}

function scale() {
  const { points, width, height } = chart;
  chart.first = points[0].at;
  chart.last = points[points.length - 1].at;
  const tops = points.flatMap((p) => [p.realized, p.forecast, p.har]).filter(isNumber);
  const ends = points.map((p) => p.upper).filter(isNumber).sort((a, b) => a - b);
  // One wild interval must not flatten all the rest: the band may leave the picture, the lines may not.
  const band = ends.length ? Math.min(ends[ends.length - 1], 1.6 * Math.max(...tops)) : 0;
  const most = scaled(Math.max(...tops, band, 1e-9)) * 1.03;
  chart.step = nice(most / (height < 300 ? 4 : 5));
  chart.most = most;
  chart.x = (at) => LEFT + (at - chart.first) / Math.max(chart.last - chart.first, 1) * (width - LEFT - RIGHT);
  chart.y = (value) => height - BOTTOM - Math.min(scaled(value) / most, 1.2) * (height - TOP - BOTTOM);
}

function nice(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].find((each) => each * power >= rough) * power;
}

function axes() {
  const { width, height, first, last } = chart, made = [];
  for (let value = 0; value <= chart.most; value += chart.step) {
    const y = height - BOTTOM - value / chart.most * (height - TOP - BOTTOM);
    const text = Number((value * 100).toPrecision(3)) + "%";
    made.push(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
      svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, text));
  }
  const days = Math.max(1, Math.ceil((last - first) / 86400 / Math.max(2, Math.floor((width - LEFT) / 75))));
  made.push(svg("text", { x: LEFT - 40, y: 16 }, `volatility per ${chart.unit}`));
  const start = Math.ceil(first / 86400) * 86400;
  for (let at = start; at <= last; at += days * 86400) {
    const x = chart.x(at);
    made.push(svg("line", { class: "grid", x1: x, x2: x, y1: height - BOTTOM, y2: height - BOTTOM + 4 }));
    if (x > LEFT + 8 && x < width - 30) made.push(svg("text", { x, y: height - 8, "text-anchor": "middle" }, day(at)));
  }
  return made;
}

// The hours at the right end whose outcome nobody knows yet.
function zone() {
  const open = chart.points.findLastIndex((p) => isNumber(p.realized));
  const from = open < 0 ? LEFT : chart.x(chart.points[open].at), to = chart.width - RIGHT;
  return svg("rect", { class: "zone", x: from, y: TOP, width: Math.max(0, to - from), height: chart.height - TOP - BOTTOM });
}

function path(name, wanted) {
  let d = "", before = null;
  for (const p of chart.points) {
    if (!isNumber(p[name]) || (wanted && !wanted(p))) { if (!joins(before, p)) before = null; continue; }
    d += (joins(before, p) ? "L" : "M") + chart.x(p.at).toFixed(1) + " " + chart.y(p[name]).toFixed(1);
    before = p;
  }
  return d;
}
const joins = (before, p) => Boolean(before) && p.at - before.at <= HOUR;

function bands() {
  let d = "", run = [];
  const close = () => {
    if (run.length > 1) {
      const spot = (p, name) => chart.x(p.at).toFixed(1) + " " + chart.y(p[name]).toFixed(1);
      d += "M" + run.map((p) => spot(p, "upper")).join("L") + "L" + run.reverse().map((p) => spot(p, "lower")).join("L") + "Z";
    }
    run = [];
  };
  for (const p of chart.points) {
    if (!isNumber(p.upper) || !isNumber(p.lower) || !joins(run[run.length - 1], p)) close();
    if (isNumber(p.upper) && isNumber(p.lower)) run.push(p);
  }
  close();
  return d;
}

function lines() {
  const line = (name, kind, wanted) => svg("path", { class: "line " + kind, d: path(name, wanted) });
  return [svg("path", { class: "band", d: bands() }), line("har", "har"), line("realized", "realized"),
    line("forecast", "forecast held", (p) => p.kind !== "live"), line("forecast", "forecast", (p) => p.kind === "live")];
}

// A strip under the hours whose forecast was served live.
function rug() {
  const each = (chart.width - LEFT - RIGHT) / Math.max((chart.last - chart.first) / HOUR, 1), made = [];
  let from = null, before = null;
  const close = () => {
    if (before) made.push(svg("rect", { class: "rug", x: chart.x(from.at) - each / 2, y: chart.height - BOTTOM + 3,
      width: chart.x(before.at) - chart.x(from.at) + each, height: 4 }));
  };
  for (const p of chart.points.filter((one) => one.kind === "live")) {
    if (!joins(before, p)) { close(); from = p; }
    before = p;
  }
  close();
  return made;
}

// The forecast that holds now, with its interval, at the right edge.
function now() {
  const p = chart.points[chart.points.length - 1];
  if (!p.current) return svg("g", {});
  const x = chart.x(p.at);
  return svg("g", {}, svg("line", { class: "end", x1: x, x2: x, y1: chart.y(p.lower), y2: chart.y(p.upper) }),
    svg("circle", { class: "dot dot-forecast", cx: x, cy: chart.y(p.forecast), r: 5.5 }));
}

function summary() {
  const { points, facts } = chart, known = points.filter((p) => isNumber(p.realized));
  const of = (list, name) => list.map((p) => p[name]).filter(isNumber);
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  if (!known.length) return `${facts.title}: ${points.length} hours, none of them over yet.`;
  return `${facts.title}: ${points.length} hours from ${instant(chart.first)} to ${instant(chart.last)}. Mean forecast ` +
    `${hourly(mean(of(known, "forecast")))} per hour, mean realized ${hourly(mean(of(known, "realized")))}.`;
}

// Reading one hour: by pointer, touch or keys.
function point(at) {
  chart.at = at;
  const readout = byId("readout");
  if (!readout || !chart.cursor) return;
  const p = at === null ? null : nearest(at), spoken = p || chart.points[chart.points.length - 1];
  byId("chart").setAttribute("aria-valuenow", chart.points.indexOf(spoken));
  byId("chart").setAttribute("aria-valuetext", reading(spoken).map(([name, value]) => `${name} ${value}`.trim()).join(", "));
  readout.hidden = !p;
  chart.cursor.replaceChildren(...(p ? crosshair(p) : []));
  if (!p) return;
  readout.replaceChildren(...reading(p).map(([name, value], i) => i ? el("div", {}, el("em", {}, name), el("span", {}, value)) : el("b", {}, value)));
  const x = chart.x(p.at), wide = readout.offsetWidth;
  const left = x + 14 + wide < chart.width ? x + 14 : Math.max(4, x - 14 - wide);
  readout.style.transform = `translateX(${Math.round(left)}px)`;
}

function nearest(at) {
  return chart.points.reduce((best, p) => Math.abs(p.at - at) < Math.abs(best.at - at) ? p : best);
}

function crosshair(p) {
  const x = chart.x(p.at), spots = ["har", "realized", "forecast"].filter((name) => isNumber(p[name]));
  return [svg("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: chart.height - BOTTOM }),
    ...spots.map((name) => svg("circle", { class: `dot dot-${name}`, cx: x, cy: chart.y(p[name]), r: 4.5 }))];
}

function reading(p) {
  const show = (value) => percent(isNumber(value) ? scaled(value) : value, digits());
  const kinds = { live: "served live", "held-out": "held out" };
  return [["", instant(p.at)], ["forecast", show(p.forecast)],
    [`${percent(chart.facts.level, 0)} interval`, isNumber(p.lower) ? `${show(p.lower)} – ${show(p.upper)}` : "–"],
    ["realized", isNumber(p.realized) ? show(p.realized) : "not known yet"], ["HAR", show(p.har)],
    ["", p.current ? "the forecast now" : kinds[p.kind] || p.kind]];
}

function readByPointer(event) {
  const box = byId("chart").getBoundingClientRect();
  if (!chart.points.length || !chart.cursor) return;
  const share = (event.clientX - box.left - LEFT) / (chart.width - LEFT - RIGHT);
  point(chart.first + Math.min(1, Math.max(0, share)) * (chart.last - chart.first));
}

function readByKey(event) {
  if (!chart.points.length) return;
  const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -24, PageDown: 24, Home: -1e6, End: 1e6 };
  if (event.key === "Escape") point(null);
  if (!(event.key in moves)) return;
  event.preventDefault();
  const from = chart.at === null ? chart.points.length : chart.points.indexOf(nearest(chart.at));
  const to = Math.min(chart.points.length - 1, Math.max(0, from + moves[event.key]));
  point(chart.points[to].at);
}
