"""`cryptovol`: every verb of the project on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module

from cryptovol import __version__
from cryptovol.errors import CryptovolError

# The modules of `cryptovol.commands` in the order in which `--help` lists their verbs.
MODULES = (
    "run",
    "up",
    "down",
    "status",
    "stages",
    "predict",
    "backtest",
    "models",
    "sources",
    "replay",
    "version",
    "sidecar",
)

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
    for module in MODULES:
        import_module(f"cryptovol.commands.{module}").add(parsers)
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
