"""What the predict path must not load."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("pandas", "sklearn", "mlflow", "xgboost", "scipy")
PROGRAM = """
import json, sys
import app
from chalice.test import Client
from chalicelib import service
from cryptovol.testing import MemoryStore
from cryptovol.wiring import open_ports
ports = open_ports()
ports.store = MemoryStore()
service.install(service.open_service(ports))
with Client(app.app) as client:
    status = client.http.post("/predict", headers={"content-type": "application/json"}, body=b'{"symbol":"BTC"}').status_code
print(json.dumps({"status": status, "loaded": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def test_predict_app_loads_no_heavy_package_in_a_fresh_interpreter() -> None:
    """Importing the app and answering a request loads none of the packages that make a cold start slow."""
    path = "import sys; sys.path.insert(0, 'functions/predict')\n"
    done = subprocess.run(
        [sys.executable, "-c", path + PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["status"] == 503
    assert not set(HEAVY) & set(seen["loaded"])


def test_predict_app_import_alone_loads_no_cloud_client() -> None:
    """Packaging imports the app: no boto3, no Powertools, nothing opened."""
    program = "import sys; sys.path.insert(0, 'functions/predict'); import app; print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
