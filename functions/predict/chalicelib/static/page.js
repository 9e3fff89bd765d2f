// The page's state and its rounds: ask, keep the last good answers, show.
const ROUND = 30, RETRY = 10, SLOW = 120, THEME = "cryptovol-theme"; // seconds between rounds, and between slow questions
const page = { series: new Map(), chosen: "", days: 30, health: null, away: null, answered: 0, wait: 0, round: 0, slow: 0 };

async function round() {
  const own = ++page.round;
  clearTimeout(page.timer);
  page.wait = 0;
  try {
    await asked(own);
    if (own !== page.round) return;
    page.away = null;
  } catch (error) {
    if (own !== page.round) return;
    if (!(error instanceof Away)) throw error;
    page.away = page.away || Date.now() / 1000;
  } finally {
    if (own === page.round) {
      show();
      page.timer = setTimeout(round, 1000 * Math.max(page.away ? RETRY : ROUND, page.wait));
    }
  }
}

async function asked(own) {
  await health();
  if (page.locked) return;
  const answers = await Promise.allSettled([...page.series.values()].map(forecast));
  const away = answers.find((each) => each.status === "rejected");
  if (away) throw away.reason;
  if (own !== page.round) return;
  page.answered = Date.now() / 1000;
  show();
  await detail();
}

async function health() {
  try {
    page.health = (await ask("health", (body) => body && Array.isArray(body.series))).body;
  } catch (error) {
    if (error instanceof Away) throw error;
    page.refusal = noted(error);
    return;
  }
  page.refusal = "";
  for (const each of page.health.series) {
    const id = `${each.symbol}-${each.horizon_hours}`, known = page.series.get(id) || {};
    page.series.set(id, { ...known, id, symbol: each.symbol, horizon: each.horizon_hours, state: each });
  }
  if (!page.series.has(page.chosen)) page.chosen = [...page.series.keys()].pop() || "";
}

const where = (name, one) => `${name}/${encodeURIComponent(one.symbol)}?horizon_hours=${one.horizon}`;

async function forecast(one) {
  try {
    one.forecast = await ask(where("forecast", one) + "&allow_stale=true");
    one.fault = "";
    page.locked = false;
  } catch (error) {
    if (error instanceof Away) throw error;
    one.fault = noted(error);
  }
}

// Cards, scores and the past change when a model or an hour does; they are asked for less often.
async function detail() {
  const one = page.series.get(page.chosen);
  if (!one || page.locked) return;
  const key = JSON.stringify([page.chosen, one.forecast && [one.forecast.body.as_of, one.forecast.body.model.bundle_sha256]]);
  if (key === page.asked && Date.now() / 1000 - page.slow < SLOW) return;
  const paths = {
    history: where("history", one) + "&days=30", board: `scoreboard/${encodeURIComponent(one.symbol)}`,
    model: `model?symbol=${encodeURIComponent(one.symbol)}&horizon_hours=${one.horizon}`,
  };
  one.looked = true;
  const missing = await Promise.all(Object.entries(paths).map(([name, path]) => part(one, name, path)));
  if (missing.some(Boolean)) return;
  page.asked = key;
  page.slow = Date.now() / 1000;
}

async function part(one, name, path) {
  try {
    one[name] = (await ask(path)).body;
    return false;
  } catch (error) {
    if (error instanceof Away) return true; // forecasts are answered: a slow store is no API that is away
    noted(error);
    return error.status !== 404;
  }
}

// Remembers what a refusal means for the page, and returns it in words.
function noted(error) {
  if (!(error instanceof Refused)) throw error;
  page.wait = Math.max(page.wait, error.wait);
  if (error.status === 401 || error.status === 403) {
    page.locked = true;
    return "a key is needed";
  }
  return `${error.message || "the API refused"} (${error.code})`;
}

function show() {
  const market = (page.health && page.health.market) || "";
  banners(market);
  showState();
  byId("key-form").hidden = !page.locked;
  put(byId("key-note"), page.locked && apiKey ? "This key is not accepted." : "");
  const shown = [...page.series.values()].map((one) => showCard(one, page.chosen, Boolean(page.away), choose));
  const box = byId("cards");
  if (shown.some((each, i) => box.children[i] !== each)) box.replaceChildren(...shown);
  const one = page.series.get(page.chosen);
  named(one, market);
  byId("detail").hidden = !(one && (one.history || one.looked));
  if (one && !byId("detail").hidden) showDetail(one);
}

// The number is in the tab, too: a page left open is looked at there.
function named(one, market) {
  const told = one && one.forecast && one.forecast.body, where = market === "live" ? "" : ` (${market})`;
  const title = told ? `${percent(told.volatility_annualized, 1)} ${one.symbol} ${one.horizon} h${where}` : "Cryptovol";
  const whole = page.away ? "API away: " + title : title;
  if (document.title !== whole) document.title = whole;
}

function choose(id) {
  page.chosen = id;
  point(null);
  show();
  round();
}

function banners(market) {
  const said = [];
  if (market === "simulated") said.push(["loud", "SIMULATED MARKET", "These prices are made up. Nothing on this page says anything about a real coin."]);
  else if (market && market !== "live") said.push(["loud", `MARKET: ${market}`, "Not live prices: bars from a file or a test."]);
  if (page.away) {
    const since = page.answered ? `The last answer came at ${clock(page.answered, true)} UTC; what is below is from then.` : "There is nothing to show yet.";
    said.push(["bad", "The API does not answer.", `${since} It is asked again every ${RETRY} seconds.`]);
  }
  if (page.refusal && !page.locked) said.push(["bad", "The API refuses.", page.refusal]);
  for (const one of page.series.values()) {
    const state = one.state || {}, name = `${one.symbol}, ${one.horizon} h`;
    const marks = (one.forecast && one.forecast.body.warnings) || [];
    if (one.fault && !page.locked) said.push(["bad", `${name}:`, one.fault]);
    for (const each of marks) said.push(["bad", `${name}: ${(MARKS[each] || [each])[0]}.`, (MARKS[each] || ["", ""])[1]]);
    if (state.refused) said.push(["", `${name}: a newer champion is refused, the one before serves.`, state.refused]);
  }
  if (page.health && page.health.store !== "ok" && !page.away) said.push(["", "The store does not answer the API.", "Forecasts come from what the API holds in memory."]);
  redraw(byId("banners"), said, () => said.map(([kind, title, text]) =>
    el("div", { class: "banner " + kind }, el("p", {}, el("strong", {}, title), " ", text))));
}

function showState() {
  const state = page.away ? "away" : page.answered ? (page.health && page.health.status === "ok" ? "ok" : "wait") : "wait";
  byId("state").className = state;
  const words = { ok: "live", wait: page.locked ? "a key is needed" : page.health ? page.health.status : "asking", away: "API away" };
  put(byId("state-text"), words[state] + (page.answered ? `, last answer ${clock(page.answered, true)} UTC` : ""));
}

function showDetail(one) {
  const points = past(one), told = one.history || {}, board = one.board && one.board.horizons && one.board.horizons[one.horizon];
  const title = `${one.symbol}, next ${one.horizon} hours: forecast against realized`;
  put(byId("chart-title"), title);
  const last = points[points.length - 1] || {};
  const facts = { title, level: told.level || 0.9, days: page.days, count: points.length, last, scored: told.scored_as_of, model: told.model, live: told.live };
  showChart(points, facts);
  showTable(points, facts);
  showNote(one, told, points);
  showScores(one.model, board);
  showRecord(board);
  showFreshness(one, board);
  showModel(one.model);
}

// The past, and at its end the forecast that holds now.
function past(one) {
  const points = ((one.history && one.history.points) || []).map((p) => ({ ...p, at: seconds(p.as_of) }));
  const told = one.forecast && one.forecast.body;
  if (told && told.as_of) {
    const at = seconds(told.as_of), { lower, upper } = told.interval, har = told.baselines ? told.baselines.har : null;
    while (points.length && points[points.length - 1].at >= at) points.pop();
    points.push({ at, kind: "live", forecast: told.volatility, lower, upper, realized: null, har, current: true });
  }
  const since = (points.length ? points[points.length - 1].at : 0) - page.days * 86400;
  return points.filter((p) => p.at > since);
}

function showNote(one, told, points) {
  const notes = told.notes || {}, said = [`Each point stands at the hour the forecast was made and speaks of the ${one.horizon} hours after it; the shaded end is not over yet.`];
  const count = (kind) => points.filter((p) => p.kind === kind && !p.current).length, live = count("live"), held = count("held-out");
  if (live) said.push(`Served live, ${whole(live)} hours: ${lower(notes.live)}`);
  if (held) said.push(`Held out, ${whole(held)} hours: ${lower(notes["held-out"])}`);
  if (told.points && !told.scored_as_of) said.push("No forecast served here has been scored yet.");
  const current = points[points.length - 1], known = points.map((p) => p.realized).filter(isNumber);
  if (current && current.current && known.length > 100) {
    const below = known.filter((value) => value < current.forecast).length / known.length;
    said.push(`The forecast now is above ${percent(below, 0)} of the realized values shown.`);
  }
  redraw(byId("chart-note"), said, () => said.map((text) => el("p", { class: "note" }, text)));
}
const lower = (text) => text ? text[0].toLowerCase() + text.slice(1) : "";

function legend() {
  const sample = (...shapes) => svg("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" }, ...shapes);
  const stroke = (kind) => sample(svg("path", { class: "line " + kind, d: "M1 6H27" }));
  const items = [[stroke("forecast"), "forecast, served live (strip below)"], [stroke("forecast held"), "forecast, held out"],
    [sample(svg("rect", { class: "band", x: 1, y: 1, width: 26, height: 10 })), "interval"], [stroke("realized"), "realized"], [stroke("har"), "HAR"]];
  byId("legend").replaceChildren(...items.map(([picture, label]) => el("li", {}, picture, label)));
}

function theme(next) {
  const order = ["system", "light", "dark"], kept = remembered(local, THEME) || "system";
  const chosen = next ? order[(order.indexOf(kept) + 1) % 3] : kept;
  remember(local, THEME, chosen === "system" ? "" : chosen);
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  put(byId("theme"), "Theme: " + chosen);
}

function pressed(name, value) {
  for (const each of document.querySelectorAll(`[data-${name}]`)) each.setAttribute("aria-pressed", String(each.dataset[name] === String(value)));
}

function begin() {
  theme(false);
  legend();
  byId("theme").addEventListener("click", () => theme(true));
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key").value.trim());
    byId("key").value = "";
    page.locked = false;
    round();
  });
  for (const each of document.querySelectorAll("[data-unit]")) each.addEventListener("click", () => { chart.unit = each.dataset.unit; pressed("unit", chart.unit); show(); });
  for (const each of document.querySelectorAll("[data-days]")) each.addEventListener("click", () => { page.days = Number(each.dataset.days); pressed("days", page.days); show(); });
  const box = byId("chart");
  box.addEventListener("pointermove", readByPointer);
  box.addEventListener("pointerdown", readByPointer);
  box.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") point(null); }); // a finger is lifted to read
  box.addEventListener("keydown", readByKey);
  box.addEventListener("blur", () => point(null));
  byId("chart-table").addEventListener("toggle", show);
  new ResizeObserver(() => show()).observe(box);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) round(); });
  setInterval(() => { if (!document.hidden) show(); }, 15000); // ages grow between rounds, too
  round();
}
begin();
