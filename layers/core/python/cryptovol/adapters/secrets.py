"""Secrets of the cloud: AWS Secrets Manager, or anything that speaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cryptovol.errors import TransientError


def reader(secret_id: str, client: Any = None) -> Callable[[], str]:
    """Return what fetches the text of one secret.

    Parameters
    ----------
    secret_id
        Name or ARN.
    client
        A boto3 Secrets Manager client; None makes one at the first fetch, with patience for one request, not minutes.

    The fetch raises `TransientError`, without anything of the secret, if it cannot be had or is no text.
    """

    def read() -> str:
        nonlocal client
        try:
            client = client or _client()
            answer = client.get_secret_value(SecretId=secret_id)
        except (BotoCoreError, ClientError) as error:
            raise TransientError(f"cannot read the secret {secret_id}: {error}") from error
        text = answer.get("SecretString")
        if not isinstance(text, str):
            raise TransientError(f"the secret {secret_id} is no text; store a JSON object of names and digests")
        return text

    return read


def _client() -> Any:
    import boto3
    from botocore.config import Config

    patience = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "max_attempts": 2})
    return boto3.client("secretsmanager", config=patience)
