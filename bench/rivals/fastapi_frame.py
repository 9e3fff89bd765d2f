"""The usual service: FastAPI, a pydantic model of the 36 features, a DataFrame, XGBRegressor.

Served by ``uvicorn fastapi_frame:app``; the model's file is named by `RIVAL_MODEL`.
"""

import math
import os
from typing import Any

import pandas as pd
import xgboost
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, create_model

MODEL = xgboost.XGBRegressor()
MODEL.load_model(os.environ["RIVAL_MODEL"])
MODEL.set_params(n_jobs=1)
NAMES = list(MODEL.feature_names_in_)

FIELDS: dict[str, Any] = {name: (float, ...) for name in NAMES}
Features = create_model("Features", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **FIELDS)


class Ask(BaseModel):
    """The body."""

    features: Features  # type: ignore[valid-type]


app = FastAPI()


@app.post("/predict")
def predict(ask: Ask) -> dict[str, Any]:
    """Forecast from features; a plain function, which FastAPI runs in its pool of threads."""
    frame = pd.DataFrame([ask.features.model_dump()])[NAMES]
    found = math.exp(float(MODEL.predict(frame)[0]))
    return {"volatility": found, "volatility_annualized": found * math.sqrt(8760), "horizon_hours": 24}
