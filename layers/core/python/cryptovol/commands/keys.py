"""`cryptovol keys new`: a fresh API key, shown once, and the digest that is all the API needs to know of it."""

from __future__ import annotations

import argparse
import json

from cryptovol import keyring

Parsers = argparse._SubParsersAction
EPILOG = """The key is printed once and stored nowhere. Give it to whoever calls the API, who sends it in the header x-api-key; give
the API its digest, by one of

  CRYPTOVOL_API_KEY_SHA256=desk:<digest>,bot:<digest>     in its environment
  CRYPTOVOL_API_KEYS_SECRET=<id>                           a secret in AWS Secrets Manager, {"desk": "<digest>", …}

To change a key without a break, let the API know the new digest beside the old one, change the callers, then take the
old one out."""


def add(parsers: Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb and its one action."""
    parser = parsers.add_parser(
        "keys", help="make an API key", description="API keys.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="print a fresh key and its digest", description="Make an API key.")
    new.add_argument("--name", default="", help="who will use it: for the log, and to take back this key alone")
    new.add_argument("--json", action="store_true", help="print JSON")
    new.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a new key and return 0."""
    name = keyring.name(args.name) if args.name else ""
    key = keyring.fresh()
    digest = keyring.digest(key)
    setting = f"{name}:{digest}" if name else digest
    if args.json:
        print(json.dumps({"name": name or None, "key": key, "sha256": digest, "setting": setting}))
        return 0
    print(f"key      {key}")
    print(f"digest   {digest}")
    print(f"setting  CRYPTOVOL_API_KEY_SHA256={setting}")
    print("the key is shown this once; the digest opens nothing")
    return 0
