"""Save the model as MLflow keeps models: ``python mlflow_save.py MODEL FOLDER``."""

import sys

import mlflow.xgboost
import xgboost


def main() -> None:
    """Save."""
    model = xgboost.XGBRegressor()
    model.load_model(sys.argv[1])
    model.set_params(n_jobs=1)
    # Named, so that nothing is looked up to infer them.
    mlflow.xgboost.save_model(model, sys.argv[2], pip_requirements=["xgboost"])


if __name__ == "__main__":
    main()
