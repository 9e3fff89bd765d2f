"""A handler in a process of its own, called as often as it is told: ``python probe.py MODULE LOG EVENT...``.

MODULE is imported; each EVENT file holds one event. For every line ``NUMBER CALLS`` on standard input, that event is
answered so many times, each under a request id of its own, and the seconds of each call are written to standard output
as one JSON list. What the handler prints, metrics and log lines, goes to the file LOG, line by line as in Lambda.
"""

import io
import json
import os
import sys
import time
from typing import Any

from first import Context, handler_of, volatility


def redirected(log: str) -> io.TextIOBase:
    """Return standard output as it was, after sending everything printed from now on to a file."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.close(file)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return answers


def timed(handler: Any, event: dict[str, Any], context: Context, number: int) -> float:
    """Return the seconds of one call; a fresh copy of the event, because Lambda hands over a fresh one."""
    context.aws_request_id = f"bench-{number}"
    fresh = {**event, "requestContext": dict(event["requestContext"]), "headers": dict(event["headers"])}
    started = time.perf_counter()
    answer = handler(fresh, context)
    seconds = time.perf_counter() - started
    if answer["statusCode"] != 200:
        raise SystemExit(f"no forecast: {answer}")
    return seconds


def main() -> None:
    """Serve the lines of standard input."""
    answers = redirected(sys.argv[2])
    events = []
    for path in sys.argv[3:]:
        with open(path, encoding="utf-8") as file:
            events.append(json.load(file))
    handler, context, number = handler_of(sys.argv[1]), Context(), 0
    print(json.dumps([volatility(handler(event, context)) for event in events]), file=answers, flush=True)
    for line in sys.stdin:
        which, calls = (int(word) for word in line.split())
        taken = []
        for _ in range(calls):
            number += 1
            taken.append(timed(handler, events[which], context, number))
        print(json.dumps(taken), file=answers, flush=True)


if __name__ == "__main__":
    main()
