"""What each function may do on AWS: one table, and the IAM policies that are made from it.

A function may read and write only the keys (see `cryptovol.keys`) that its stage reads and writes, and write its own log.
S3 answers a read of an absent object with 404 only to a caller who may list that key, and with 403 to any other; so who
may read or write a prefix may list it, too. (S3 API reference, GetObject and HeadObject, "Permissions".)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptovol.errors import ConfigError

Policy = dict[str, Any]
READ, WRITE, LIST = "s3:GetObject", "s3:PutObject", "s3:ListBucket"  # HeadObject, too, takes s3:GetObject


@dataclass(frozen=True)
class Rights:
    """What one function may do.

    Parameters
    ----------
    reads, writes
        Patterns of keys, in which ``{market}`` stands for the market; a conditional write takes the right to read.
    secret
        Whether it reads the secret of API keys.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    secret: bool = False


RUNS = "runs/*"  # the status object of a stage of a run
RIGHTS = {
    "ingest": Rights(
        reads=("bars/raw/{market}/*", "bars/witness/{market}/*", "reports/gate/{market}/*"),
        writes=("bars/raw/{market}/*", "bars/witness/{market}/*", RUNS),
    ),
    "validate": Rights(
        reads=("bars/raw/{market}/*", "bars/witness/{market}/*", "bars/clean/{market}/*"),
        writes=("bars/clean/{market}/*", "bars/quarantine/{market}/*", "reports/gate/{market}/*", RUNS),
    ),
    "featurize": Rights(
        reads=("bars/clean/{market}/*", "features/{market}/*"), writes=("features/{market}/*", RUNS),
    ),
    "train": Rights(
        reads=("features/{market}/*", "models/{market}/*", "tracking/*", "scoreboard/{market}/*"),
        writes=(
            "models/{market}/*/bundles/*", "models/{market}/*/ledger/*", "models/{market}/*/champion.json",
            "models/{market}/*/aliases.json", "tracking/*", RUNS,
        ),
    ),
    "tune": Rights(
        reads=("features/{market}/*", "models/{market}/*/tuning/*", "tracking/*-tuning/*"),
        writes=("models/{market}/*/tuning/*", "tracking/*-tuning/*", RUNS),
    ),
    "forecast": Rights(
        reads=(
            "bars/clean/{market}/*", "models/{market}/*/bundles/*", "models/{market}/*/ledger/*",
            "models/{market}/*/champion.json", "predictions/{market}/*", "scoreboard/{market}/*",
        ),
        writes=("predictions/{market}/*", "shadows/{market}/*", RUNS),
    ),
    "score": Rights(
        reads=(
            "features/{market}/*", "models/{market}/*/bundles/*", "models/{market}/*/ledger/*",
            "models/{market}/*/champion.json", "predictions/{market}/*", "shadows/{market}/*", "scoreboard/{market}/*",
        ),
        writes=("scoreboard/{market}/*", RUNS),
    ),
    "watch": Rights(reads=("scoreboard/{market}/*",), writes=("watch/{market}/*", RUNS)),
    "predict": Rights(
        reads=(
            "bars/clean/{market}/*", "models/{market}/*/bundles/*", "models/{market}/*/ledger/*",
            "models/{market}/*/champion.json", "predictions/{market}/*", "scoreboard/{market}/*",
        ),
        writes=("predictions/{market}/*", "served/{market}/*"),
        secret=True,
    ),
    "authorize": Rights(secret=True),
}  # fmt: skip
# Chalice names the API's functions itself: cryptovol-predict-<Chalice's stage>, and the same with -authorize; in a
# CloudFormation stack of the first name they are <stack>-APIHandler-<id> and <stack>-Authorize-<id>.
FUNCTIONS = {"predict": "cryptovol-predict-*", "authorize": "cryptovol-predict-*uthorize*"}


def policy(
    stage: str, bucket: str, *, market: str = "*", account: str = "*", region: str = "*", secret: str = ""
) -> Policy:
    """Return the identity policy of one function's role.

    Parameters
    ----------
    stage
        A stage, ``predict``, or ``authorize``: API Gateway's authorizer.
    bucket
        The bucket of bars, features, models and predictions.
    market
        The one market whose keys it may touch; without it those of every market.
    account, region
        Of logs and secret; without them those of any.
    secret
        Id or ARN of the secret of API keys; without it no secret may be read.

    Raises
    ------
    ConfigError
        If there is no such function.
    """
    if stage not in RIGHTS:
        raise ConfigError(f"there is no function {stage!r}; known are {', '.join(RIGHTS)}")
    rights, where = RIGHTS[stage], f"{region}:{account}"
    reads, writes = ([key.format(market=market) for key in keys] for keys in (rights.reads, rights.writes))
    statements = _objects(bucket, reads, writes) + _logs(FUNCTIONS.get(stage, f"cryptovol-{stage}"), where)
    if rights.secret and secret:
        # The six characters are those that Secrets Manager puts after a secret's name.
        arn = secret if secret.startswith("arn:") else f"arn:aws:secretsmanager:{where}:secret:{secret}-??????"
        statements.append(_allow("ReadApiKeys", ["secretsmanager:GetSecretValue"], [arn]))
    return {"Version": "2012-10-17", "Statement": statements}


def write(folder: Path, bucket: str, stages: Sequence[str] = (), **more: str) -> list[Path]:
    """Write policies into a folder as JSON; return the files.

    Parameters
    ----------
    stages
        Of which functions; without any of all, with the trust policy beside them.
    more
        As `policy` takes them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bodies = {f"policy-{stage}": policy(stage, bucket, **more) for stage in stages or RIGHTS}
    if not stages:
        bodies["trust"] = trust()
    files = []
    for name, body in bodies.items():
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return files


def trust() -> Policy:
    """Return the trust policy of every role: Lambda alone may take it on."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }


def _objects(bucket: str, reads: list[str], writes: list[str]) -> list[Policy]:
    """Return the statements about the bucket; who writes also reads, for conditions and repeated writes."""
    known = sorted({*reads, *writes})
    if not known:
        return []
    arn = f"arn:aws:s3:::{bucket}"
    return [
        _allow("Read", [READ], [f"{arn}/{key}" for key in known]),
        _allow("Write", [WRITE], [f"{arn}/{key}" for key in sorted(writes)]),
        {**_allow("List", [LIST], [arn]), "Condition": {"StringLike": {"s3:prefix": known}}},
    ]


def _logs(function: str, where: str) -> list[Policy]:
    group = f"arn:aws:logs:{where}:log-group:/aws/lambda/{function}"
    return [
        _allow("MakeLog", ["logs:CreateLogGroup"], [group]),
        _allow("WriteLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{group}:*"]),
    ]


def _allow(sid: str, actions: list[str], resources: list[str]) -> Policy:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
