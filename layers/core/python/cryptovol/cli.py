"""`cryptovol`: every verb of the project on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module

from cryptovol import __version__
from cryptovol.errors import CryptovolError

# Which module of `cryptovol.commands` declares which verbs, in the order in which `--help` lists them. A call imports
# only the module of its verb, so that a process pays for nothing else.
MODULES = {
    "run": ("run",), "up": ("up",), "down": ("down",), "status": ("status",),
    "ingest": ("ingest",), "validate": ("validate",), "stages": ("featurize", "train"),
    "score": ("score",), "tune": ("tune",),
    "predict": ("predict",), "backtest": ("backtest",), "models": ("models",), "sources": ("sources",),
    "serve": ("serve",),
    "replay": ("replay",), "deploy": ("deploy",), "keys": ("keys",),
    "layers": ("layers",), "package": ("package",), "version": ("version",), "sidecar": ("sidecar",),
    "logs": ("logs",), "cost": ("cost",), "demo": ("demo",),
}  # fmt: skip

EPILOG = """exit codes: 0 done, 1 refused (gate, promotion, model), 2 usage, 3 outside failure
start with `cryptovol run --once`; `cryptovol VERB --help` explains one verb"""


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Return the command line: with a known verb that verb's part of it, else the whole."""
    root = argparse.ArgumentParser(
        prog="cryptovol",
        description="Forecast crypto volatility, retrain, and prove every forecast against honest baselines.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"cryptovol {__version__}")
    parsers = root.add_subparsers(dest="verb", metavar="VERB", required=True)
    wanted = [module for module, verbs in MODULES.items() if verb in verbs] or list(MODULES)
    for module in wanted:
        import_module(f"cryptovol.commands.{module}").add(parsers)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; an expected error is one line on stderr, never a traceback."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = parser(words[0] if words else None).parse_args(words)
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
