"""The same as `fastapi_frame`, as a BentoML service: ``bentoml serve bento_frame:Forecast``."""

import math
import os
from typing import Any

import bentoml
import pandas as pd
import xgboost


@bentoml.service(workers=1)
class Forecast:
    """One worker with the model that `RIVAL_MODEL` names."""

    def __init__(self) -> None:
        self.model = xgboost.XGBRegressor()
        self.model.load_model(os.environ["RIVAL_MODEL"])
        self.model.set_params(n_jobs=1)
        self.names = list(self.model.feature_names_in_)

    @bentoml.api
    def predict(self, features: dict[str, float]) -> dict[str, Any]:
        """Forecast from features."""
        frame = pd.DataFrame([features])[self.names]
        found = math.exp(float(self.model.predict(frame)[0]))
        return {"volatility": found, "volatility_annualized": found * math.sqrt(8760), "horizon_hours": 24}
