"""Run the API on this machine: ``python -m cryptovol.cloud.api --port 8000`` in the project folder.

This is what ``chalice local`` does: the same local gateway and app in one process with threads. The server around it is
our own (`cryptovol.cloud.local`), as Chalice's has no limits, and waits 40 ms a request for want of TCP_NODELAY; port 0
takes a free one, and the working directory stays, so that `params.yaml` is found. For many processes: `cryptovol serve`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from cryptovol.cloud.gateway import load
from cryptovol.cloud.local import Server
from cryptovol.cloud.wire import PATIENCE
from cryptovol.errors import ConfigError


def serve(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal to stop; return 2 if the folder or the port is not to be had."""
    args = _parser().parse_args(argv)
    # The metrics sidecar follows these lines as they are written.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, _stop)
    try:
        server = Server(load(), args.host, args.port, patience=args.patience)
    except ConfigError as error:
        print(f"cryptovol api: {error}", file=sys.stderr)
        return 2
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        print(f"cryptovol api: cannot serve on {args.host}:{args.port}: {why}; choose another --port, or 0",
              file=sys.stderr)  # fmt: skip
        return 2
    try:
        print(f"forecast API on {server.url}", flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.finish()
    return 0


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cryptovol.cloud.api", description="Serve the forecast API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0 takes a free one (default: %(default)s)")
    seconds = "time a client has to send a request (default: %(default)s)"
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="SECONDS", help=seconds)
    return parser


if __name__ == "__main__":
    sys.exit(serve())
