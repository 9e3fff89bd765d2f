"""`cryptovol`: every verb of the project on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module

from cryptovol import __version__
from cryptovol.errors import CryptovolError

# One module per verb in `cryptovol.commands`; each has `add(parsers)` and is imported only by name, so that
# `--help` stays instant.
VERBS = ("replay", "ingest", "validate", "featurize", "train", "predict", "score", "backtest", "models", "up", "down",
         "status", "run", "version", "sidecar", "sources")  # fmt: skip

EPILOG = """exit codes: 0 done, 1 refused (gate, promotion, model), 2 usage, 3 outside failure
start with `cryptovol run --once`; `cryptovol VERB --help` explains one verb"""


def parser() -> argparse.ArgumentParser:
    """Return the whole command line."""
    root = argparse.ArgumentParser(
        prog="cryptovol",
        description="Forecast crypto volatility, retrain, and prove every forecast against honest baselines.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"cryptovol {__version__}")
    parsers = root.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        import_module(f"cryptovol.commands.{verb}").add(parsers)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; an expected error is one line on stderr, never a traceback."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        return code
    except CryptovolError as error:
        if getattr(args, "json", False):
            print(json.dumps({"error": {"code": error.code, "message": str(error), "retryable": error.retryable}}))
        print(f"cryptovol {args.verb}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"cryptovol {args.verb}: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
