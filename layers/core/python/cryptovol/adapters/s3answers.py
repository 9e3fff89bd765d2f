"""What S3 answers over plain HTTP, read: refusals by their names, listings by their keys. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")


@dataclass(frozen=True)
class Answer:
    """One answer: HTTP status, the object's tag or an empty text, body."""

    status: int
    etag: str
    body: bytes

    @property
    def refused(self) -> bool:
        """Whether it is not what was asked for; redirections are refusals too."""
        return not 200 <= self.status < 300

    @property
    def code(self) -> str:
        """S3's own name of a refusal; the status where there is no body, as after HEAD."""
        found = _CODE.search(self.body)
        return found[1].decode(errors="replace") if found else str(self.status)

    @property
    def told(self) -> str:
        """What S3 says of a refusal."""
        found = _MESSAGE.search(self.body)
        return f"S3 answers {self.status} {self.code}" + (f", {found[1].decode(errors='replace')}" if found else "")

    def page(self) -> tuple[list[str], str] | None:
        """Return the keys of a listing, and the token it goes on at, empty at its end; None if it is no listing."""
        import xml.etree.ElementTree as xml

        try:
            root = xml.fromstring(self.body)
        except xml.ParseError:
            return None
        if _plain(root.tag) != "ListBucketResult":
            return None
        entries = [
            {_plain(part.tag): part.text or "" for part in entry} for entry in root if _plain(entry.tag) == "Contents"
        ]
        more = {_plain(part.tag): part.text or "" for part in root}.get("NextContinuationToken", "")
        return [entry.get("Key", "") for entry in entries], more


def _plain(tag: str) -> str:
    """Return a tag without its namespace."""
    return tag.rpartition("}")[2]
