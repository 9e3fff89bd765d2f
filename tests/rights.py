"""What a stage asks of S3, call by call, and whether a policy would let it: a store that records, and a small IAM."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from cryptovol.ports import Stored
from cryptovol.testing import MemoryStore

Call = tuple[str, str]  # an action, and a key; for a listing the prefix


class RecordingStore(MemoryStore):
    """A store in memory that notes which S3 actions each call of `S3Store` takes, in order, under a stage's name."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = ""
        self.calls: dict[str, list[Call]] = {}

    def note(self, key: str, *actions: str) -> None:
        """Note actions on a key; an absent one is told from a forbidden one by the right to list it."""
        self.calls.setdefault(self.stage, []).extend((action, key) for action in actions)

    def get(self, key: str) -> Stored:
        """Read, as GetObject; what is absent is 404 only to who may list it."""
        self.note(key, "s3:GetObject", *([] if super().exists(key) else ["s3:ListBucket"]))
        return super().get(key)

    def put(self, key: str, data: bytes) -> None:
        """Write, as PutObject."""
        self.note(key, "s3:PutObject")
        super().put(key, data)

    def put_new(self, key: str, data: bytes) -> bool:
        """Write with If-None-Match; after a race the key is looked up."""
        self.note(key, "s3:PutObject", "s3:GetObject", "s3:ListBucket")
        return super().put_new(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Write with If-Match; the right to read the object goes with it, since its tag is compared."""
        self.note(key, "s3:PutObject", "s3:GetObject")
        super().replace(key, data, etag)

    def exists(self, key: str) -> bool:
        """Look up, as HeadObject, which takes the right to get; see `get` for what is absent."""
        found = super().exists(key)
        self.note(key, "s3:GetObject", *([] if found else ["s3:ListBucket"]))
        return found

    def keys(self, prefix: str) -> Iterator[str]:
        """List, as ListObjectsV2."""
        self.note(prefix, "s3:ListBucket")
        return super().keys(prefix)


def allows(policy: Mapping[str, Any], bucket: str, action: str, key: str) -> bool:
    """Return whether a policy lets an S3 call through, as IAM evaluates what we use of it.

    An action and a resource match by wildcard; StringLike needs its key in the request; nothing is allowed that no
    statement allows. For a listing `s3:prefix` is the prefix; for the question whether an object is absent S3 takes
    the object's key for it (ceph/ceph pull request 68577 names this behaviour of AWS and follows it).
    """
    listing = action == "s3:ListBucket"
    resource = f"arn:aws:s3:::{bucket}" if listing else f"arn:aws:s3:::{bucket}/{key}"
    context = {"s3:prefix": key} if listing else {}
    return any(_matches(statement, action, resource, context) for statement in policy["Statement"])


def _matches(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    assert statement["Effect"] == "Allow" and set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
    conditions = statement.get("Condition", {})
    assert set(conditions) <= {"StringLike"}
    return (
        any(like(action, pattern) for pattern in statement["Action"])
        and any(like(resource, pattern) for pattern in statement["Resource"])
        and all(
            name in context and any(like(context[name], pattern) for pattern in patterns)
            for name, patterns in conditions.get("StringLike", {}).items()
        )
    )


def like(text: str, pattern: str) -> bool:
    """Return whether a text matches a pattern of IAM: `*` is any run of characters, slashes too, `?` any one."""
    return fnmatchcase(text, re.sub(r"\[", "[[]", pattern))


def denied(policy: Mapping[str, Any], bucket: str, calls: Sequence[Call]) -> list[Call]:
    """Return the calls that a policy does not let through, each once."""
    return sorted({call for call in calls if not allows(policy, bucket, *call)})
