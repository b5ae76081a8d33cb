"""What deploy/ describes, on loopback: two servers behind nginx, with PostgreSQL and Redis, started from what ships.

Only addresses and ports are put in place of those in the files. The servers need Python 3.12: LLAMABERRY_SCALE_PYTHON
names one that has the extra `scale`; else one is looked for, and a new environment is made with it.
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
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from testing.postgres import running
from testing.scripted_groq import ScriptedGroq
from testing.server import ROOT, clean

DEPLOY = ROOT / "deploy"
KEY = "cluster-key-0123456789"
INSTALL = ["-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", ".[scale]"]


def program(name: str) -> str:
    """Return where a program is; skip the test where it is not installed."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    return found or pytest.skip(f"{name} is not installed")


def python312() -> str:
    """Return a Python 3.12; skip the test where there is none."""
    pyenv = os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"
    places = [shutil.which("python3.12"), *glob.glob(f"{pyenv}/versions/3.12.*/bin/python3.12")]
    for place in filter(None, places):  # pyenv's shims are on the PATH even where they lead nowhere
        if subprocess.run([place, "-c", ""], capture_output=True, check=False).returncode == 0:
            return place
    return pytest.skip("Python 3.12 is not installed, which Aegra needs")


@functools.cache
def server_python() -> str:
    """Return a Python 3.12 that has the extra `scale`, as constraints.txt locks it."""
    if given := os.environ.get("LLAMABERRY_SCALE_PYTHON"):
        return given
    folder = tempfile.mkdtemp(prefix="scale-")
    subprocess.run([python312(), "-m", "venv", folder], check=True)
    made = f"{folder}/bin/python"
    subprocess.run([made, *INSTALL], cwd=ROOT, check=True)
    return made


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait(moment: Callable[[], object], seconds: float = 120) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not moment():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


def settings() -> dict[str, str]:
    """Return what deploy/llamaberry.env.example sets."""
    lines = (DEPLOY / "llamaberry.env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def unit() -> dict[str, str]:
    """Return the settings of the systemd unit."""
    lines = (DEPLOY / "llamaberry@.service").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


class Cluster:
    """Two servers, and what they need; `address` is nginx's. All that they print is in `folder`."""

    def __init__(self, folder: Path, database: str, groq: str, servers: int = 2) -> None:
        self.folder, self.database = folder, database
        self.redis, self.front, *self.ports = (free_port() for _ in range(2 + servers))
        self.address = f"http://127.0.0.1:{self.front}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        # Nothing of the developer's, and all of what ships, but for the addresses.
        self.environment = clean(folder) | settings()
        self.environment |= {"AEGRA_CONFIG": str(ROOT / "langgraph.json"), "DATABASE_URL": database}
        self.environment |= {"REDIS_URL": f"redis://127.0.0.1:{self.redis}/0", "LLAMABERRY_API_KEY": KEY}
        self.environment |= {"GROQ_API_KEY": "gsk_test", "GROQ_API_BASE": groq}

    def start(self) -> None:
        """Start everything, and wait until it answers."""
        self.start_redis()
        for port in self.ports:
            self.start_server(port)
        self.start_nginx()
        for port in self.ports:
            self.wait_for(port)
        wait(lambda: self.answers(self.front))

    def start_redis(self) -> None:
        """Start Redis, empty: it keeps nothing that has to be kept."""
        serve = f"{program('redis-server')} --port {self.redis} --bind 127.0.0.1 --dir {self.folder} --save ''"
        self._run("redis", shlex.split(serve))

    def start_server(self, port: int) -> None:
        """Start a server by the command of the systemd unit."""
        command = unit()["ExecStart"].replace("%i", str(port)).replace("${LLAMABERRY_HOST}", "127.0.0.1")
        uvicorn, *options = shlex.split(command)
        assert uvicorn == "/opt/llamaberry/.venv/bin/uvicorn"
        self._run(str(port), [f"{Path(server_python()).parent}/uvicorn", *options])

    def start_nginx(self) -> None:
        """Start nginx with what ships, within the least that nginx wants around it."""
        site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        site = site.replace("listen 8080", f"listen 127.0.0.1:{self.front}")
        for shipped, port in zip(("2026", "2027"), itertools.cycle(self.ports), strict=False):
            site = site.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{port}")
        paths = "\n".join(
            f"{what}_temp_path {self.folder}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        around = f"daemon off; master_process off; pid {self.folder}/nginx.pid; error_log stderr;\n"
        around += f"events {{}}\nhttp {{\naccess_log off;\n{paths}\n{site}}}\n"
        (self.folder / "nginx.conf").write_text(around, encoding="utf-8")
        self._run("nginx", [program("nginx"), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")])

    def wait_for(self, port: int) -> None:
        """Wait until a server answers. One that has ended is started again, as systemd does.

        So it goes where both begin at once with an empty database: one of them makes the tables, the other fails.
        """
        assert unit()["Restart"] == "always"
        restarts = iter(range(3))

        def ready() -> bool:
            if self.running[str(port)].poll() is not None:
                assert next(restarts, None) is not None, (self.folder / f"{port}.log").read_text()[-3000:]
                self.start_server(port)
            return self.answers(port)

        wait(ready)

    def answers(self, port: int) -> bool:
        """Whether a server is ready at this port, or behind it."""
        try:
            return httpx.get(f"http://127.0.0.1:{port}/ready", headers={"x-api-key": KEY}).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self, name: str | int, by: signal.Signals = signal.SIGTERM) -> int:
        """End one of them, and return its exit code."""
        process = self.running.pop(str(name))
        process.send_signal(by)
        return process.wait(60)

    def stop_all(self) -> None:
        """End all of them at once."""
        for name in list(self.running):
            self.stop(name, signal.SIGKILL)

    def crash_postgres(self) -> None:
        """Kill a process of PostgreSQL, so that it throws all clients out, and recovers from its log."""
        with psycopg.connect(self.database) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)

        def recovered() -> bool:
            try:
                psycopg.connect(self.database).close()
            except psycopg.OperationalError:
                return False
            return True

        wait(recovered)

    def _run(self, name: str, command: list[str]) -> None:
        """Start a program that does not outlive this one, even where this one is killed."""
        bound = [program("setpriv"), "--pdeathsig", "KILL", *command]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                bound, cwd=self.folder, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )


@contextmanager
def cluster(groq: ScriptedGroq | str, servers: int = 2) -> Iterator[Cluster]:
    """Start servers, PostgreSQL, Redis and nginx; end them all."""
    server_python(), program("redis-server"), program("nginx")
    address = groq if isinstance(groq, str) else groq.url
    with running() as database, tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        made = Cluster(Path(folder), database, address, servers)
        try:
            made.start()
            yield made
        finally:
            made.stop_all()
