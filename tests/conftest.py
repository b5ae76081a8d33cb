"""Every test runs in a clean environment, reaches nothing but loopback, and has a scripted Groq at hand."""

import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from langsmith.utils import get_env_var

from testing.collector import Collector, listening
from testing.environment import clean, trace_to
from testing.processes import starts_process
from testing.scripted_groq import Script, Scripted, ScriptedGroq

_no_suite = pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="reasoning-gym comes with the extra eval")


def needs_suite(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test of generated questions."""
    return pytest.mark.suite(_no_suite(test))  # type: ignore[no-any-return]


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that are started: a shell's `pytest &` ignores it, and they would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start processes: `pytest -m "not process"` runs the fast ones."""
    services = ("browser", "local_model", "scale")
    for item in items:
        if isinstance(item, pytest.Function) and (any(map(item.get_closest_marker, services)) or starts_process(item)):
            item.add_marker(pytest.mark.process)


@pytest.fixture(autouse=True)
def clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """No key, address, proxy or setting of the developer's; but local_model tests use the developer's model."""
    local = request.node.get_closest_marker("local_model") is not None
    clean(monkeypatch, local=local)
    if not local:
        monkeypatch.setenv("LLAMABERRY_HOME", str(tmp_path))
    forget = get_env_var.cache_clear  # type: ignore[attr-defined]
    forget()
    yield
    forget()


@pytest.fixture(autouse=True)
def loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Refuse every look-up and connection outside loopback, and fail the test that tried, whoever caught the error.

    Only local_model tests may reach out: they download the model where it is not there yet.
    """
    refused: list[str] = []

    def check(host: object) -> None:
        name = host.decode() if isinstance(host, bytes) else host
        if name in (None, "", "localhost"):
            return
        try:
            inside = ipaddress.ip_address(str(name)).is_loopback
        except ValueError:
            inside = False
        if not inside:
            refused.append(str(name))
            raise OSError(f"a test tried to reach {name}: only loopback is allowed")

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                check(address[0])
            return real(self, address)

        return connect

    look_up = socket.getaddrinfo

    def getaddrinfo(host: object, *args: Any, **kwargs: Any) -> Any:
        check(host)
        return look_up(host, *args, **kwargs)  # type: ignore[arg-type]

    if not request.node.get_closest_marker("local_model"):
        monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield refused
    if refused:
        pytest.fail(f"reached out to {', '.join(refused)}")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """Start scripted Groqs, each of them being where ChatGroq goes from then on; they close when the test ends."""
    with ExitStack() as stack:

        def start(script: Script | None = None) -> ScriptedGroq:
            groq = stack.enter_context(ScriptedGroq(script, keep_alive=False))
            monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
            monkeypatch.setenv("GROQ_API_BASE", groq.url)
            return groq

        yield start


@pytest.fixture
def groq(scripted: Scripted) -> ScriptedGroq:
    """Start a scripted Groq that answers like a good model."""
    return scripted()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Trace to a collector on loopback, as LangSmith."""
    with listening(Collector()) as server:
        trace_to(server.url, monkeypatch)
        yield server
