// Elements, numbers and times. What the API says enters the document as text and never as markup.
const HOUR = 3600, HOURS_PER_YEAR = 8760, GAP = "\u202f";
const byId = (id) => document.getElementById(id);

function node(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null) made.setAttribute(name, value);
  for (const child of children) if (child !== null) made.append(child);
  return made;
}
const el = (tag, attributes, ...children) => node(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  node(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// What has not changed is not touched: nothing flickers, and a selection stays.
function put(target, text) { if (target.textContent !== text) target.textContent = text; }
const drawn = new WeakMap();
function redraw(target, facts, build) {
  const seen = JSON.stringify(facts);
  if (drawn.get(target) === seen) return;
  target.replaceChildren(...build());
  drawn.set(target, seen);
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const percent = (value, digits) => isNumber(value) ? (value * 100).toFixed(digits) + GAP + "%" : "–";
const hourly = (value) => percent(value, 3);
const yearly = (value) => percent(isNumber(value) ? value * Math.sqrt(HOURS_PER_YEAR) : value, 1);
const plain = (value, digits) => isNumber(value) ? value.toFixed(digits) : "–";
const whole = (value) => isNumber(value) ? value.toLocaleString("en") : "–";

const seconds = (text) => Date.parse(text) / 1000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (value) => String(value).padStart(2, "0");
function day(at) { const d = new Date(at * 1000); return d.getUTCDate() + " " + MONTHS[d.getUTCMonth()]; }
function clock(at, exact) {
  const d = new Date(at * 1000), text = two(d.getUTCHours()) + ":" + two(d.getUTCMinutes());
  return exact ? text + ":" + two(d.getUTCSeconds()) : text;
}
function instant(at) {
  return Number.isFinite(at) ? `${day(at)} ${new Date(at * 1000).getUTCFullYear()}, ${clock(at)} UTC` : "–";
}
function age(passed) {
  if (!Number.isFinite(passed)) return "–";
  if (passed < 120) return "a minute";
  if (passed < 2 * HOUR) return Math.floor(passed / 60) + " min";
  return passed < 48 * HOUR ? Math.floor(passed / HOUR) + " h" : (passed / 24 / HOUR).toFixed(1) + " days";
}
