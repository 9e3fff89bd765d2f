"""The least any such function does: import numpy, Chalice and the S3 client, and fetch one object."""

import os
import sys

import boto3
import chalice  # noqa: F401  (what is timed is its import)
import numpy as np

client = boto3.client("s3")
data = client.get_object(Bucket=os.environ["RIVAL_BUCKET"], Key=sys.argv[1])["Body"].read()
sys.stdout.write(f"fetched {len(np.frombuffer(data, dtype=np.uint8))} bytes\n")
sys.stdout.flush()
