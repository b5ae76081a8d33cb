"""Fixtures of all tests: a clean environment, no network but loopback, and a scripted Groq."""

import gc
import ipaddress
import os
import shutil
import signal
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langsmith.utils import get_env_var

from testing.collector import Collector, serve_collector
from testing.environment import reset_environment, trace_to
from testing.processes import starts_process
from testing.scripted_groq import Script, Scripted, ScriptedGroq
from testing.server import serve_with_groq

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, a quarter of the time, nor later among what was loaded by then."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_configure() -> None:
    """Enable SIGINT in child processes: a background `pytest &` ignores it, and they would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run two workers on each core: most tests wait, for a process, a retry or a time limit; the others do not."""
    return (1 if "not process" in config.option.markexpr else 2) * (os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker whole files, as long as there are any: the tests of a file often share a server."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start processes: `pytest -m "not process"` runs the fast ones."""
    services = ("browser", "clients", "local_model", "scale")
    for item in items:
        if isinstance(item, pytest.Function) and (any(map(item.get_closest_marker, services)) or starts_process(item)):
            item.add_marker(pytest.mark.process)


@pytest.fixture(autouse=True)
def clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """Remove the developer's keys, addresses, proxies and settings; local_model tests keep the local model's."""
    local = request.node.get_closest_marker("local_model") is not None
    reset_environment(monkeypatch, local=local)
    if not local:
        monkeypatch.setenv("LLAMABERRY_HOME", str(tmp_path))
    clear_cache = get_env_var.cache_clear  # type: ignore[attr-defined]
    clear_cache()
    yield
    clear_cache()


@pytest.fixture(autouse=True)
def loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Refuse lookups and connections outside loopback, and fail the test even if the error is caught.

    Only local_model tests may use the network: they may download the model.
    """
    refused: list[str] = []

    def check(host: object) -> None:
        name = host.decode() if isinstance(host, bytes) else host
        if name in (None, "", "localhost"):
            return
        try:
            is_loopback = ipaddress.ip_address(str(name)).is_loopback
        except ValueError:
            is_loopback = False
        if not is_loopback:
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
        pytest.fail(f"tried to reach {', '.join(refused)}")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """Return a function that starts a scripted Groq for the rest of the test; ChatGroq uses the latest one."""
    with ExitStack() as stack:

        def start(script: Script | None = None, programs: Script | None = None) -> ScriptedGroq:
            groq = stack.enter_context(ScriptedGroq(script, programs, keep_alive=False))
            monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
            monkeypatch.setenv("GROQ_API_BASE", groq.url)
            return groq

        yield start


@pytest.fixture
def groq(scripted: Scripted) -> ScriptedGroq:
    """Start a scripted Groq that behaves like a good model."""
    return scripted()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Start a collector on loopback that receives LangSmith's traces."""
    with serve_collector(Collector()) as server:
        trace_to(server.url, monkeypatch)
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, ScriptedGroq]]:
    """A server for a test module: its address, and the scripted Groq behind it."""
    with serve_with_groq() as (address, groq):
        yield address, groq


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium, for a test module."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "apt-get install chromium"
    with sync_playwright() as playwright:
        # Pages of another site are served from this machine.
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()
