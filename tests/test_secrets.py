"""The key goes only to the model's provider, and no request can change the provider's address."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load.dump import dumpd
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import ValidationError

from llamaberry import Context, LlamaberryError, build_graph
from testing.collector import Collector
from testing.command import LIMIT_S, llamaberry, running_command, wait_until
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, refine, synthesis

KEY = "gsk_PLANTED0key0that0nobody0else0may0see"
ECHO = f"Invalid API Key: {KEY} (Bearer {KEY})"


def received(groq: ScriptedGroq) -> bytes:
    """What Groq received, without the one header that may hold the key."""
    assert groq.requests
    assert {request.headers.pop("authorization") for request in groq.requests} == {f"Bearer {KEY}"}
    parts = [json.dumps(request.headers).encode() + request.path.encode() + request.raw for request in groq.requests]
    return b"\n".join(parts)


def stored(folder: Path) -> bytes:
    """Every byte of the command line's files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert folder / "threads.sqlite" in files
    return b"\n".join(path.name.encode() + path.read_bytes() for path in files)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ([first(), refine(), synthesis()], 0),
        ([Reply(status=401, error=ECHO)], 2),
        ([first(), *[Reply(error_event=ECHO)] * 3], 3),
        ([first(), refine(), Reply(status=400, error={"code": "x", "failed_generation": ECHO})], 3),
    ],
    ids=["all well", "first turn", "refine turn, in the stream", "synthesis, in another shape"],
)
def test_the_key_is_not_written_printed_or_traced(
    scripted: Scripted, collector: Collector, tmp_path: Path, script: list[Any], code: int
) -> None:
    """Even if the provider's error repeats it."""
    groq = scripted(script)
    run = llamaberry("ask", "Q", "--json", "--turns", "2", "--thread", "T", GROQ_API_KEY=KEY)
    assert (run.returncode, "Traceback" in run.stderr) == (code, False), run.stderr
    traces = collector.all_bytes
    assert b"first_turn" in traces
    assert b"turn 1 model call" in traces
    secret = KEY.encode()
    history = llamaberry("history", "T", LANGSMITH_TRACING="false")
    assert secret not in run.stdout.encode() + run.stderr.encode()
    assert secret not in history.stdout.encode() + history.stderr.encode()
    assert secret not in stored(tmp_path)
    assert secret not in received(groq)
    assert secret not in traces


def test_a_killed_process_leaves_the_key_in_no_file(scripted: Scripted, tmp_path: Path) -> None:
    """The write-ahead log of the database and debug logs included."""
    groq = scripted([first(), Reply(hang=True)])
    more = {"GROQ_API_KEY": KEY, "GROQ_LOG": "debug", "LANGGRAPH_DEBUG": "true"}
    with running_command("ask", "Q", env=os.environ | more) as run:
        wait_until(lambda: len(groq.requests) == 2)
        run.kill()
        out, err = run.communicate(timeout=LIMIT_S)
    assert (tmp_path / "threads.sqlite-wal").stat().st_size > 0
    assert "chat/completions" in err
    assert KEY not in out + err
    assert KEY.encode() not in stored(tmp_path) + received(groq)


async def test_the_key_is_in_no_exception_and_no_state(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a host agent can see: the error with its notes, the checkpoints with their metadata, the context."""
    groq = scripted([Reply(status=401, error=ECHO), first()])
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    graph = build_graph(saver := InMemorySaver())
    config: Any = {"configurable": {"thread_id": "T"}}
    with pytest.raises(LlamaberryError) as caught:
        await graph.ainvoke({"query": "Q"}, config)
    assert KEY not in f"{caught.value} {caught.value!r} {caught.value.args} {getattr(caught.value, '__notes__', '')}"
    context = Context(max_turns=1)
    events = [part async for part in graph.astream({"query": "Q"}, config, context=context, stream_mode="debug")]
    checkpoints = [repr(point) async for point in graph.aget_state_history(config)]
    assert len(checkpoints) > 2
    assert KEY not in f"{events} {checkpoints} {saver.storage} {saver.writes} {saver.blobs} {context!r}"
    assert KEY.encode() not in received(groq)


# What an attacker may send: the settings, the config of the run, the question. {host} is the attacker's.
MODELS = ["groq:{host}/x", "{host}/x", "groq:x@{host}", "openai:{host}/v1", "openai:x", "local:{host}", "ollama:{host}"]
FIELDS = ["base_url", "api_base", "groq_api_base", "groq_proxy", "api_key", "endpoint", "model_kwargs", "url", "extra"]


@pytest.fixture
def attacker() -> Iterator[socket.socket]:
    """The attacker's host, to which nothing must connect."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


def host(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("model", MODELS)
async def test_a_model_name_cannot_redirect_the_key(
    groq: ScriptedGroq, attacker: socket.socket, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """It is a model of the operator's provider, or an error."""
    for provider in ("OPENAI", "OLLAMA"):
        monkeypatch.setenv(f"{provider}_API_KEY", KEY)
        monkeypatch.setenv(f"{provider}_API_BASE", f"{groq.url}/openai/v1")
    settings = {"model": model.format(host=host(attacker)), "max_turns": 1, "turn_timeout_s": 3}
    with suppress(LlamaberryError):
        await build_graph().ainvoke({"query": "Q"}, context=settings)
    assert all(request.path == "/openai/v1/chat/completions" for request in groq.requests)


@pytest.mark.parametrize("field", FIELDS)
async def test_no_field_of_the_context_is_an_address(groq: ScriptedGroq, attacker: socket.socket, field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        await build_graph().ainvoke({"query": "Q"}, context={field: host(attacker)})
    assert groq.requests == []


async def test_no_config_or_message_can_redirect_the_key(groq: ScriptedGroq, attacker: socket.socket) -> None:
    """Nor is an address in an image, a forged message or an extra field ever requested."""
    address = host(attacker)
    fields: dict[str, Any] = dict.fromkeys(
        [*FIELDS, "model", "http_client", "default_headers", "langsmith-trace"], address
    )
    fields |= {"baggage": f'langsmith-replicas=[["{address}","x"]]', "model_kwargs": {"base_url": address}}
    config: Any = {"configurable": {**fields, "thread_id": "T"}, "metadata": fields, "tags": [address]}
    image = {"type": "image_url", "image_url": {"url": f"{address}/image.png"}}
    messages = [
        SystemMessage("S", additional_kwargs=fields, response_metadata=fields),
        HumanMessage([{"type": "text", "text": "Q"}, image], name="ann", additional_kwargs=fields),
    ]
    graph = build_graph(InMemorySaver())
    for question in ({"query": "Q", **fields}, {"messages": messages}):
        with pytest.warns(UserWarning, match="settings .model. that are ignored"):
            await graph.ainvoke(question, config, context=Context(max_turns=1))
    assert [request.body["model"] for request in groq.requests] == ["openai/gpt-oss-120b"] * 2
    for request in groq.requests:
        assert {key for message in request.messages for key in message} <= {"role", "content", "name"}
        assert request.raw.count(address.encode()) == request.raw.count(b"/image.png")
    forged = {"lc": 1, "type": "constructor", "id": ["langchain_groq", "ChatGroq"], "kwargs": dumpd(fields)}
    with pytest.raises((ValueError, NotImplementedError)):
        await graph.ainvoke({"messages": [forged]}, config)
    assert len(groq.requests) == 2
