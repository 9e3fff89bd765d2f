"""Least privilege as written: one table of who may touch which keys, and the policies made from it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.iam.policy_validation import IAMPolicyDocumentValidator, IAMTrustPolicyDocumentValidator

from cryptovol import keys
from cryptovol.cli import main
from cryptovol.cloud import deploy, iam, zips
from cryptovol.errors import ConfigError
from tests.rights import Call, allows, like

BUCKET = "some-bucket"
WHERE = ("live", "btc-usd")
MODEL = (*WHERE, 24)
AS_OF = "2025-05-01T00:00:00Z"
SHA = "ab" * 32
STAGES = set(zips.STAGES)
# Who may write a key, by the function of `cryptovol.keys` that makes it; a prefix with something under it.
WRITERS: dict[str, tuple[str, set[str]]] = {
    "raw": (keys.raw(*WHERE) + "/head.json", {"ingest"}),
    "witness": (keys.witness(*WHERE, AS_OF), {"ingest"}),
    "clean": (keys.clean(*WHERE) + "/head.json", {"validate"}),
    "quarantine": (keys.quarantine(*WHERE, AS_OF), {"validate"}),
    "refusal": (keys.refusal(*WHERE), {"validate"}),
    "gate_report": (keys.gate_report(*WHERE, AS_OF, suffix="html"), {"validate"}),
    "features": (keys.features(*WHERE) + "/head.json", {"featurize"}),
    "model": (keys.model(*MODEL) + "/anything", set()),
    "bundle": (keys.bundle(*MODEL, sha256=SHA) + "/manifest.json", {"train"}),
    "ledger": (keys.ledger(*MODEL) + "000001.json", {"train"}),
    "champion": (keys.champion(*MODEL), {"train"}),
    "aliases": (keys.aliases(*MODEL), {"train"}),
    "revision": (keys.revision(*MODEL, sha256=SHA), set()),  # by the version step, which is no Lambda function
    "tuned": (keys.tuned(*MODEL), {"tune"}),
    "tuning_log": (keys.tuning_log(*MODEL, study="s1") + "1.json", {"tune"}),
    "predictions": (keys.predictions(*MODEL) + "x", {"forecast", "predict"}),
    "prediction": (keys.prediction(*MODEL, as_of=AS_OF, bundle_sha256=SHA), {"forecast", "predict"}),
    "shadows": (keys.shadows(*MODEL, bundle_sha256=SHA) + "x.json", {"forecast"}),
    "served": (keys.served("live", "2025-05-01", sha256=SHA), {"predict"}),
    "scoreboard": (keys.scoreboard(*WHERE), {"score"}),
    "scoreboards": (keys.scoreboards(*WHERE, "2025-05-01") + "x", {"score"}),
    "retrainings": (keys.retrainings(*WHERE) + "00000001.json", {"watch"}),
    "live": (keys.live(*MODEL), {"score"}),
    "shadowboard": (keys.shadowboard(*MODEL), {"score"}),
    "logbook": (keys.logbook(*MODEL), {"score"}),
    "run": (keys.run("r1", "btc-usd", "train"), STAGES),
}


@pytest.mark.parametrize(("key", "writers"), WRITERS.values(), ids=list(WRITERS))
def test_each_key_has_its_own_writer(key: str, writers: set[str]) -> None:
    """Exactly the functions that make a kind of key may write it."""
    assert {stage for stage in iam.RIGHTS if allows(iam.policy(stage, BUCKET), BUCKET, iam.WRITE, key)} == writers


def test_every_kind_of_key_is_judged_here() -> None:
    """A key added to `cryptovol.keys` needs somebody to say who may write it."""
    made = {name for name, found in inspect.getmembers(keys, inspect.isfunction) if found.__module__ == keys.__name__}
    assert {name for name in made if not name.startswith("_")} - {"series", "plain", "compact"} == set(WRITERS)


FOREIGN: list[tuple[str, Call]] = [
    ("ingest", (iam.WRITE, "bars/clean/live/btc-usd/head.json")),
    ("ingest", (iam.READ, "models/live/btc-usd/h24/champion.json")),
    ("validate", (iam.WRITE, "bars/raw/live/btc-usd/head.json")),
    ("featurize", (iam.WRITE, "models/live/btc-usd/h24/champion.json")),
    ("train", (iam.WRITE, "bars/clean/live/btc-usd/head.json")),
    ("train", (iam.WRITE, "scoreboard/live/btc-usd/latest.json")),
    ("tune", (iam.WRITE, "models/live/btc-usd/h24/champion.json")),
    ("tune", (iam.WRITE, "models/live/btc-usd/h24/bundles/ab/model.npz")),
    ("forecast", (iam.WRITE, "scoreboard/live/btc-usd/latest.json")),
    ("watch", (iam.WRITE, "scoreboard/live/btc-usd/latest.json")),
    ("watch", (iam.WRITE, "models/live/btc-usd/h24/ledger/0001.json")),
    ("score", (iam.WRITE, "predictions/live/btc-usd/h24/20250501T000000Z/ab.json")),
    ("score", (iam.WRITE, "models/live/btc-usd/h24/ledger/0001.json")),
    ("predict", (iam.WRITE, "models/live/btc-usd/h24/champion.json")),
    ("predict", (iam.WRITE, "scoreboard/live/btc-usd/latest.json")),
    ("predict", (iam.READ, "runs/r1/btc-usd/train.json")),
    ("predict", (iam.LIST, "")),
    ("authorize", (iam.READ, "models/live/btc-usd/h24/champion.json")),
]


@pytest.mark.parametrize(("stage", "call"), FOREIGN)
def test_what_would_let_one_stage_forge_anothers_work_is_denied(stage: str, call: Call) -> None:
    """Named one by one: raw bars, gate, champion, ledger, predictions and scoreboard each have their own writer."""
    assert not allows(iam.policy(stage, BUCKET), BUCKET, *call)


@given(st.text(st.sampled_from("abz019/._-*?"), max_size=60))
def test_no_policy_reaches_outside_the_projects_prefixes(key: str) -> None:
    """Whatever the key, no function may touch one that does not begin with a prefix of its own table."""
    for stage, rights in iam.RIGHTS.items():
        inside = any(like(key, each.format(market="*")) for each in (*rights.reads, *rights.writes))
        for action in (iam.READ, iam.WRITE, iam.LIST):
            assert inside or not allows(iam.policy(stage, BUCKET), BUCKET, action, key)


@pytest.mark.parametrize("stage", iam.RIGHTS)
def test_policies_are_valid_by_motos_rules(stage: str) -> None:
    """Version, actions, ARNs and condition operators pass the checks that moto makes of a document sent to IAM."""
    IAMPolicyDocumentValidator(json.dumps(iam.policy(stage, BUCKET, secret="api-keys"))).validate()
    IAMTrustPolicyDocumentValidator(json.dumps(iam.trust())).validate()


@pytest.mark.parametrize("stage", iam.RIGHTS)
def test_policies_name_no_whole_bucket_and_no_whole_service(stage: str) -> None:
    """No action has a wildcard, no object resource is the bucket or all of it, listing is bound to prefixes."""
    for statement in iam.policy(stage, BUCKET, secret="api-keys")["Statement"]:
        assert not any("*" in action for action in statement["Action"])
        for resource in statement["Resource"]:
            assert resource not in ("*", f"arn:aws:s3:::{BUCKET}/*") and not resource.startswith("arn:aws:s3:::*")
        if statement["Action"] == [iam.LIST]:
            assert all(prefix[0] != "*" for prefix in statement["Condition"]["StringLike"]["s3:prefix"])
        assert statement["Action"] != ["s3:DeleteObject"]


def test_policy_of_one_market_keeps_to_it() -> None:
    """With a market named, the keys of another are out of reach."""
    own = iam.policy("predict", BUCKET, market="live")
    assert allows(own, BUCKET, iam.READ, keys.champion("live", "btc-usd", 24))
    assert not allows(own, BUCKET, iam.READ, keys.champion("simulated", "btc-usd", 24))
    assert not allows(own, "another-bucket", iam.READ, keys.champion("live", "btc-usd", 24))


def test_only_what_asks_for_keys_may_read_their_secret() -> None:
    """The secret is named, never a pattern of all; where none is set nobody may read any."""
    readers = {
        stage: [s["Resource"] for s in iam.policy(stage, BUCKET, secret="api-keys", region="eu-west-1")["Statement"]
                if s["Action"] == ["secretsmanager:GetSecretValue"]]
        for stage in iam.RIGHTS
    }  # fmt: skip
    wanted = [["arn:aws:secretsmanager:eu-west-1:*:secret:api-keys-??????"]]
    assert {stage for stage, found in readers.items() if found} == {"predict", "authorize"}
    assert readers["predict"] == readers["authorize"] == wanted
    assert "secretsmanager" not in json.dumps(iam.policy("predict", BUCKET))
    assert "arn:aws:secretsmanager:x:1:secret:a-b" in json.dumps(
        iam.policy("predict", BUCKET, secret="arn:aws:secretsmanager:x:1:secret:a-b")
    )


def test_table_has_every_function_that_is_deployed() -> None:
    """A function without rights cannot be forgotten, and one that is gone keeps none."""
    assert set(iam.RIGHTS) == {*zips.STAGES, "predict", "authorize"}
    with pytest.raises(ConfigError, match="known are ingest"):
        iam.policy("other", BUCKET)


@pytest.fixture
def written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Path]:
    """Return the folder that `cryptovol deploy --policies` wrote."""
    assert main(["deploy", "--policies", str(tmp_path / "made"), "--account", "123456789012", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(iam.RIGHTS) + 1
    yield tmp_path / "made"


def test_verb_writes_every_policy_below_awss_limit(written: Path) -> None:
    """Each file is what the table gives, and short enough for one managed policy (6,144 characters without blanks)."""
    for stage in iam.RIGHTS:
        body = json.loads((written / f"policy-{stage}.json").read_text(encoding="utf-8"))
        assert body == iam.policy(stage, "cryptovol", account="123456789012")
        assert len(json.dumps(body, separators=(",", ":"))) < 6144
    assert json.loads((written / "trust.json").read_text(encoding="utf-8")) == iam.trust()


@pytest.mark.parametrize("stage", ["predict", "authorize"])
def test_policies_that_chalice_deploys_with_are_those_of_the_table(stage: str) -> None:
    """The files beside Chalice's configuration are not older than the table.

    Anew: ``cryptovol deploy --policies functions/predict/.chalice --function predict --function authorize``.
    """
    body = json.loads(Path(f"functions/predict/.chalice/policy-{stage}.json").read_text(encoding="utf-8"))
    assert body == iam.policy(stage, "cryptovol")


def test_each_function_can_be_given_its_own_role() -> None:
    """`{stage}` in the role's ARN stands for the function's stage."""
    target = deploy.Target("python3.12", None, {}, (), role="arn:aws:iam::1:role/cryptovol-{stage}")
    assert deploy.configuration(target, "train", ())["Role"] == "arn:aws:iam::1:role/cryptovol-train"


@pytest.mark.parametrize("stage", iam.RIGHTS)
def test_security_page_has_the_tables_rows(stage: str) -> None:
    """`docs/security.md` shows each function's rights as they are."""
    rights = iam.RIGHTS[stage]
    cells = [", ".join(f"`{key.format(market='<market>')}`" for key in part) for part in (rights.reads, rights.writes)]
    row = f"| {stage} | {cells[0] or '–'} | {cells[1] or '–'} | {'yes' if rights.secret else '–'} |"
    assert row in Path("docs/security.md").read_text(encoding="utf-8").splitlines()
