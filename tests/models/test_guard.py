"""A call that fails during a reply closes its connection; reasoning that does not end is cut."""

import asyncio
import gc
import socket
import threading

import pytest
from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler

from llamaberry import ModelError, graph
from llamaberry.models.guard import Guard, with_guard_first
from testing.scripted_groq import Reply, Scripted

EVENT = b'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {"error": {"message": "no"}}\n\n'


async def test_an_error_in_a_stream_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                connection.recv(1_000_000)
                connection.sendall(EVENT)
                while connection.recv(1_000_000):
                    pass
                closed.set()

        server = threading.Thread(target=serve)
        server.start()
        monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
        monkeypatch.setenv("GROQ_API_BASE", f"http://127.0.0.1:{listener.getsockname()[1]}")
        gc.disable()
        try:
            with pytest.raises(ModelError):
                # The deadline has passed, so there is no retry.
                async for _ in graph.astream({"query": "?"}, context={"deadline_s": 1e-9}, stream_mode="messages"):
                    pass
            assert await asyncio.to_thread(closed.wait, 10)
        finally:
            gc.enable()
            await asyncio.to_thread(server.join)


async def test_reasoning_that_does_not_end_is_cut(scripted: Scripted) -> None:
    """It counts like the reply's text: 32 characters per token of max_tokens, in each of the attempts."""
    groq, sizes = scripted(lambda _: Reply("42", reasoning="word " * 100_000)), []

    async def read() -> None:
        async for message, _ in graph.astream({"query": "Q"}, context={"max_tokens": 64}, stream_mode="messages"):
            sizes.append(len(message.additional_kwargs.get("reasoning_content", "")))

    with pytest.raises(ModelError, match="max_tokens"):
        await read()
    assert 64 * 32 < sum(sizes) < 20_000
    await asyncio.to_thread(groq.wait)


def test_the_guard_stays_first_when_a_bound_model_merges_the_callbacks() -> None:
    """It redacts errors before tracers see them, and marks replies before LangGraph streams them."""
    for size in range(1, 60):
        others, guard = [BaseCallbackHandler() for _ in range(size)], Guard(1, [])
        manager = AsyncCallbackManager(handlers=[*others], inheritable_handlers=[*others])
        merged = with_guard_first({"callbacks": manager}, guard)["callbacks"]
        for _ in range(3):
            merged = merged.merge(merged)
            assert merged.handlers[0] is merged.inheritable_handlers[0] is guard
            assert len(merged.handlers) == size + 1
