"""The graph on a server, run as `langgraph dev` runs it: a process of its own, on a free port of loopback."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
QUIET = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true"}
COMMAND = [sys.executable, "-m", "langgraph_cli", "dev", "--no-reload", "--no-browser"]


def clean(home: Path, **more: str) -> dict[str, str]:
    """Return an environment for a server that several tests share: nothing of the developer's but where Python is."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return kept | {"LLAMABERRY_HOME": str(home), "LANGSMITH_TRACING": "false"} | more


@contextmanager
def served(environment: Mapping[str, str] | None = None, log: Path | None = None, **more: str) -> Iterator[str]:
    """Serve the graph, and return its address; `log` is where all goes that the server prints."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    env = {**(os.environ if environment is None else environment), **QUIET, **more}
    with (
        open(log or os.devnull, "wb") as out,
        subprocess.Popen([*COMMAND, "--port", port], env=env, cwd=ROOT, stdout=out, stderr=out) as server,
    ):
        address = f"http://127.0.0.1:{port}"
        while server.poll() is None:
            try:
                httpx.get(f"{address}/ok")
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        try:
            yield address
        finally:
            server.terminate()
