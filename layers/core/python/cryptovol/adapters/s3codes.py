"""What S3's refusals mean to us, and the kinds of objects: shared by both clients, and free of either's packages."""

from __future__ import annotations

from pathlib import PurePosixPath

from cryptovol.errors import ConflictError, KeyNotFoundError, StoreUnavailableError

# What a browser needs to show an object of a presigned link instead of saving it.
_KINDS = {".html": "text/html; charset=utf-8", ".json": "application/json", ".csv": "text/csv; charset=utf-8"}
_ABSENT = {"NoSuchKey", "404", "NotFound"}
RACED = {"ConditionalRequestConflict", "409"}
LOST = {"PreconditionFailed", "412", *RACED}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "507"}


def translate(code: str, told: str, *, what: str, key: str, bucket: str) -> Exception:
    """Return our error for a refusal.

    Parameters
    ----------
    code
        S3's own name of it, or the HTTP status where an answer names none.
    told
        What S3 says about it.
    what
        What was tried, for instance ``read``.
    """
    if code in _ABSENT:
        return KeyNotFoundError(f"nothing is stored under {key} in bucket {bucket}")
    if code in LOST:
        return ConflictError(f"{key} was changed by another writer; read it again and retry")
    if code == "NoSuchBucket":
        cure = f"bucket {bucket} does not exist. Cure: `cryptovol up` makes it"
    elif code in _FULL:
        cure = "no space left in the storage. Cure: free some space and run again"
    else:
        cure = f"{told}. Cure: check the credentials and the state of the storage"
    return StoreUnavailableError(f"cannot {what} {key}: {cure}")


def unreachable(told: str, *, what: str, key: str, bucket: str) -> StoreUnavailableError:
    """Return our error where no answer came."""
    return StoreUnavailableError(
        f"cannot {what} {key} in bucket {bucket}: {told}. "
        "Cure: see that the cloud is up (`cryptovol status`) and AWS_ENDPOINT_URL names it"
    )


def strange(what: str, key: str) -> StoreUnavailableError:
    """Return our error for an answer that is none of S3's: a proxy's page, for instance."""
    return StoreUnavailableError(f"cannot {what} {key}: the answer is not S3's. Cure: check AWS_ENDPOINT_URL")


def kind(key: str) -> str:
    """Return the content type of what is stored under a key."""
    return _KINDS.get(PurePosixPath(key).suffix, "application/octet-stream")
