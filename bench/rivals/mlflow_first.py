"""A new process to its first forecast by MLflow: ``python mlflow_first.py EVENT``.

The files of the saved model are fetched from the store into a folder, as MLflow does, and loaded as a pyfunc.
"""

import json
import math
import os
import sys
import tempfile
from pathlib import Path

import boto3
import mlflow.pyfunc
import pandas as pd

PREFIX = "rivals/mlflow/"


def main() -> None:
    """Answer once."""
    client, bucket = boto3.client("s3"), os.environ["RIVAL_BUCKET"]
    with open(sys.argv[1], encoding="utf-8") as file:
        features = json.loads(json.load(file)["body"])["features"]
    with tempfile.TemporaryDirectory() as folder:
        for entry in client.list_objects_v2(Bucket=bucket, Prefix=PREFIX)["Contents"]:
            path = Path(folder, entry["Key"].removeprefix(PREFIX))
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, entry["Key"], str(path))
        model = mlflow.pyfunc.load_model(folder)
        found = math.exp(float(model.predict(pd.DataFrame([features]))[0]))
    sys.stdout.write(f"first forecast {found!r}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
