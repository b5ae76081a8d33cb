"""`llamaberry mcp`, started as MCP clients start it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

pytest.importorskip("mcp")

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from llamaberry.console import INTERRUPTED
from testing.command import COMMAND, LIMIT_S, assert_refused, llamaberry, running_command
from testing.mcp import QUESTION, cancelled_call
from testing.scripted_groq import ScriptedGroq
from testing.scripts import HANG


def parameters(*words: str) -> StdioServerParameters:
    """Return how a client starts the command."""
    return StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], "mcp", *words], env=dict(os.environ))


def ask(stdin: IO[str]) -> None:
    """Write what a client of 2025 sends to ask a question."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    messages = [
        {"id": 1, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "think", "arguments": QUESTION}},
    ]
    stdin.write("".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages))
    stdin.flush()


@pytest.mark.process
async def test_a_client_starts_the_server_and_asks(groq: ScriptedGroq) -> None:
    async with Client(parameters("--turns", "1")) as caller:
        result = await caller.call_tool("think", QUESTION)
        assert result.structured_content is not None
        assert (result.structured_content["answer"], len(result.structured_content["turns"])) == ("42", 1)
        await cancelled_call(groq, caller)


def test_standard_output_has_only_the_protocol(groq: ScriptedGroq, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without LangSmith's key there is a warning, which goes to standard error."""
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    with running_command("mcp", stdin=subprocess.PIPE) as run:
        assert run.stdin
        assert run.stdout
        ask(run.stdin)
        lines = [run.stdout.readline(), run.stdout.readline()]
        rest, errors = run.communicate(timeout=LIMIT_S)
    assert [json.loads(line)["id"] for line in lines] == [1, 2]
    assert json.loads(lines[1])["result"]["structuredContent"]["answer"] == "The answer is 42."
    assert (rest, run.returncode) == ("", 0)
    assert "LANGSMITH_API_KEY is not set" in errors


def test_the_end_of_the_input_ends_the_run(groq: ScriptedGroq) -> None:
    groq.play([HANG, HANG])
    with running_command("mcp", stdin=subprocess.PIPE) as run:
        assert run.stdin
        ask(run.stdin)
        groq.wait(1, timeout=120)
        run.communicate(timeout=LIMIT_S)
    groq.wait(0)
    assert (run.returncode, len(groq.requests)) == (0, 1)


async def test_http_serves_at_the_printed_address_until_ctrl_c(groq: ScriptedGroq) -> None:
    with running_command("mcp", "--http", "0", "--turns", "1") as run:
        assert run.stderr
        line = await asyncio.to_thread(run.stderr.readline)
        address = re.fullmatch(r"llamaberry: MCP at (http://127\.0\.0\.1:\d+/mcp)\n", line)
        assert address, line
        async with Client(address[1]) as caller:
            result = await caller.call_tool("think", QUESTION)
        run.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(run.communicate, timeout=120) == ("", "")
    assert (result.is_error, run.returncode) == (False, INTERRUPTED)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--turns", "11"), ("--turns 11", "less than or equal to 10")),
        (("--http", "somewhere"), ("--http 'somewhere'", "such as 127.0.0.1:8000")),
        (("--http", "0.0.0.0:0"), ("would listen on 0.0.0.0 without a key", "LLAMABERRY_API_KEY")),
    ],
    ids=["turns", "address", "key"],
)
def test_wrong_settings_are_refused_at_the_start(words: tuple[str, ...], message: tuple[str, ...]) -> None:
    assert_refused(llamaberry("mcp", *words), *message)


def test_an_error_in_the_file_of_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("anna sesame\n", encoding="utf-8")
    assert_refused(llamaberry("mcp", "--http", "0", LLAMABERRY_KEYS_FILE=str(path)), f"{path}, line 1, is not a name")


def test_without_the_package_the_error_says_how_to_install(tmp_path: Path) -> None:
    Path(tmp_path, "mcp.py").write_text("raise ModuleNotFoundError(\"No module named 'mcp'\", name='mcp')\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    assert_refused(llamaberry("mcp", PYTHONPATH=path), 'pip install "llamaberry[mcp]"')
