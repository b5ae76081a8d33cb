"""`langgraph dev` as a user runs it: a subprocess that serves the project's langgraph.json on an unused port."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from testing.environment import reset_environment as clean_environment
from testing.scripted_groq import ScriptedGroq

ROOT = Path(__file__).parents[1]
CLI_SETTINGS = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true"}
COMMAND = [sys.executable, "-m", "langgraph_cli", "dev", "--no-reload", "--no-browser"]
PYTHON = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning"]
"""Runs a user's script with warnings as errors, except for connections still open at the exit."""


def server_environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a server that several tests share, without the developer's settings."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return inherited | {"LLAMABERRY_HOME": str(home), "LANGSMITH_TRACING": "false"} | more


@contextmanager
def serve(
    environment: Mapping[str, str] | None = None, log: Path | None = None, graph: str = "", **more: str
) -> Iterator[str]:
    """Serve in this environment plus `more`, and yield the address. The server's output goes to `log`.

    `graph` is the source of a module with another `graph`, to be served in place of the project's.

    The server stores its threads and assistants in the current folder. That is a new folder each time, so that it
    also finds no .env of the developer.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    env = {**(os.environ if environment is None else environment), **CLI_SETTINGS, **more}
    command = [*COMMAND, "--port", port, "--n-jobs-per-worker", "10"]
    with tempfile.TemporaryDirectory() as folder, open(log or os.devnull, "wb") as out:
        for name in ("langgraph.json", "graph", "llamaberry"):
            Path(folder, name).symlink_to(ROOT / name)
        if graph:
            Path(folder, "own.py").write_text(graph, encoding="utf-8")
            config = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
            Path(folder, "langgraph.json").unlink()
            Path(folder, "langgraph.json").write_text(
                json.dumps({**config, "graphs": {"llamaberry": "./own.py:graph"}})
            )
        with subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=out) as server:
            address = f"http://127.0.0.1:{port}"
            while server.poll() is None:
                try:
                    httpx.get(f"{address}/ok")
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            assert server.poll() is None, "langgraph dev has ended: run it by hand to see the cause"
            try:
                yield address
            finally:
                server.terminate()


@contextmanager
def serve_with_groq() -> Iterator[tuple[str, ScriptedGroq]]:
    """Serve with a scripted Groq, for a fixture that several tests share; each test sets its script with `play`."""
    with pytest.MonkeyPatch.context() as environment, ScriptedGroq() as groq:
        clean_environment(environment)
        with serve(GROQ_API_KEY="gsk_test", GROQ_API_BASE=groq.url) as address:
            yield address, groq
