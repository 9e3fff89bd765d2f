// Asking the API: conditional requests, the key, and what to do when it does not answer.
const KEY = "cryptovol-key", PATIENCE = 10000;
const base = location.pathname.replace(/\/?$/, "/"); // a stage of API Gateway is part of the path
const held = new Map(); // path -> {etag, body, at}

function remembered(store, name) { try { return store().getItem(name) || ""; } catch { return ""; } }
function remember(store, name, value) {
  try { if (value) store().setItem(name, value); else store().removeItem(name); } catch { /* a page without storage */ }
}
const session = () => sessionStorage, local = () => localStorage;
let apiKey = remembered(session, KEY);
function useKey(key) { apiKey = key; held.clear(); remember(session, KEY, key); }

class Away extends Error {}
class Refused extends Error {
  constructor(status, body, wait) {
    super(typeof body.detail === "string" ? body.detail : "");
    this.status = status;
    this.code = typeof body.code === "string" ? body.code : "http_" + status;
    this.wait = wait;
  }
}

// Returns {body, at}: the newest answer, and when (by this clock, in seconds) its content was made.
async function ask(path, useful) {
  const known = held.get(path), headers = { accept: "application/json" };
  if (apiKey) headers["x-api-key"] = apiKey;
  if (known && known.etag) headers["if-none-match"] = known.etag;
  let answer, body;
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    answer = await fetch(base + path, { headers, signal, cache: "no-store", credentials: "same-origin" });
    if (answer.status === 304 && known) return known;
    body = await answer.json();
  } catch (error) {
    throw new Away(String(error));
  }
  if (!answer.ok && !(useful && useful(body))) {
    if (answer.status >= 500 && !(body && typeof body.code === "string")) throw new Away("HTTP " + answer.status);
    throw new Refused(answer.status, body || {}, Number(answer.headers.get("retry-after")) || 0);
  }
  const fresh = { etag: answer.headers.get("etag"), body, at: Date.now() / 1000 };
  held.set(path, fresh);
  return fresh;
}
