"""The local model: the path of its file, and the server process that runs it."""

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

from llamaberry.folders import cache_folder, expand_user
from llamaberry.graph.errors import SetupError

FILE_NAME = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
PACKAGES = ("xllamacpp", "langchain_openai")
DEFAULT_SLOTS = 2  # concurrent replies
MAX_SLOTS = 16
SLOT_TOKENS = 16_384  # context of one slot; the memory of all slots (28 KB a token) is allocated at the start
START_TIMEOUT_S = 120.0
END_WAIT_S = 2.0
INHERITED = (
    "PATH", "HOME", "LANG", "LC_", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "WINDIR", "USERPROFILE", "LOCALAPPDATA",
    "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_", "GGML_", "OMP_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "VK_",
)  # fmt: skip
"""The beginnings of the variables that the child gets: those of Python, libraries and accelerators, and no secret."""


def pulled_path() -> Path:
    """Return where `llamaberry model pull` puts the model: LLAMABERRY_HOME, else the user's cache directory."""
    return cache_folder() / "models" / FILE_NAME


def gguf_path() -> Path:
    """Return the model file to run: LLAMABERRY_LOCAL_GGUF, which must exist, else the downloaded one."""
    own_file = os.environ.get("LLAMABERRY_LOCAL_GGUF")
    if not own_file:
        return pulled_path()
    path = expand_user(own_file, "LLAMABERRY_LOCAL_GGUF")
    if not path.is_file():
        raise SetupError(f"LLAMABERRY_LOCAL_GGUF is {own_file!r}, and no such file exists: correct it, or unset it.")
    return path


def slots() -> int:
    """Return the number of concurrent replies: more give more tokens a second in all, but each reply is slower."""
    value = os.environ.get("LLAMABERRY_LOCAL_SLOTS", "").strip()
    if not value:
        return DEFAULT_SLOTS
    if not value.isdecimal() or not 1 <= int(value) <= MAX_SLOTS:
        raise SetupError(f"LLAMABERRY_LOCAL_SLOTS is {value!r}: set a number from 1 to {MAX_SLOTS}, or unset it.")
    return int(value)


def missing_packages() -> list[str]:
    """Return the packages that the local model needs and that are not installed, without importing any."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def require() -> Path:
    """Return the model file. Raises SetupError, with the remedy, if it or a package is missing. Cheap."""
    if missing := missing_packages():
        raise SetupError(
            f"The local model needs {' and '.join(missing)}, not installed in this Python: "
            'run `pip install "llamaberry[local]"`, then `llamaberry model pull`.'
        )
    path = gguf_path()
    if not path.is_file():
        raise SetupError(f"The local model is not at {path}: run `llamaberry model pull` (1.1 GB, once).")
    return path


def _child_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.upper().startswith(INHERITED)}


class LocalServer:
    """A child process that runs llama.cpp's OpenAI-compatible server on loopback, protected by a random key.

    The child ends when its standard input closes or this process has ended, so it never outlives this process, however
    that ends.
    """

    def __init__(self, model: Path) -> None:
        """Start the child, without waiting: `base_url` is set by `wait_until_ready()`."""
        self.model, self.base_url, self.api_key = model, "", secrets.token_urlsafe()
        self._closed = False
        self._settings = {"model": str(model), "key": self.api_key, "slots": slots(), "slot_tokens": SLOT_TOKENS}
        # Append mode: reading the tail here must not move the child's write position.
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        # By path and with -P: importing this package would cost the child a second.
        # In its own session: Ctrl-C in the terminal is for this process, which may still need a reply.
        command = [sys.executable, "-P", str(Path(__file__).with_name("child.py")), str(os.getpid())]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self._log, start_new_session=True, env=_child_environment()
        )
        atexit.register(self.close)

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Block until the model is loaded. Raises SetupError with the log's tail, also after `close()`."""
        started_at, line = time.monotonic(), b""
        timer = threading.Timer(timeout_s, self._child.kill)
        timer.start()
        try:
            with contextlib.suppress(OSError, ValueError):  # the child has ended, or `close()` was called
                assert self._child.stdin is not None  # noqa: S101
                assert self._child.stdout is not None  # noqa: S101
                self._child.stdin.write(json.dumps(self._settings).encode() + b"\n")
                self._child.stdin.flush()
                line = self._child.stdout.readline()
            if not line:
                code, timed_out = self._child.wait(), time.monotonic() - started_at >= timeout_s
                cause = (
                    f"was not ready after {timeout_s:g} s" if timed_out else f"ended while starting (exit code {code})"
                )
                remedy = f"if {self.model} is damaged, delete it and run `llamaberry model pull`"
                raise SetupError(f"The local model's server {cause}: {remedy}. The end of its log:\n{self.log_tail()}")
            self.base_url = f"{json.loads(line)}/v1"
        finally:
            timer.cancel()
            if not self.base_url:  # also on Ctrl-C
                self.close()

    @property
    def address(self) -> tuple[tuple[str, str], ...]:
        """((address, key),)."""
        return ((self.base_url, self.api_key),)

    def alive(self) -> bool:
        """Return whether the child is running."""
        return self._child.poll() is None

    def how_it_ended(self, wait_s: float = END_WAIT_S) -> str | None:
        """Return how the child died, in words; None if it runs, or was closed. Waits: it ends after its connections."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._child.wait(wait_s)
            if self._closed:
                return None
            return (
                f"was killed (signal {-code}, perhaps for want of memory)" if code < 0 else f"ended (exit code {code})"
            )
        return None

    def log_tail(self) -> str:
        """Return the end of llama.cpp's log; empty after `close()`."""
        with contextlib.suppress(ValueError):  # closed
            self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2_000))
            return self._log.read().decode(errors="replace").strip()
        return ""

    def close(self) -> None:
        """Kill the child, also while it loads. May be called repeatedly and from any thread."""
        self._closed = self._closed or self.alive()  # otherwise it has died before
        atexit.unregister(self.close)
        with contextlib.suppress(OSError), self._child:  # its exit closes the pipes; flushing unsent data may fail
            self._child.kill()
        self._log.close()


_server: LocalServer | None = None
_lock = threading.Lock()


def server() -> LocalServer:
    """Return this process's server, ready; start it (seconds) if it is not running.

    Raises:
        SetupError: the file or a package is missing, or the server does not start.
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
    """Return ((address, key),) of the server if it is ready, else ()."""
    current = _server
    return current.address if current and current.base_url and current.alive() else ()


def how_it_ended(address: tuple[tuple[str, str], ...]) -> str | None:
    """Return how the server with this address (of `running()`) died; None if it runs or was stopped. May block."""
    current = _server
    if current is None:
        return None
    if current.address != address:
        return "ended"  # another call has started it again
    return current.how_it_ended()


def close() -> None:
    """Stop this process's server, if any. A thread that waits in `server()` gets a SetupError."""
    if _server is not None:  # without the lock: a thread that starts the server holds it
        _server.close()
