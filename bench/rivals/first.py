"""A new process to its first forecast: ``python first.py MODULE EVENT``, as Lambda's cold start does it.

MODULE is imported and its handler called once with the event; the answer's volatility is printed when it is there.
"""

import importlib
import json
import sys
from typing import Any


class Context:
    """What Lambda hands over beside the event, as far as anybody here reads it."""

    aws_request_id = "bench-0"
    function_name = "bench"
    function_version = "$LATEST"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:bench"
    log_group_name = "/aws/lambda/bench"
    log_stream_name = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Return plenty."""
        return 30_000


def handler_of(name: str) -> Any:
    """Return a module's `handler`, or else its Chalice app."""
    module = importlib.import_module(name)
    return getattr(module, "handler", None) or module.app


def volatility(answer: dict[str, Any]) -> float:
    """Return the forecast in an API Gateway answer; raise if there is none."""
    if answer["statusCode"] != 200:
        raise SystemExit(f"no forecast: {answer}")
    return float(json.loads(answer["body"])["volatility"])


def main() -> None:
    """Answer once."""
    with open(sys.argv[2], encoding="utf-8") as file:
        event = json.load(file)
    found = volatility(handler_of(sys.argv[1])(event, Context()))
    sys.stdout.write(f"first forecast {found!r}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
