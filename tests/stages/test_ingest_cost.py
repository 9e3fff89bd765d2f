"""What an append of six bars costs does not grow with the history."""

from collections import Counter

from cryptovol.params import Params
from cryptovol.ports import Stored
from cryptovol.testing import FixedSource, MemoryStore, make_bars

from tests.ingests import HEAD, event, ingested, small

YEARS = 9 * 8766
END = YEARS + 300  # so many hours into a month that both histories end within the same one


class Weighing(MemoryStore):
    """A store that counts calls and weighs bytes: those of manifests, and all others."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.weight: Counter[str] = Counter()

    def forget(self) -> None:
        self.calls.clear()
        self.weight.clear()

    def _weigh(self, call: str, key: str, data: bytes) -> None:
        self.calls[call] += 1
        self.weight["manifest" if key.endswith(".json") else f"{call} of bars"] += len(data)

    def get(self, key: str) -> Stored:
        self.calls["get"] += 1
        found = super().get(key)
        self.calls["get"] -= 1
        self._weigh("get", key, found.data)
        return found

    def put(self, key: str, data: bytes) -> None:
        self._weigh("put", key, data)
        super().put(key, data)

    def put_new(self, key: str, data: bytes) -> bool:
        self._weigh("put_new", key, data)
        return super().put_new(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        self._weigh("replace", key, data)
        super().replace(key, data, etag)

    def exists(self, key: str) -> bool:
        self.calls["exists"] += 1
        return super().exists(key)


def _append(source: FixedSource, history_hours: int, params: Params) -> Weighing:
    store = Weighing()
    params = small(params, history_hours=history_hours, page_bars=2000, commit_pages=5)
    ingested(event(END), store, source, params)
    store.forget()
    result = ingested(event(END + 6), store, source, params)
    assert (result["rows_fetched"], result["rows_new"], result["rows_total"]) == (6, 6, history_hours + 6)
    return store


def test_append_of_six_bars_costs_the_same_after_a_month_and_after_nine_years(params: Params) -> None:
    """Equal calls, equal bytes of bars; only the manifest, read once and written twice, has a line per month more."""
    source = FixedSource(make_bars(END + 6))
    month, years = (_append(source, hours, params) for hours in (31 * 24, YEARS))
    assert years.calls == month.calls and sum(years.calls.values()) < 15
    bars = {name: weight for name, weight in month.weight.items() if name != "manifest"}
    assert bars == {name: weight for name, weight in years.weight.items() if name != "manifest"} and len(bars) == 2
    months = 9 * 12
    assert years.weight["manifest"] - month.weight["manifest"] < 3 * 160 * months
    assert len(years.objects[HEAD]) < 160 * months + 500
