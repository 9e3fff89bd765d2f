// One card per symbol and horizon: the forecast, its interval, and the baselines beside it.
const MARKS = {
  stale_data: ["old bars", "The newest bar is older than the limit; a plain request would be refused."],
  model_expired: ["model expired", "The model is older than the limit; a plain request would be refused."],
  model_trained_later: ["model trained later", "The model has seen the hours it speaks of."],
};
const BASELINES = [["persistence", "Persistence"], ["ewma", "EWMA"], ["har", "HAR"]];
const cards = new Map();

function card(one, choose) {
  const kept = cards.get(one.id);
  if (kept) return kept;
  const part = (name) => el("span", { class: name });
  const parts = {
    title: el("b"), when: el("span"), value: el("data"), unit: el("span"), rows: part("row"),
    range: part("row soft"), picture: el("span"), base: part("row soft"), marks: part("marks"), refused: part("refused"),
  };
  const what = el("span", { class: "what" }, parts.title, parts.when);
  const root = el("button", { type: "button", class: "card", "aria-pressed": "false", "data-series": one.id },
    what, el("span", { class: "main" }, parts.value, parts.unit), parts.rows, parts.picture, parts.range, parts.base,
    parts.marks, parts.refused);
  root.addEventListener("click", () => choose(one.id));
  const made = { root, parts };
  cards.set(one.id, made);
  return made;
}

function showCard(one, chosen, away, choose) {
  const { root, parts } = card(one, choose), told = one.forecast && one.forecast.body;
  const warnings = (told && told.warnings) || [];
  root.setAttribute("aria-pressed", String(one.id === chosen));
  put(parts.title, `${one.symbol}, next ${one.horizon} hours`);
  put(parts.when, told ? `as of ${clock(seconds(told.as_of))} UTC` : "");
  put(parts.refused, one.fault ? `${told ? "Not renewed" : "No forecast"}: ${one.fault}` : "");
  put(parts.unit, told ? "per year" : "");
  root.classList.toggle("old", Boolean(away || one.fault || warnings.length));
  if (!told) { put(parts.value, "–"); return root; }
  put(parts.value, percent(told.volatility_annualized, 1));
  parts.value.setAttribute("value", told.volatility_annualized);
  const interval = told.interval, level = percent(interval.level, 0);
  redraw(parts.rows, [told.volatility, one.horizon], () => [
    el("span", {}, el("data", { value: told.volatility, class: "per-hour" }, hourly(told.volatility)), " per hour"),
    el("span", { class: "soft", title: "Volatility per hour × √hours: one standard deviation of the move" },
      "±" + percent(told.volatility * Math.sqrt(one.horizon), 2) + ` over ${one.horizon} h (1σ)`),
  ]);
  redraw(parts.range, [interval], () => [
    el("span", {}, `${level} interval`),
    el("span", {}, `${hourly(interval.lower)} to ${hourly(interval.upper)} per hour`),
    el("span", {}, `${yearly(interval.lower)} to ${yearly(interval.upper)} per year`),
  ]);
  redraw(parts.picture, [told.volatility, interval, told.baselines], () => [spread(told)]);
  redraw(parts.base, [told.baselines], () => told.baselines
    ? BASELINES.filter(([name]) => isNumber(told.baselines[name])).map(([name, label]) =>
      el("span", { class: "key " + name }, el("i", { "aria-hidden": "true" }), `${label} ${hourly(told.baselines[name])}`))
    : []);
  redraw(parts.marks, [warnings], () => warnings.map((name) => MARKS[name] || [name, name]).map(([label, why]) => el("span", { class: "tag bad", title: why }, label)));
  return root;
}

// The interval as a bar from zero, the forecast as a stroke in it, the baselines as marks on it. Places are shares of the
// width, so that no mark is stretched with it.
function spread(told) {
  const known = BASELINES.filter(([name]) => told.baselines && isNumber(told.baselines[name]));
  const most = Math.max(told.interval.upper, told.volatility, ...known.map(([name]) => told.baselines[name])) * 1.04;
  const x = (value) => (value / most * 100).toFixed(2) + "%", { lower, upper } = told.interval;
  return svg("svg", { "aria-hidden": "true" },
    svg("line", { class: "grid", x1: "0%", x2: "100%", y1: 18, y2: 18 }),
    svg("rect", { class: "band", x: x(lower), y: 9, height: 18, rx: 3, width: x(upper - lower) }),
    svg("line", { class: "tick", x1: x(told.volatility), x2: x(told.volatility), y1: 6, y2: 30 }),
    ...known.map(([name]) => svg("svg", { x: x(told.baselines[name]), y: 18, overflow: "visible" }, mark(name))));
}

function mark(name) {
  const own = { class: `dot dot-${name}` };
  if (name === "har") return svg("path", { ...own, d: "M0-6l6 11h-12z" });
  if (name === "ewma") return svg("path", { ...own, d: "M0-6.5l5.5 6.5l-5.5 6.5l-5.5-6.5z" });
  return svg("rect", { ...own, x: -4.5, y: -4.5, width: 9, height: 9 });
}
