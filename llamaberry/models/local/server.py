"""The local model: where its file lies, and the one server process that runs it."""

import atexit
import contextlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import platformdirs

from llamaberry.graph.errors import SetupError

FILE_NAME = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
PACKAGES = ("xllamacpp", "langchain_openai")
SLOTS = 2  # replies written at once, if LLAMABERRY_LOCAL_SLOTS does not say otherwise
MOST_SLOTS = 16
SLOT_TOKENS = 16_384  # context of one slot; all slots' memory (28 KB a token) is taken at the start
START_TIMEOUT_S = 120.0


def pulled_path() -> Path:
    """Return where `llamaberry model pull` puts the model: under LLAMABERRY_HOME, else the user's cache directory."""
    chosen = os.environ.get("LLAMABERRY_HOME")
    home = Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("llamaberry")
    return home / "models" / FILE_NAME


def gguf_path() -> Path:
    """Return the model file to run: LLAMABERRY_LOCAL_GGUF, which must exist, else the pulled one, which may not."""
    chosen = os.environ.get("LLAMABERRY_LOCAL_GGUF")
    if not chosen:
        return pulled_path()
    path = Path(chosen).expanduser()
    if not path.is_file():
        raise SetupError(f"LLAMABERRY_LOCAL_GGUF is {chosen!r}, and no such file exists: correct it, or unset it.")
    return path


def slots() -> int:
    """Return how many replies are written at once: more slots give more tokens a second, each reply more slowly."""
    chosen = os.environ.get("LLAMABERRY_LOCAL_SLOTS", "").strip()
    if not chosen:
        return SLOTS
    if not chosen.isdecimal() or not 1 <= int(chosen) <= MOST_SLOTS:
        raise SetupError(f"LLAMABERRY_LOCAL_SLOTS is {chosen!r}: set a number from 1 to {MOST_SLOTS}, or unset it.")
    return int(chosen)


def missing_packages() -> list[str]:
    """Return the packages that the local model needs and that are not installed (nothing is imported)."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def require() -> Path:
    """Return the model file; raise SetupError, with the remedy, where it or a package is missing. Cheap."""
    if missing := missing_packages():
        raise SetupError(
            f"The local model needs {' and '.join(missing)}, not installed in this Python: "
            'run `pip install "llamaberry[local]"`, then `llamaberry model pull`.'
        )
    path = gguf_path()
    if not path.is_file():
        raise SetupError(f"The local model is not at {path}: run `llamaberry model pull` (1.1 GB, once).")
    return path


class LocalServer:
    """One llama.cpp in a child process, speaking the OpenAI protocol on loopback to those who have its key.

    The child ends when its standard input closes, so it outlives neither `close()` nor this process, however that ends.
    """

    def __init__(self, model: Path) -> None:
        """Spawn the child and return at once; `base_url` is there after `wait_until_ready()`."""
        self.model, self.base_url, self.api_key = model, "", secrets.token_urlsafe()
        self._slots = slots()
        # Append mode: reading the tail here must not move the place where the child writes.
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        # By path and with -P: the child imports neither this package nor its neighbours, which would cost a second.
        # A session of its own: Ctrl-C in the terminal is for the parent, which may still want an answer.
        command = [sys.executable, "-P", str(Path(__file__).with_name("child.py"))]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._log, start_new_session=True)
        atexit.register(self.close)

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Block until the model is loaded, or raise SetupError with the log's tail; `close()` ends the waiting."""
        many = {"slots": self._slots, "tokens": self._slots * SLOT_TOKENS}
        settings = {"model": str(self.model), "key": self.api_key, **many}
        start, line = time.monotonic(), b""
        timer = threading.Timer(timeout_s, self._child.kill)
        timer.start()
        try:
            with contextlib.suppress(OSError, ValueError):  # the child is gone, or was closed: no line tells that
                assert self._child.stdin is not None  # noqa: S101
                assert self._child.stdout is not None  # noqa: S101
                self._child.stdin.write(json.dumps(settings).encode() + b"\n")
                self._child.stdin.flush()
                line = self._child.stdout.readline()
            if not line:
                code, late = self._child.wait(), time.monotonic() - start >= timeout_s
                why = f"was not ready after {timeout_s:g} s" if late else f"ended while starting (exit code {code})"
                remedy = f"if {self.model} is damaged, delete it and run `llamaberry model pull`"
                raise SetupError(f"The local model's server {why}: {remedy}. The end of its log:\n{self.log_tail()}")
            self.base_url = f"{json.loads(line)}/v1"
        finally:
            timer.cancel()
            if not self.base_url:  # Ctrl-C too
                self.close()

    def alive(self) -> bool:
        """Tell whether the child runs."""
        return self._child.poll() is None

    def log_tail(self) -> str:
        """Return the end of llama.cpp's log; nothing is left of it after `close()`."""
        with contextlib.suppress(ValueError):  # closed
            self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2_000))
            return self._log.read().decode(errors="replace").strip()
        return ""

    def close(self) -> None:
        """End the child, also one that is still loading; harmless when repeated, and from any thread."""
        atexit.unregister(self.close)
        with contextlib.suppress(OSError), self._child:  # leaving it closes the pipes; what was never sent may fail
            self._child.kill()
        self._log.close()


_server: LocalServer | None = None
_lock = threading.Lock()


def server() -> LocalServer:
    """Return the process's server, ready; the first call, and the next one after it died, start it (seconds).

    Raises SetupError where the file or a package is missing, or the server does not start.
    """
    global _server
    model = require()
    with _lock:
        if _server is None or not _server.alive() or _server.model != model:
            close()
            _server = LocalServer(model)
            _server.wait_until_ready()
        return _server


def running() -> tuple[tuple[str, str], ...]:
    """Return the address and the key of the server if it is ready to answer, as one pair; else nothing."""
    now = _server
    return ((now.base_url, now.api_key),) if now and now.base_url and now.alive() else ()


def close() -> None:
    """End the process's server, if there is one; a thread that waits in `server()` then gets its SetupError."""
    if _server is not None:  # without the lock, which is held by whoever waits for the start
        _server.close()
