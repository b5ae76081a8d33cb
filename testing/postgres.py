"""A real PostgreSQL for the tests, started once per test run on an unused port of loopback."""

import atexit
import functools
import glob
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

PASSWORD = "pg-password-planted"
# Stops the server and removes its folder when this process closes the pipe or is killed.
KEEPER = '"$@" & read _; kill -INT $!; wait $!; rm -rf "$0"'
_names = itertools.count(1)


def new_database() -> str:
    """Create a database and return its address; skip the test if PostgreSQL is not installed."""
    server = _address()
    name = f"threads{next(_names)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.removesuffix("postgres") + name


@functools.cache
def _address() -> str:
    stack = ExitStack()
    address = stack.enter_context(running_postgres())
    atexit.register(stack.close)
    return address


def _program(name: str) -> str:
    paths = [shutil.which(name), *sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)]
    path = next((path for path in paths if path), None)
    return path or pytest.skip("PostgreSQL is not installed: no initdb and postgres on the PATH")


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a PostgreSQL in a new folder, and yield the address of its first database."""
    initdb, postgres = _program("initdb"), _program("postgres")
    # The server refuses to run as root.
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        data, secret = folder / "data", folder / "password"
        secret.write_text(PASSWORD)
        for path in (folder, secret) if user else ():
            shutil.chown(path, "postgres", "postgres")
        options: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL, **user}
        create = [initdb, "-D", str(data), "-U", "tester", "-A", "scram-sha-256", "--pwfile", str(secret), "--no-sync"]
        subprocess.run([*create, "-E", "UTF8", "--locale", "C"], check=True, capture_output=True, timeout=60, **options)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        serve = [postgres, "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-c", "fsync=off"]
        options |= {"stdin": subprocess.PIPE, "start_new_session": True}
        with open(folder / "log", "wb") as log:
            server = subprocess.Popen(["sh", "-c", KEEPER, str(folder), *serve], stdout=log, stderr=log, **options)
        with server:
            address = f"postgresql://tester:{PASSWORD}@127.0.0.1:{port}/postgres"
            _wait(address, folder / "log")
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(address: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return
