"""`cryptovol serve`: the forecast API for more than one machine's user, several processes behind one port."""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import json
import os

from cryptovol import settings
from cryptovol.cloud.wire import PATIENCE
from cryptovol.errors import ConfigError, TransientError

DESCRIPTION = """Serve the forecast API with several worker processes, each of several threads: what the container runs.

Champions and bars come from the S3 of AWS_ENDPOINT_URL (or AWS itself: CRYPTOVOL_CLOUD=aws). A new champion is served
without a restart. SIGTERM finishes what is under way and exits 0; metrics and logs go to standard output, a line each."""
EPILOG = """sizes
  A worker takes 45 to 75 MB. One forecast is a fraction of a millisecond of one core, so one worker per core is
  enough; threads only matter while one waits for S3.
  A slow client costs no thread: requests are collected first, and cut off after --patience seconds.

signals
  TERM  finish and exit      HUP  replace the workers      TTIN, TTOU  one worker more, one less

examples
  cryptovol serve                                                 http://127.0.0.1:8000, two workers
  cryptovol serve --workers 4 --threads 8 --port 0                a free port, printed
  cryptovol keys new                                              a key, and the digest to set for:
  CRYPTOVOL_API_KEY_SHA256=... cryptovol serve --host 0.0.0.0     for others, with a key
  cryptovol serve --check                                         exit 0 if the server on that port is healthy, else 3"""


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "serve", help="serve the forecast API with several processes", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0 takes a free one (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=4, metavar="M", help="threads of each (default: %(default)s)")
    replaced = "replace a worker after about so many requests; 0 for never (default: %(default)s)"
    parser.add_argument("--recycle", type=int, default=0, metavar="N", help=replaced)
    patience = "time a client has to send a request (default: %(default)s)"
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="SECONDS", help=patience)
    parser.add_argument("--open", action="store_true", help="ask nobody for a key, even on an address others can reach")
    parser.add_argument(
        "--check", action="store_true", help="ask the server on that port whether it is healthy, and exit"
    )
    parser.add_argument("--json", action="store_true", help="print the address as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal to stop, or check one that serves."""
    if args.check:
        return _checked(args)
    _agreed(args)
    from cryptovol.cloud import master

    plan = master.Plan(
        args.host, args.port, args.workers, args.threads, recycle=args.recycle, patience=args.patience
    )  # fmt: skip
    listener = master.listen(plan.host, plan.port)
    port = listener.getsockname()[1]
    return master.serve(plan, listener, lambda: print(_told(args, port), flush=True))


def _agreed(args: argparse.Namespace) -> None:
    """Refuse numbers that cannot serve, and an API that strangers could reach without a key."""
    for name, least in (("workers", 1), ("threads", 1), ("recycle", 0), ("patience", 0.1)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} must be at least {least}, not {getattr(args, name)}")
    if not 0 <= args.port <= 65_535:
        raise ConfigError(f"--port must be from 0 to 65535, not {args.port}")
    found = settings.load(os.environ)
    keyed = bool(found.api_keys or found.api_keys_secret)
    if not (keyed or args.open or _own(args.host)):
        raise ConfigError(
            f"others can reach {args.host}, and no key is asked for. Cure: `cryptovol keys new` and "
            "CRYPTOVOL_API_KEY_SHA256, or --open if that is meant"
        )


def _own(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _told(args: argparse.Namespace, port: int) -> str:
    host = f"[{args.host}]" if ":" in args.host else args.host
    url = f"http://{host}:{port}"
    if args.json:
        return json.dumps({"url": url, "workers": args.workers, "threads": args.threads})
    return f"forecast API on {url} (workers: {args.workers}, threads of each: {args.threads}); Ctrl-C stops"


def _checked(args: argparse.Namespace) -> int:
    """Ask ``GET /health``: 200 is healthy; anything else, or nothing, is not."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(args.host, args.host)
    connection = http.client.HTTPConnection(host, args.port, timeout=5)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"nothing healthy on {host}:{args.port}: {error}") from error
    finally:
        connection.close()
    if status != 200:
        raise TransientError(f"http://{host}:{args.port}/health answers {status}; its body says why")
    print(json.dumps({"healthy": True}) if args.json else "healthy")
    return 0
