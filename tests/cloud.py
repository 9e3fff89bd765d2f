"""An emulator of one test's own, and functions deployed on it by the code that `make run` uses."""

import json
import os
from pathlib import Path
from typing import Any

from cryptovol.adapters.s3 import S3Store
from cryptovol.cloud import deploy, embedded, environs, processes, zips
from cryptovol.cloud.fleet import Fleet, down
from cryptovol.cloud.state import State

BUCKET = "cryptovol"


class Cloud:
    """MiniStack on a free port over one project folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = State(root / "var")
        self.fleet = Fleet(root, self.state)
        self.port = self.fleet.port("cloud")
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.s3, self.functions = deploy.clients(self.endpoint)
        self.store = S3Store(BUCKET, self.s3)

    def start(self) -> processes.Child:
        """Start the emulator with a secret in the caller's environment."""
        environ = {**os.environ, "A_SECRET": "shh"}
        return self.fleet.ensure(embedded.spec(self.state.folder, self.port, environ))

    def stop(self) -> None:
        """Stop whatever runs."""
        down(self.state.folder)

    def deploy(self, **more: str) -> dict[str, str]:
        """Deploy with the embedded lane's target; `more` goes into the functions' environment."""
        extra = embedded.function_environ(self.state.folder, zips.layer_zip(self.root))
        target = deploy.Target(
            runtime=embedded.RUNTIME,
            bootstrap=Path("localstack/bootstrap").read_bytes(),
            environment={**environs.cloud(self.endpoint), **extra, **more},
            buckets=(BUCKET,),
        )
        return deploy.deploy(self.root, target, s3=self.s3, functions=self.functions)

    def invoke(self, stage: str, event: dict[str, Any]) -> tuple[str | None, Any]:
        """Return the kind of failure, if any, and a function's answer."""
        answer = self.functions.invoke(FunctionName=f"cryptovol-{stage}", Payload=json.dumps(event).encode())
        return answer.get("FunctionError"), json.loads(answer["Payload"].read())

    def processes(self, stage: str) -> list[int]:
        """Return the processes that run a stage's function now."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                text = path.read_bytes()
            except OSError:
                continue  # it ended meanwhile, or is not ours
            if f"AWS_LAMBDA_FUNCTION_NAME=cryptovol-{stage}".encode() in text and str(self.root).encode() in text:
                found.append(int(path.parent.name))
        return found

    def listening(self) -> list[str]:
        """Return the sockets the emulator listens on, as the kernel writes them: address and port in hex."""
        pid = self.fleet.children["cloud"].pid
        held = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
        found = []
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in held:
                    found.append(fields[1])
        return found
