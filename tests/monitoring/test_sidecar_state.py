"""Series and positions in one file: sums, gauges, buckets, the cap, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from cryptovol.adapters.telemetry import EmfMeter
from cryptovol.errors import ConfigError, ConflictError, StoreUnavailableError
from cryptovol.metrics import CONTRACT, LATENCY_BUCKETS
from cryptovol.sidecar import exposition
from cryptovol.sidecar.state import LABEL_SETS, OVERFLOW, Portion, State

NOW = 1_900_000_000_000


class Bench:
    """A state file that is given portions one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = State(path)

    def take(self, *lines: bytes, source: str = "file:a", now: int = NOW, oversized: int = 0) -> None:
        """Commit lines as the next portion of a source."""
        before = self.state.position(source)
        after = json.dumps({"portion": json.loads(before)["portion"] + 1 if before else 1})
        self.state.apply(Portion(source, before, after, list(lines), oversized), now)

    def samples(self, accept: str = "") -> dict[str, float]:
        """Return the exposed samples by name and labels."""
        body, _ = exposition.render(self.path, accept)
        families = parse_text(body.decode())
        return {sample_key(s.name, s.labels): s.value for family in families for s in family.samples}


def sample_key(name: str, labels: dict[str, str]) -> str:
    """Return a sample's identity in one text."""
    return name + json.dumps(dict(sorted(labels.items())))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a bench on an empty state file."""
    made = Bench(tmp_path / "state.sqlite")
    yield made
    made.state.close()


def lines(*values: tuple[str, float, dict[str, str]]) -> list[bytes]:
    """Return the EMF lines a meter prints for values."""
    stream = io.StringIO()
    meter = EmfMeter(stream)
    for value in values:
        meter.add(*value)
    meter.flush()
    return stream.getvalue().encode().splitlines()


def gauge(value: float, stamp: int) -> bytes:
    """Return the EMF line of a drift ratio at an instant, unix milliseconds."""
    (line,) = lines(("data_drift_ratio", value, {"model": "m"}))
    body = json.loads(line)
    body["_aws"]["Timestamp"] = stamp
    return json.dumps(body).encode()


def test_counters_add_up_over_portions_and_sources(bench: Bench) -> None:
    """Every line adds to its series, wherever it came from."""
    one = lines(("gate_findings_total", 2, {"rule": "nulls"}), ("gate_findings_total", 3, {"rule": "gaps"}))
    bench.take(*one)
    bench.take(*one, b"START", b"{broken _aws", source="file:b", oversized=1)
    found = bench.samples()
    assert found['gate_findings_total{"rule": "nulls"}'] == 4
    assert found['emf_lines_total{"result": "applied"}'] == 4
    assert found['emf_lines_total{"result": "other"}'] == 1
    assert found['emf_lines_total{"result": "invalid"}'] == 2


def test_histograms_are_cumulative_with_an_exact_edge(bench: Bench) -> None:
    """A value on an edge belongs under it; sum, count and +Inf agree."""
    values = (0.01, 0.5, 0.500001, 99.0)
    bench.take(*lines(*[("prediction_latency", value, {"endpoint": "/p"}) for value in values]))
    found = bench.samples()
    bucket = {edge: found[f'prediction_latency_bucket{{"endpoint": "/p", "le": "{edge}"}}'] for edge in LATENCY_BUCKETS}
    assert (bucket[0.025], bucket[0.4], bucket[0.5], bucket[0.6], bucket[5.0]) == (1, 1, 2, 3, 3)
    assert found['prediction_latency_bucket{"endpoint": "/p", "le": "+Inf"}'] == 4
    assert found['prediction_latency_count{"endpoint": "/p"}'] == 4
    assert found['prediction_latency_sum{"endpoint": "/p"}'] == pytest.approx(sum(values))


def test_gauges_follow_the_newest_event_and_not_the_order_of_arrival(bench: Bench) -> None:
    """A late line of an older event changes nothing; of equal instants the last to arrive wins."""
    name = 'data_drift_ratio{"model": "m"}'
    bench.take(gauge(0.3, 2000), gauge(0.1, 1000))
    assert bench.samples()[name] == 0.3
    bench.take(gauge(0.2, 1500))
    assert bench.samples()[name] == 0.3
    bench.take(gauge(0.4, 2000))
    assert bench.samples()[name] == 0.4


def test_gauges_are_not_held_still_by_an_event_from_the_future(bench: Bench) -> None:
    """A time stamp ahead of the clock counts as now."""
    bench.take(gauge(0.3, NOW * 10))
    bench.take(gauge(0.1, NOW + 1), now=NOW + 2)
    assert bench.samples()['data_drift_ratio{"model": "m"}'] == 0.1


def test_sidecar_tells_age_and_instant_of_the_newest_event(bench: Bench) -> None:
    """Lag is the newest event's age at its commit."""
    bench.take(gauge(0.1, NOW - 2500))
    found = bench.samples()
    assert found["emf_ingest_lag_seconds{}"] == 2.5
    assert found["emf_last_event_timestamp_seconds{}"] == (NOW - 2500) / 1000


def test_label_sets_past_the_cap_go_to_one_overflow_series(tmp_path: Path) -> None:
    """The cap holds across portions and restarts, nothing is lost, and what was moved is told."""
    bench = Bench(tmp_path / "state.sqlite")
    for start in (0, 150):
        bench.take(*lines(*[("gate_findings_total", 1, {"rule": f"r{i}"}) for i in range(start, start + 150)]))
    bench.state.close()
    again = Bench(bench.path)
    again.take(*lines(("gate_findings_total", 1, {"rule": "r0"}), ("gate_findings_total", 1, {"rule": "one more"})))
    found = again.samples()
    again.state.close()
    own = {name: value for name, value in found.items() if name.startswith("gate_findings_total")}
    assert len(own) == LABEL_SETS + 1 and sum(own.values()) == 302
    assert own[f'gate_findings_total{{"rule": "{OVERFLOW}"}}'] == 101
    assert found['emf_series_rejected_total{"metric": "gate_findings_total"}'] == 101


def test_position_and_series_are_committed_together_or_not_at_all(bench: Bench) -> None:
    """A portion that does not start where the source stands writes nothing, neither series nor position."""
    bench.take(*lines(("gate_findings_total", 1, {"rule": "nulls"})))
    before, position = bench.samples(), bench.state.position("file:a")
    for stale in (None, '{"portion": 7}'):
        with pytest.raises(ConflictError):
            bench.state.apply(Portion("file:a", stale, "{}", lines(("gate_findings_total", 9, {"rule": "x"}))), NOW)
    assert (bench.samples(), bench.state.position("file:a")) == (before, position)


def test_failed_commit_forgets_its_new_label_sets(bench: Bench) -> None:
    """Label sets of a portion that was rolled back do not fill the cap."""
    many = lines(*[("gate_findings_total", 1, {"rule": f"r{i}"}) for i in range(LABEL_SETS)])
    with pytest.raises(ConflictError):
        bench.state.apply(Portion("file:a", "elsewhere", "{}", many), NOW)
    bench.take(*lines(("gate_findings_total", 1, {"rule": "late"})))
    assert bench.samples()['gate_findings_total{"rule": "late"}'] == 1


def test_state_opens_again_where_it_was(tmp_path: Path) -> None:
    """Closing and opening loses nothing and adds nothing."""
    bench = Bench(tmp_path / "state.sqlite")
    assert not bench.state.resumed
    bench.take(*lines(("gate_findings_total", 1, {"rule": "nulls"})))
    before = bench.samples()
    bench.state.close()
    again = Bench(bench.path)
    assert again.state.resumed and again.samples() == before and again.state.position("file:a") == '{"portion": 1}'
    again.state.close()


def test_state_refuses_a_file_that_is_not_one(tmp_path: Path) -> None:
    """Another file, another format and a folder are named as such."""
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(ConfigError):
        State(tmp_path / "text")
    with pytest.raises(StoreUnavailableError):
        State(tmp_path)
    with pytest.raises(StoreUnavailableError, match="sidecar"):
        exposition.render(tmp_path / "absent", "")


def test_exposition_is_valid_in_both_formats_for_every_metric(bench: Bench) -> None:
    """All metrics of the contract appear under their own names, and no created-series beside them."""
    values = [(name, 1.0, {label: 'a "b"\\\n' for label in CONTRACT[name].labels}) for name in CONTRACT]
    bench.take(*lines(*values))
    text, plain = exposition.render(bench.path, "text/plain")
    body, opened = exposition.render(bench.path, "application/openmetrics-text; version=1.0.0")
    assert plain.startswith("text/plain; version=0.0.4") and opened.startswith("application/openmetrics-text")
    types = {family.name: family.type for family in parse_text(text.decode())}
    for name, metric in CONTRACT.items():
        assert types[name.removesuffix("_total") if metric.kind == "counter" else name] == metric.kind
    assert body.endswith(b"# EOF\n") and len(list(parse_openmetrics(body.decode()))) == len(types)  # type: ignore[no-untyped-call]
    assert b"_created" not in text + body
