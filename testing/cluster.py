"""The deployment of deploy/ on loopback: two servers behind nginx, with PostgreSQL and Redis.

The files of deploy/ are used as they are, except for addresses and ports. The servers need Python 3.12:
LLAMABERRY_SCALE_PYTHON names one with the extra `scale`; without it, a new environment is created.
"""

import functools
import glob
import itertools
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from testing.command import wait_until
from testing.keys import write_keys
from testing.postgres import running_postgres
from testing.scripted_groq import ScriptedGroq
from testing.server import ROOT, server_environment

DEPLOY = ROOT / "deploy"
KEY = "cluster-key-0123456789"
INSTALL = ["-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", ".[scale]"]


def program(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    return path or pytest.skip(f"{name} is not installed")


def python312() -> str:
    """Return the path of a Python 3.12; skip the test if there is none."""
    pyenv = os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"
    candidates = [shutil.which("python3.12"), *glob.glob(f"{pyenv}/versions/3.12.*/bin/python3.12")]
    for path in filter(None, candidates):  # pyenv's shims are on the PATH even if they do not work
        if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return pytest.skip("Python 3.12 is not installed, which Aegra needs")


@functools.cache
def server_python() -> str:
    """Return the path of a Python 3.12 with the extra `scale` in the versions of constraints.txt."""
    if python := os.environ.get("LLAMABERRY_SCALE_PYTHON"):
        return python
    folder = tempfile.mkdtemp(prefix="scale-")
    subprocess.run([python312(), "-m", "venv", folder], check=True)
    python = f"{folder}/bin/python"
    subprocess.run([python, *INSTALL], cwd=ROOT, check=True)
    return python


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def shipped_settings() -> dict[str, str]:
    """Return the variables of deploy/llamaberry.env.example."""
    lines = (DEPLOY / "llamaberry.env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def systemd_unit() -> dict[str, str]:
    """Return the settings of deploy/llamaberry@.service."""
    lines = (DEPLOY / "llamaberry@.service").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


class Cluster:
    """Servers and what they need. `address` is nginx's, and `folder` has the logs."""

    def __init__(self, folder: Path, database: str, groq: str, servers: int = 2) -> None:
        self.folder, self.database = folder, database
        self.redis, self.front, *self.ports = (free_port() for _ in range(2 + servers))
        self.address = f"http://127.0.0.1:{self.front}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        # The shipped settings, except for the addresses; no setting of the developer.
        self.environment = server_environment(folder) | shipped_settings()
        self.environment |= {"AEGRA_CONFIG": str(ROOT / "langgraph.json"), "DATABASE_URL": database}
        self.environment |= {"REDIS_URL": f"redis://127.0.0.1:{self.redis}/0", "LLAMABERRY_API_KEY": KEY}
        self.environment |= {"GROQ_API_KEY": "gsk_test", "GROQ_API_BASE": groq}
        self.environment |= {"LLAMABERRY_KEYS_FILE": write_keys(folder / "keys")}

    def start(self) -> None:
        """Start everything, and wait until it is ready."""
        self.start_redis()
        for port in self.ports:
            self.start_server(port)
        self.start_nginx()
        for port in self.ports:
            self.wait_for(port)
        wait_until(lambda: self.ready(self.front))

    def start_redis(self) -> None:
        """Start Redis, empty, as it stores nothing permanent."""
        serve = f"{program('redis-server')} --port {self.redis} --bind 127.0.0.1 --dir {self.folder} --save ''"
        self._run("redis", shlex.split(serve))

    def start_server(self, port: int) -> None:
        """Start a server with the command of the systemd unit."""
        command = systemd_unit()["ExecStart"].replace("%i", str(port)).replace("${LLAMABERRY_HOST}", "127.0.0.1")
        uvicorn, *options = shlex.split(command)
        assert uvicorn == "/opt/llamaberry/.venv/bin/uvicorn"
        self._run(str(port), [f"{Path(server_python()).parent}/uvicorn", *options])

    def start_nginx(self) -> None:
        """Start nginx with the shipped site in a minimal configuration."""
        site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        site = site.replace("listen 8080", f"listen 127.0.0.1:{self.front}")
        for shipped, port in zip(("2026", "2027"), itertools.cycle(self.ports), strict=False):
            site = site.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{port}")
        paths = "\n".join(
            f"{name}_temp_path {self.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = f"daemon off; master_process off; pid {self.folder}/nginx.pid; error_log stderr;\n"
        config += f"events {{}}\nhttp {{\naccess_log off;\n{paths}\n{site}}}\n"
        (self.folder / "nginx.conf").write_text(config, encoding="utf-8")
        self._run("nginx", [program("nginx"), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")])

    def wait_for(self, port: int) -> None:
        """Wait until a server is ready. If it has ended, restart it, as systemd does.

        Two servers that start with an empty database at the same time both create the tables, and one fails.
        """
        assert systemd_unit()["Restart"] == "always"
        restarts = iter(range(3))

        def started() -> bool:
            if self.running[str(port)].poll() is not None:
                assert next(restarts, None) is not None, (self.folder / f"{port}.log").read_text()[-3000:]
                self.start_server(port)
            return self.ready(port)

        wait_until(started)

    def ready(self, port: int) -> bool:
        """Return whether a server is ready at this port, or behind it."""
        try:
            return httpx.get(f"http://127.0.0.1:{port}/ready", headers={"x-api-key": KEY}).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self, name: str | int, by: signal.Signals = signal.SIGTERM) -> int:
        """Stop one program with a signal, and return its exit code."""
        process = self.running.pop(str(name))
        process.send_signal(by)
        return process.wait(60)

    def stop_all(self) -> None:
        """Kill all programs."""
        for name in list(self.running):
            self.stop(name, signal.SIGKILL)

    def crash_postgres(self) -> None:
        """Kill a process of PostgreSQL, which then disconnects all clients and recovers from its log."""
        with psycopg.connect(self.database) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)

        def recovered() -> bool:
            try:
                psycopg.connect(self.database).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_until(recovered)

    def _run(self, name: str, command: list[str]) -> None:
        """Start a program that ends with this process, even if that is killed."""
        command = [program("setpriv"), "--pdeathsig", "KILL", *command]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )


@contextmanager
def cluster(groq: ScriptedGroq | str, servers: int = 2) -> Iterator[Cluster]:
    """Start servers, PostgreSQL, Redis and nginx, and stop them at the end."""
    server_python(), program("redis-server"), program("nginx")
    address = groq if isinstance(groq, str) else groq.url
    with running_postgres() as database, tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        servers_behind_nginx = Cluster(Path(folder), database, address, servers)
        try:
            servers_behind_nginx.start()
            yield servers_behind_nginx
        finally:
            servers_behind_nginx.stop_all()
