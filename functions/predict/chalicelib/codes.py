"""Every `code` a problem document may have: the one table; `docs/errors.md` and the published contract follow it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One kind of problem.

    Parameters
    ----------
    title
        The document's title, the same for every occurrence.
    when
        What happened.
    cure
        What the caller, or whoever runs the service, does about it.
    statuses
        The HTTP statuses it may come with: 4xx where the caller's own data is at fault, 503 where ours is.
    """

    title: str
    when: str
    cure: str
    statuses: tuple[int, ...]


OURS_OR_THEIRS = (
    "Send other data, or, with 503, have the pipeline run: then the stored data is at fault, not the request."
)

CODES: dict[str, Code] = {
    "malformed": Code(
        "Malformed request", "The body is no JSON object: empty, cut off, nested too deeply, a name twice in one object, NaN or"
        " Infinity, half of a surrogate pair, or not UTF-8.", "Send one JSON object in UTF-8.", (400,)),
    "unauthorized": Code(
        "No valid API key", "The route asks for a key, and the header `x-api-key` has none that is accepted.",
        "Send the key in `x-api-key`; `cryptovol keys new` makes one.", (401,)),
    "forbidden": Code(
        "Forbidden", "The gateway in front of the API refuses the request.",
        "Check the key and the address; an unknown address is refused so on AWS.", (403,)),
    "not_found": Code("Not found", "There is no such route.", "See `/openapi.json` for the routes.", (404,)),
    "unknown_symbol": Code(
        "Unknown symbol", "Nobody trains a model of the symbol here.",
        "Ask for a symbol that `/health` lists, or add it to `symbols` in `params.yaml` and run the pipeline.", (404,)),
    "no_scoreboard": Code(
        "No scoreboard yet", "The symbol has no scored forecasts yet.", "Wait for the next run of the score stage.", (404,)),
    "no_history": Code(
        "No history yet", "The symbol has neither logged forecasts nor a model with held-out hours.",
        "Run the pipeline once.", (404,)),
    "no_metrics_here": Code(
        "No metrics here", "This process keeps no metrics state.", "Scrape the metrics sidecar (`cryptovol sidecar`).", (404,)),
    "method_not_allowed": Code(
        "Method not allowed", "The route exists, but not for this method.", "Use a method the header `Allow` names.", (405,)),
    "timeout": Code(
        "Request too slow", "The request did not arrive in the time the server waits.", "Send it again, faster.", (408,)),
    "length_required": Code(
        "Length required", "The body came without `Content-Length`.", "Send `Content-Length`; chunked bodies are refused.",
        (411,)),
    "body_too_large": Code(
        "Body too large", "The body has more than 1,000,000 bytes.", "Send fewer bars or instances per request.", (413,)),
    "unsupported_media_type": Code(
        "Unsupported media type", "The body is announced as something else than `application/json`.",
        "Send `Content-Type: application/json`.", (415,)),
    "unsupported_charset": Code(
        "Unsupported charset", "`Content-Type` names another charset than UTF-8.", "Send UTF-8.", (415,)),
    "unsupported_encoding": Code(
        "Unsupported content encoding", "The body is compressed (`Content-Encoding`).", "Send it as it is.", (415,)),
    "invalid_value": Code(
        "Invalid value", "A member or option is unknown, missing, of the wrong type, or out of its range; `field` names it.",
        "Correct what `field` names; `detail` says what it must be.", (422,)),
    "feature_mismatch": Code(
        "Wrong feature names", "A row lacks features or has others; `missing` and `unexpected` list them.",
        "Send the 36 features that `/openapi.json` lists, by name.", (422,)),
    "feature_value": Code(
        "Features too far out", "No finite forecast follows from the features; `features` names those outside the training range.",
        OURS_OR_THEIRS, (422, 503)),
    "bar_schema": Code(
        "Not bars", "Bars are out of order, not closed, of another market, or have impossible prices; `detail` names the first.",
        OURS_OR_THEIRS, (422, 503)),
    "not_enough_bars": Code(
        "Not enough bars", "A forecast needs 721 hours of bars without large gaps; `needed` and `found` tell.",
        OURS_OR_THEIRS, (422, 503)),
    "rate_limited": Code(
        "Too many requests", "The key, or the address without one, has used up its rate.",
        "Wait as many seconds as `Retry-After` says.", (429,)),
    "header_too_large": Code(
        "Headers too large", "The request line or the headers are longer than the server reads.", "Send less.", (431,)),
    "internal": Code(
        "Internal error", "A fault of ours that nobody foresaw; it is in the log under `request_id`.",
        "Report it with the `request_id`.", (500,)),
    "config": Code(
        "Not set up", "The process lacks a setting or a file.", "Whoever runs it sets what `detail` names.", (503,)),
    "keys_unavailable": Code(
        "Keys cannot be checked", "The secret of API keys cannot be read, and none has been read before.",
        "Try again later; whoever runs it looks at the log, and at the function's right to read the secret.", (503,)),
    "stale_data": Code(
        "Data too old", "The newest bar is older than `predict.freshness_hours` in `params.yaml`.",
        "Run ingest, or ask with `allow_stale`: then the answer is marked.", (503,)),
    "model_expired": Code(
        "Model too old", "The champion is older than `predict.expiry_hours` in `params.yaml`.",
        "Train, or ask with `allow_stale`: then the answer is marked.", (503,)),
    "model_not_found": Code(
        "No model yet", "The symbol is served here, but no model of it has been promoted yet.", "Run the pipeline.", (503,)),
    "bundle_refused": Code(
        "Model refused", "The champion's files are not those the ledger names, and no earlier ones are held.",
        "Roll back (`cryptovol models rollback`) or retrain.", (503,)),
    "ledger_broken": Code(
        "Ledger broken", "The pointer to the champion, or the ledger behind it, cannot be read.",
        "See `cryptovol models verify`.", (503,)),
    "store_unavailable": Code(
        "Store unreachable", "The object store does not answer, and nothing recent enough is held.", "Try again later.", (503,)),
    "overloaded": Code(
        "Too many connections", "The server has as many connections as it takes.", "Try again later.", (503,)),
    "transient": Code("Not available now", "Something outside failed in passing.", "Try again later.", (503,)),
    "data": Code("Stored data at fault", "What is stored cannot carry a forecast.", "Look at the pipeline's last run.", (503,)),
    "model": Code("Model at fault", "The model cannot give a forecast.", "Roll back or retrain.", (503,)),
    "error": Code("Not available now", "Something is wrong on our side.", "Look at the log under `request_id`.", (503,)),
}  # fmt: skip
