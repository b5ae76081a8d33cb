"""One server for all clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.clients import Clients
from testing.scripted_groq import ScriptedGroq
from testing.server import serve_with_groq


@pytest.fixture(scope="session")
def clients_server() -> Iterator[tuple[str, ScriptedGroq]]:
    with serve_with_groq() as server:
        yield server


@pytest.fixture
def clients(clients_server: tuple[str, ScriptedGroq], tmp_path: Path) -> Clients:
    address, groq = clients_server
    groq.play()
    return Clients(address, groq, tmp_path)
