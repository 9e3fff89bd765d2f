"""Each function imported alone: an isolated interpreter that sees its layers, itself and the standard library."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cryptovol.cloud.packaging import interpreter
from cryptovol.cloud.packaging.interpreter import Interpreter
from cryptovol.cloud.packaging.plan import Function

# Runs in the other interpreter, whose path is the unpacked build and nothing of this machine's packages.
_PROGRAM = """
import importlib, json, sys
folders, names = json.loads(sys.argv[1])
sys.path[:0] = folders
loaded = [importlib.import_module(name) for name in names]
import boto3
boto3.client("s3", region_name="us-east-1")
"""


def import_alone(python: Interpreter, function: Function, folders: Sequence[Path]) -> str:
    """Import a function, then each package it names, and open an S3 client; return an empty text or what failed.

    Parameters
    ----------
    folders
        What is on its path: the function's folder and its layers' ``python`` folders.
    """
    task = json.dumps([[str(folder.resolve()) for folder in folders], [function.module, *function.imports]])
    # -I takes no path from the environment or the working folder, -S none from site-packages.
    command = [str(python.path), "-I", "-S", "-c", _PROGRAM, task]
    try:
        interpreter.run(command, {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"})
    except subprocess.CalledProcessError as error:
        return interpreter.last_words(error)
    return ""
