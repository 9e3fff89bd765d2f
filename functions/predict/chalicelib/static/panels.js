// What stands below the chart: scores, ages and drift, the model card, the hours as a table.
const ROWS = [["model", "Cryptovol"], ["har", "HAR"], ["ewma", "EWMA"], ["persistence", "Persistence"]];
const DRIFT_ALERT = 0.15; // as in monitoring's rules
const fact = (name, value, kind) => el("div", {}, el("dt", {}, name), el("dd", { class: kind || null }, value));

// Columns of the score table: the hours held out in training, then each window of served forecasts.
function columns(model, board) {
  const made = [], errors = model && model.scores && model.scores.errors;
  if (errors) {
    const values = Object.fromEntries(ROWS.map(([name]) => [name, errors[name] && errors[name].qlike]));
    made.push({ title: "held out", rows: model.scores.rows, values });
  }
  for (const each of (board && board.windows) || []) {
    made.push({ title: `live, ${each.hours <= 48 ? each.hours + " h" : each.hours / 24 + " days"}`, rows: each.rows, values: each.qlike || {} });
  }
  return made;
}

function showScores(model, board) {
  const shown = columns(model, board), latest = board && board.windows.findLast((each) => each.rows);
  redraw(byId("scores"), [shown, latest, model && model.coverage, model && model.scores && model.scores.tests], () => {
    if (!shown.some((each) => each.rows || Object.values(each.values).some(isNumber))) {
      return [el("p", { class: "note" }, "No scores are on record yet.")];
    }
    const best = shown.map((each) => Math.min(...Object.values(each.values).filter(isNumber)));
    const head = el("tr", {}, el("th", { scope: "col" }, "QLIKE"), ...shown.map((each) =>
      el("th", { scope: "col" }, each.title, el("small", {}, isNumber(each.rows) ? whole(each.rows) + " forecasts" : ""))));
    const body = ROWS.map(([name, label]) => el("tr", {}, el("th", { scope: "row" }, label), ...shown.map((each, i) =>
      el("td", { class: each.values[name] === best[i] ? "best" : null }, plain(each.values[name], 4)))));
    return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...body))), ...verdicts(model, latest)];
  });
}

function verdicts(model, latest) {
  const said = ["Smaller is better; the best of each column is bold. Held out: hours no fit had seen when it forecast them. Live: forecasts served here whose hours are over."];
  const test = model && model.scores && model.scores.tests && model.scores.tests.dm_har;
  if (test && isNumber(test.statistic)) {
    const chance = test.p < 0.001 ? "p < 0.001" : "p = " + test.p.toFixed(3);
    said.push(`Against HAR on the held-out hours: Diebold–Mariano ${test.statistic.toFixed(1).replace("-", "−")}, ${chance}; below zero is better than HAR.`);
  }
  const cover = ((model && model.coverage) || []).map((each) => `${percent(each.level, 0)} interval held ${percent(each.covered, 1)}`);
  if (cover.length) said.push("Held-out hours: " + cover.join(", ") + ".");
  if (latest && isNumber(latest.coverage)) said.push(`Live, newest ${whole(latest.rows)} forecasts: the interval held ${percent(latest.coverage, 1)}.`);
  return said.map((text) => el("p", { class: "note" }, text));
}

// The live record by window: how far off, which way, and how often the interval held, beside HAR.
function showRecord(board) {
  const shown = ((board && board.windows) || []).filter((each) => each.rows);
  redraw(byId("record"), shown, () => {
    if (!shown.length) return [];
    const names = ["Live", "RMSE", "HAR's", "bias", "HAR's", "held", "against HAR"];
    const body = shown.map((each) => {
      const test = each.dm && each.dm.har, times = (value) => isNumber(value) ? "×" + value.toFixed(2) : "–";
      const told = test ? `${test.statistic.toFixed(1).replace("-", "−")}, ${test.p < 0.001 ? "p < 0.001" : "p = " + test.p.toFixed(3)}` : "too few hours";
      const cells = [percent(each.rmse && each.rmse.model, 3), percent(each.rmse && each.rmse.har, 3), times(each.bias),
        times(each.baseline_bias && each.baseline_bias.har), percent(each.coverage, 1), told];
      return el("tr", {}, el("th", { scope: "row" }, each.hours <= 48 ? each.hours + " h" : each.hours / 24 + " days"), ...cells.map((text) => el("td", {}, text)));
    });
    const head = el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)));
    return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Live record" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...body))),
      el("p", { class: "note" }, "RMSE per hour. Bias: mean forecast over mean outcome. Against HAR: Diebold–Mariano on QLIKE, below zero is better than HAR.")];
  });
}

function showFreshness(one, board) {
  const told = one.forecast && one.forecast.body, rows = [];
  if (told) {
    const made = seconds(told.as_of), present = serverNow(one.forecast);
    const marked = (name) => (told.warnings || []).includes(name) ? "bad" : null;
    rows.push(["Newest bar", `closed ${age(present - made)} ago, ${instant(made)}`, marked("stale_data")],
      ["Bars from", told.source === "simulated" ? "the simulated market: made up" : told.source, told.source === "simulated" ? "warn" : null],
      ["Model trained", `${age(present - seconds(told.model.trained_at))} ago, ${instant(seconds(told.model.trained_at))}`, marked("model_expired")]);
    const ratio = told.drift.ratio, alarm = isNumber(ratio) && ratio > DRIFT_ALERT, names = (board && board.drift && board.drift.features) || [];
    rows.push(["Drift", isNumber(ratio) ? `${percent(ratio, 0)} of the features have drifted from the training data` + (names.length ? ": " + names.join(", ") : "") : "not known yet", alarm ? "bad" : null]);
    const out = told.drift.out_of_distribution;
    rows.push(["Out of range", out.length ? out.join(", ") : "no feature is outside its training range", out.length ? "warn" : null]);
  }
  if (board) rows.push(["Live record", `${whole(board.served)} forecasts, ${whole(board.matured)} of them over and scored`, null]);
  redraw(byId("fresh"), rows, () => rows.map((row) => fact(...row)));
}
const serverNow = (answer) => seconds(answer.body.as_of) + (answer.body.data_age_seconds || 0) + Date.now() / 1000 - answer.at;

function showModel(model) {
  const rows = model ? modelFacts(model) : [], limits = (model && model.limits) || [];
  redraw(byId("model"), rows, () => rows.length ? rows.map((row) => fact(...row)) : [fact("", "No model card is to be had.")]);
  redraw(byId("limits"), limits, () => limits.length
    ? [el("details", {}, el("summary", {}, "Limits of this model"), el("ul", {}, ...limits.map((text) => el("li", {}, text))))] : []);
}

function modelFacts(model) {
  const data = model.data || {}, decision = model.decision || {};
  const range = data.first ? `${whole(data.rows)} hours, ${instant(seconds(data.first))} to ${instant(seconds(data.last))}` : "";
  const facts = [
    ["Name", model.name + (model.version ? `, version ${model.version}` : "")], ["Market", `${model.market}, ${model.symbol}/${model.quote}`],
    ["Learned from", range], ["Made of", (model.model && model.model.kind) || ""],
    ["Decision", [decision.decision, decision.reason].filter(Boolean).join(": ")], ["Bundle", (model.bundle_sha256 || "").slice(0, 16)],
  ];
  return facts.filter((row) => row[1]);
}

// Filled only while it is open: thirty days are 720 rows.
function showTable(points, facts) {
  const box = byId("chart-table");
  if (!box.open) return;
  const show = (value) => percent(isNumber(value) ? scaled(value) : value, digits());
  redraw(box.lastElementChild, [facts, chart.unit], () => {
    const names = ["as of, UTC", "forecast", "lower", "upper", "realized", "HAR", "kind"];
    const row = (p) => [`${day(p.at)} ${clock(p.at)}`, ...[p.forecast, p.lower, p.upper, p.realized, p.har].map(show), p.current ? "now" : p.kind];
    const body = [...points].reverse().map((p) => el("tr", {}, ...row(p).map((text) => el("td", {}, text))));
    return [el("table", {}, el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, ...body))];
  });
}
