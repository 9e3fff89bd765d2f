"""The usual handler: Chalice, a DataFrame, XGBRegressor; features of stored bars by pandas' rolling windows."""

import io
import math
import os
from functools import cache
from typing import Any

import boto3
import pandas as pd
import xgboost
from chalice.app import BadRequestError, Chalice

app = Chalice(app_name="rival")


def _fetched(setting: str) -> bytes:
    data: bytes = (
        boto3.client("s3").get_object(Bucket=os.environ["RIVAL_BUCKET"], Key=os.environ[setting])["Body"].read()
    )
    return data


@cache
def model() -> Any:
    """Return the model, fetched at the first forecast."""
    found = xgboost.XGBRegressor()
    found.load_model(bytearray(_fetched("RIVAL_KEY")))
    found.set_params(n_jobs=1)
    return found


@cache
def bars() -> Any:
    """Return as many bars as the features need, fetched at the first forecast, as ours holds them."""
    from cryptovol.bars import make

    frame = pd.read_csv(io.BytesIO(_fetched("RIVAL_BARS")))
    columns = frame[["open", "high", "low", "close"]].to_numpy()
    return make(
        frame["time"].to_numpy(), columns, volume_base=frame["volume_base"].to_numpy(), symbol="BTC", quote="USD",
        volume_quote=frame["volume_base"].to_numpy(), source="bench", fetched_at=0,
    )  # fmt: skip


def row_of(body: dict[str, Any]) -> Any:
    """Return the one row of features that a body asks about."""
    if "symbol" in body:
        import rolling

        return rolling.build(bars(), coverage=0.75).iloc[-1:]
    names = list(model().feature_names_in_)
    missing = [name for name in names if name not in body["features"]]
    if missing:
        raise BadRequestError(f"missing features: {missing}")
    return pd.DataFrame([body["features"]])[names]


@app.route("/predict", methods=["POST"])
def predict() -> dict[str, Any]:
    """Forecast from features, or from stored bars."""
    found = math.exp(float(model().predict(row_of(app.current_request.json_body))[0]))
    return {"volatility": found, "volatility_annualized": found * math.sqrt(8760), "horizon_hours": 24}
