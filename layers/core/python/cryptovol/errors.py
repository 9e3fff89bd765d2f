"""Every error this project raises on purpose, sorted by what the caller must do about it.

::

    CryptovolError
    ├── ConfigError               a setting or an argument is wrong: fix it, do not retry      exit 2
    │   ├── UnknownSymbolError    no source knows the symbol
    │   ├── AccessError           a source refuses us: a key is missing or wrong, or our region is barred
    │   └── OutOfReachError       a source does not keep hours as old as were asked for
    ├── TransientError            the outside world hiccuped: a retry is safe                  exit 3
    │   ├── SourceUnavailableError    no market source answers
    │   │   └── RateLimitedError      carries retry_after in seconds
    │   ├── NoNewBarsError        the source answers but has no bar that should exist by now
    │   ├── StoreUnavailableError     the object store cannot be reached or is full
    │   └── ConflictError         another writer was first; read again and retry
    ├── DataError                 the data is at fault: a person looks                         exit 1
    │   ├── BarSchemaError        a server's or file's rows are not bars
    │   ├── ForecastFileError     a file's rows cannot be read as forecasts
    │   ├── SourceContradictionError  a source's bars are no longer those it gave before
    │   ├── NotEnoughBarsError    carries needed and found
    │   ├── StaleDataError        the newest bar is older than a forecast may stand on
    │   ├── LeakError             a feature or a target knows hours that it must not know
    │   └── GateRefusedError      carries the gate report's findings
    ├── ModelError                the model is at fault                                        exit 1
    │   ├── ModelNotFoundError    there is no champion to serve
    │   ├── BundleRefusedError    a bundle's hash, format or feature spec does not match
    │   ├── LedgerBrokenError     the decisions about models do not follow from one another
    │   ├── ModelExpiredError     the champion is older than a model may serve
    │   ├── FeatureMismatchError  carries missing and unexpected feature names
    │   └── FeatureValueError     carries the names of features that no forecast can be made from
    └── KeyNotFoundError          nothing is stored under that key                             exit 3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class CryptovolError(Exception):
    """Base of every deliberate error; `code` is stable and `exit_code` is the command line's."""

    code = "error"
    exit_code = 3
    retryable = False


class ConfigError(CryptovolError):
    """Raised when a setting, parameter or argument is missing or wrong."""

    code = "config"
    exit_code = 2


class UnknownSymbolError(ConfigError):
    """Raised when the market source does not know the symbol."""

    code = "unknown_symbol"


class AccessError(ConfigError):
    """Raised when a source refuses us: the key is missing or wrong, or it bars our region."""

    code = "access"


class OutOfReachError(ConfigError):
    """Raised when a source keeps only its newest bars and older ones were asked for."""

    code = "out_of_reach"


class TransientError(CryptovolError):
    """Raised when the outside world failed in a way that a later attempt may not."""

    code = "transient"
    retryable = True


class SourceUnavailableError(TransientError):
    """Raised when a market source does not answer, or answers with nonsense."""

    code = "source_unavailable"


class RateLimitedError(SourceUnavailableError):
    """Raised when a source asks us to slow down; `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoNewBarsError(TransientError):
    """Raised when a source has no new closed bar although one is due at `as_of`."""

    code = "no_new_bars"


class StoreUnavailableError(TransientError):
    """Raised when the object store cannot be reached, refuses, or has no space left."""

    code = "store_unavailable"


class ConflictError(TransientError):
    """Raised when a conditional write lost to another writer."""

    code = "conflict"


class DataError(CryptovolError):
    """Raised when the data itself is at fault."""

    code = "data"
    exit_code = 1


class BarSchemaError(DataError):
    """Raised when rows cannot be read as bars."""

    code = "bar_schema"


class ForecastFileError(DataError):
    """Raised when a file's rows cannot be read as forecasts of the bars beside it."""

    code = "forecast_file"


class SourceContradictionError(DataError):
    """Raised when a source gives other bars for most of the hours that it is asked for again."""

    code = "source_contradiction"


class NotEnoughBarsError(DataError):
    """Raised when fewer bars are present than a step needs."""

    code = "not_enough_bars"

    def __init__(self, message: str, *, needed: int, found: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.found = found


class StaleDataError(DataError):
    """Raised when the newest bar is too old for a forecast that was not asked for with `allow_stale`."""

    code = "stale_data"


class LeakError(DataError):
    """Raised when an audit finds a feature or a target that knows hours which it must not know."""

    code = "leak"


class GateRefusedError(DataError):
    """Raised when the gate refuses a batch.

    `reasons` has one sentence per failed rule, `findings` what each rule found, `refused_by` the failed rules' names,
    and `report_key` is where the report is stored.
    """

    code = "gate_refused"

    def __init__(
        self, message: str, reasons: Sequence[str], *, findings: Mapping[str, int] | None = None,
        refused_by: Sequence[str] = (), report_key: str = "",
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.reasons = tuple(reasons)
        self.findings = dict(findings or {})
        self.refused_by = tuple(refused_by)
        self.report_key = report_key


class ModelError(CryptovolError):
    """Raised when a model is at fault."""

    code = "model"
    exit_code = 1


class ModelNotFoundError(ModelError):
    """Raised when no champion exists for what was asked."""

    code = "model_not_found"


class BundleRefusedError(ModelError):
    """Raised when a bundle's hash, format or feature spec does not match."""

    code = "bundle_refused"


class LedgerBrokenError(ModelError):
    """Raised when a ledger of promotions, or the pointer to its champion, is not what its own writers left."""

    code = "ledger_broken"


class ModelExpiredError(ModelError):
    """Raised when the champion is too old for a forecast that was not asked for with `allow_stale`."""

    code = "model_expired"


class FeatureMismatchError(ModelError):
    """Raised when feature names differ from the model's."""

    code = "feature_mismatch"

    def __init__(self, message: str, *, missing: Sequence[str], unexpected: Sequence[str]) -> None:
        super().__init__(message)
        self.missing = tuple(missing)
        self.unexpected = tuple(unexpected)


class FeatureValueError(ModelError):
    """Raised when a feature has no finite number, or one so far out that no finite forecast follows from it.

    `features` has the names.
    """

    code = "feature_value"

    def __init__(self, message: str, features: Sequence[str]) -> None:
        super().__init__(message)
        self.features = tuple(features)


class KeyNotFoundError(CryptovolError):
    """Raised when nothing is stored under a key."""

    code = "key_not_found"
