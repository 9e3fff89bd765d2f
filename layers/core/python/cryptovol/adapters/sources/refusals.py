"""What several venues said, as the one error that helps most."""

from __future__ import annotations

from cryptovol.errors import (
    AccessError,
    BarSchemaError,
    ConfigError,
    CryptovolError,
    OutOfReachError,
    RateLimitedError,
    SourceUnavailableError,
    UnknownSymbolError,
)

Said = dict[str, CryptovolError]

# A later attempt may help against the first, a person against the others; a symbol is unknown only if all say so.
_TELLING: tuple[type[CryptovolError], ...] = (
    SourceUnavailableError, BarSchemaError, AccessError, OutOfReachError, ConfigError, UnknownSymbolError
)  # fmt: skip


def passing(error: CryptovolError | None) -> bool:
    """Return whether an error is a sound venue's: it does not have what was asked for, or does not let us have it."""
    return error is None or isinstance(error, AccessError | OutOfReachError | UnknownSymbolError)


def reached(error: CryptovolError) -> bool:
    """Return whether somebody answered, be it with a refusal: only a failed connection has an `OSError` for cause."""
    return not isinstance(error.__cause__, OSError)


def brief(error: CryptovolError) -> str:
    """Return what an error says without its cure, to be put into a longer sentence."""
    return str(error).partition(" Cure:")[0].rstrip(".")


def told(pair: str, said: Said) -> CryptovolError:
    """Return one error for what each venue said of a pair.

    Its kind is the most telling one among them, a rate limit if all transient ones are, with the shortest wait.

    Parameters
    ----------
    said
        Errors by venue; if empty, no venue is set up.
    """
    if not said:
        return ConfigError("no market source is set up. Cure: name one without a key in params.yaml, sources.order")
    errors = list(said.values())
    if len(errors) == 1:
        return errors[0]
    kind = min(map(_kind, errors), key=_TELLING.index)
    chosen = [error for error in errors if _kind(error) is kind]
    cure = next((cure for error in chosen if (cure := str(error).partition(" Cure:")[2])), "")
    parts = "; ".join(f"{name}: {brief(error)}" for name, error in said.items())
    text = f"no market source serves {pair}: {parts}" + (f". Cure:{cure}" if cure else "")
    waits = [error.retry_after for error in chosen if isinstance(error, RateLimitedError)]
    return RateLimitedError(text, min(waits)) if len(waits) == len(chosen) else kind(text)


def _kind(error: CryptovolError) -> type[CryptovolError]:
    """Return the narrowest of the telling kinds that an error is of."""
    return next((kind for kind in type(error).__mro__ if kind in _TELLING), SourceUnavailableError)
