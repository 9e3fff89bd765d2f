"""Run the API with Chalice's own local server: ``python -m cryptovol.cloud.api --port 8000`` in the project folder.

This is what ``chalice local`` does, but for three things: Nagle's algorithm is off (with delayed acknowledgements it
costs 40 ms a request), the working directory stays, so that `params.yaml` is found, and port 0 takes a free port.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from chalice.cli import create_local_server
from chalice.cli.factory import CLIFactory
from chalice.local import ChaliceRequestHandler, LocalDevServer

PROJECT = Path("functions/predict")


def serve(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal to stop; return 2 if the folder or the port is not to be had."""
    args = _parser().parse_args(argv)
    if not (PROJECT / "app.py").exists():
        print(f"cryptovol api: there is no {PROJECT} here; run from the project folder", file=sys.stderr)
        return 2
    # The metrics sidecar follows these lines as they are written.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, _stop)
    try:
        server = local_server(args.host, args.port)
    except OSError as error:
        print(f"cryptovol api: cannot serve on {args.host}:{args.port}: {error.strerror}; choose another --port, or 0",
              file=sys.stderr)  # fmt: skip
        return 2
    try:
        print(f"forecast API on http://{args.host}:{server.server.server_address[1]}", flush=True)
        server.server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.server.server_close()
    return 0


def local_server(host: str, port: int, *, project: Path = PROJECT) -> LocalDevServer:
    """Return Chalice's local server over the app in a project folder, bound and not yet serving."""
    ChaliceRequestHandler.disable_nagle_algorithm = True
    factory = CLIFactory(str(project.resolve()), environ=os.environ)
    return create_local_server(factory, host, port, "local")


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cryptovol.cloud.api", description="Serve the forecast API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0 takes a free one (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(serve())
