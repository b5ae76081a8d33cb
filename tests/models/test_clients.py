"""Clients live as long as their event loop: no connection is left open, and none is closed while it is used."""

import os
from collections.abc import Iterator

import pytest

from testing.command import LIMIT_S, running_command
from testing.scripted_groq import ScriptedGroq

PREAMBLE = """
import asyncio, os, time, warnings
from concurrent.futures import ThreadPoolExecutor
from langchain_core.messages import HumanMessage
from llamaberry.graph.context import Context
from llamaberry.graph.workflow import graph
from llamaberry.models import clients
from llamaberry.models.client import acall_model

warnings.simplefilter("default", ResourceWarning)

def sockets():
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.path.islink(link) and os.readlink(link).startswith("socket:") for link in links)

def ask(model="groq:m", **settings):
    return acall_model(Context(model=model, **settings), [HumanMessage("Q")], None, time.time())
"""


@pytest.fixture
def groq() -> Iterator[ScriptedGroq]:
    """Start a scripted Groq that keeps connections open, as the real one does."""
    with ScriptedGroq() as groq:
        yield groq


def run(code: str, groq: ScriptedGroq) -> str:
    """Run code in another process, with every warning shown; return its output. Nothing may be on stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    environment |= {"GROQ_API_KEY": "gsk_test", "GROQ_API_BASE": groq.url, "OPENAI_API_KEY": "sk"}
    environment |= {"OPENAI_BASE_URL": f"{groq.url}/openai/v1"}
    with running_command(code=PREAMBLE + code, env=environment) as process:
        stdout, stderr = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, stderr) == (0, ""), stderr
    return stdout


@pytest.mark.parametrize("model", ["groq:m", "openai:m"])
def test_many_event_loops_leave_nothing_open(groq: ScriptedGroq, model: str) -> None:
    """Each asyncio.run has its own event loop, as in a notebook or a Celery task."""
    if model == "openai:m":
        pytest.importorskip("langchain_openai")
    code = f"""
for number in range(50):
    asyncio.run(ask({model!r}))
print(sockets(), len(clients._clients))
"""
    assert run(code, groq) == "0 1\n"
    assert len(groq.requests) == 50


def test_runs_of_the_graph_leave_nothing_open(groq: ScriptedGroq) -> None:
    code = """
for number in range(40):
    result = asyncio.run(graph.ainvoke({"query": "Q"}, context={"max_turns": 2, "verify": "none"}))
    assert result["stop_reason"] == "max_turns", result
print(sockets())
"""
    assert run(code, groq) == "0\n"


def test_threads_with_their_own_loops_leave_nothing_open(groq: ScriptedGroq) -> None:
    code = """
def work(number):
    for _ in range(3):
        asyncio.run(ask())

with ThreadPoolExecutor(20) as pool:
    list(pool.map(work, range(20)))
print(sockets())
"""
    assert run(code, groq) == "0\n"
    assert len(groq.requests) == 60


def test_loops_that_are_only_closed_leave_nothing_open(groq: ScriptedGroq) -> None:
    """Without shutdown_asyncgens: what is left of one is closed when the next one asks."""
    code = """
warnings.simplefilter("ignore", ResourceWarning)  # such a loop leaves its connections to the garbage collector
for number in range(50):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask())
    loop.close()
    del loop
asyncio.run(ask())
print(sockets(), len(clients._clients))
"""
    assert run(code, groq) == "0 1\n"


def test_a_client_is_kept_while_it_is_used(groq: ScriptedGroq) -> None:
    """One loop, more settings at once than clients are kept, each with two calls at once."""
    code = """
async def main():
    settings = [100 + number for number in range(clients.MAX_CLIENTS * 2)]
    replies = await asyncio.gather(*(ask(max_tokens=tokens) for tokens in settings * 2))
    assert all(reply.message.text for reply in replies)
    assert len(clients._clients) == clients.MAX_CLIENTS
    async with asyncio.timeout(30):
        while sockets() > 2 * clients.MAX_CLIENTS + 2:  # those of dropped clients are closed in the background
            await asyncio.sleep(0.01)

asyncio.run(main())
print(sockets())
"""
    assert run(code, groq) == "0\n"


def test_a_loop_that_goes_on_keeps_its_client(groq: ScriptedGroq) -> None:
    """While other loops come and go: its connection is used again."""
    code = """
async def main():
    await ask()
    for number in range(40):
        await asyncio.to_thread(asyncio.run, ask())
        (key,) = [key for key in clients._clients if key[1] is asyncio.get_running_loop()]
    await ask()

asyncio.run(main())
print(sockets())
"""
    assert run(code, groq) == "0\n"


def test_graph_invoke_in_threads_needs_one_loop(groq: ScriptedGroq) -> None:
    code = """
def work(number):
    return graph.invoke({"query": "Q"}, context={"max_turns": 1, "verify": "none"})

with ThreadPoolExecutor(8) as pool:
    list(pool.map(work, range(40)))
print(len(clients._clients))
"""
    assert run(code, groq) == "1\n"
