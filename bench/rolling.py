"""The 36 features as most projects write them, with pandas' rolling windows: what `make bench` holds ours against."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryptovol.bars import Bars
from cryptovol.features import FEATURE_NAMES
from cryptovol.volatility import EWMA_DECAY, FLOOR


def build(bars: Bars, *, coverage: float) -> pd.DataFrame:
    """Return the features of consecutive bars, one column each, in the order of `FEATURE_NAMES`.

    The exponential means run on from the first bar, as pandas' do; ours are cut off after 256 hours.
    """
    names = ("open", "high", "low", "close", "volume_base")
    frame = pd.DataFrame({name: getattr(bars, name) for name in names}, index=pd.to_datetime(bars.time, unit="s"))
    price = np.log(frame["close"])
    r = price.diff()
    week = np.sqrt(_mean(r**2, 168, coverage)).clip(lower=FLOOR)
    columns = {**_price(price, r, week, coverage), **_volatility(frame, r, week, coverage)}
    columns |= {**_momentum(frame, r, week, coverage), **_temporal(frame.index)}
    return pd.DataFrame(columns)[list(FEATURE_NAMES)]


def _mean(x: pd.Series, window: int, coverage: float) -> pd.Series:
    return x.rolling(window, min_periods=int(np.ceil(coverage * window))).mean()


def _damped(x: pd.Series) -> pd.Series:
    return x / np.sqrt(1.0 + x.abs())


def _log(volatility: pd.Series) -> pd.Series:
    return np.log(volatility.clip(lower=FLOOR))


def _price(price: pd.Series, r: pd.Series, week: pd.Series, coverage: float) -> dict[str, pd.Series]:
    out = {"return_24": _damped(_mean(r, 24, coverage) * np.sqrt(24) / week)}
    for window in (24, 168):
        out[f"sma_distance_{window}"] = _damped((price - _mean(price, window, coverage)) / (week * np.sqrt(window)))
    fast, slow = (price.ewm(span=span).mean() for span in (12, 26))
    out["macd_12_26"] = _damped((fast - slow) / (week * np.sqrt(26)))
    out["drawdown_168"] = _damped((price - price.rolling(168).max()) / (week * np.sqrt(168)))
    return out


def _volatility(frame: pd.DataFrame, r: pd.Series, week: pd.Series, coverage: float) -> dict[str, pd.Series]:
    out = {f"rv_{w}": _log(np.sqrt(_mean(r**2, w, coverage))) for w in (6, 24, 168, 720)}
    out["ewma_94"] = _log(np.sqrt((r**2).ewm(alpha=1 - EWMA_DECAY).mean()))
    span, body = np.log(frame["high"] / frame["low"]), np.log(frame["close"] / frame["open"])
    gk = (0.5 * span**2 - (2 * np.log(2) - 1) * body**2).clip(lower=0)
    out |= {f"gk_{w}": _log(np.sqrt(_mean(gk, w, coverage))) for w in (1, 3, 24, 336, 720)}
    out["gk_ewma_97"] = _log(np.sqrt(gk.ewm(alpha=0.03).mean()))
    out["parkinson_24"] = _log(np.sqrt(_mean(span**2 / (4 * np.log(2)), 24, coverage)))
    hourly = np.sqrt(gk).rolling(24, min_periods=int(np.ceil(coverage * 24)))
    out["gk_cv_24"] = np.log1p(hourly.std(ddof=0) / hourly.mean())
    out["largest_24"] = np.log(r.abs().rolling(24, min_periods=1).max().clip(lower=FLOOR) / week)
    for hours in (6, 24):
        stretch = _log(np.sqrt(_mean(gk, hours, coverage)))
        out[f"gk_same_{hours}"] = sum(stretch.shift(168 * k - hours) for k in (1, 2, 3, 4)) / 4
    return out


def _momentum(frame: pd.DataFrame, r: pd.Series, week: pd.Series, coverage: float) -> dict[str, pd.Series]:
    gain, loss = _mean(r.clip(lower=0), 14, coverage), _mean((-r).clip(lower=0), 14, coverage)
    out = {"rsi_14": (gain - loss) / (gain + loss)}
    for window in (3, 24):
        out[f"move_{window}"] = _damped((_mean(r, window, coverage) * np.sqrt(window) / week).abs())
    out["downside_3"] = _damped(_mean(r.clip(upper=0), 3, coverage) * np.sqrt(3) / week)
    volume = frame["volume_base"]
    out["volume_1"] = np.log((volume / _mean(volume, 720, coverage)).clip(lower=1e-3))
    return out


def _temporal(index: pd.DatetimeIndex) -> dict[str, pd.Series]:
    after = index + pd.Timedelta(hours=1)
    # Counted from the epoch's weekday, a Thursday, as the hours of our week are.
    hours = {"day": after.hour, "week": (after.day_of_week - 3) % 7 * 24 + after.hour}
    out = {}
    for name, length, harmonics in (("day", 24, (1, 2)), ("week", 168, (1, 2, 3))):
        phase = 2 * np.pi * hours[name].to_numpy() / length
        for k in harmonics:
            out[f"{name}_sin_{k}"] = pd.Series(np.sin(k * phase), index=index)
            out[f"{name}_cos_{k}"] = pd.Series(np.cos(k * phase), index=index)
    return out
