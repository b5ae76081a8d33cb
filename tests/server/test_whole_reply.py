"""A reply that is sent as a whole, while its run takes long: what is sent before the reply is known."""

import asyncio
import json
import threading
from typing import Any
from uuid import UUID

from llamaberry.server.openai_chat import ChatCompletion
from llamaberry.server.openai_request import ChatRequest
from llamaberry.server.reply import Patience, WholeResponse
from testing.openai_api import QUESTION
from testing.scripted_groq import Reply, Scripted, first

IMPATIENT = Patience(with_turn_s=0, without_turn_s=0, between_spaces_s=0.01)
AFTER_A_TURN = IMPATIENT._replace(without_turn_s=3600)


class Client:
    """Receives the messages of a response, as a server's connection does."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.has_space = threading.Event()
        self.gone = asyncio.Event()

    async def ask(self, patience: Patience) -> None:
        """Request two turns and a synthesis."""
        request = ChatRequest(model="llamaberry", messages=QUESTION)
        reply = ChatCompletion(request, request.run(UUID(int=1)))
        await WholeResponse(reply, {"x-llamaberry-ignored": "seed"}, patience)(
            {"type": "http"}, self._receive, self._send
        )

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.messages.append(message)
        if message.get("body") == b" ":
            self.has_space.set()

    @property
    def start(self) -> tuple[int, dict[str, str]]:
        """The status and the headers, which come once."""
        (start,) = [message for message in self.messages if message["type"] == "http.response.start"]
        return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}

    @property
    def body(self) -> bytes:
        """The body, which has ended."""
        assert [message.get("more_body", False) for message in self.messages[1:]][-2:] in ([True, False], [False])
        return b"".join(message["body"] for message in self.messages[1:])

    def after_a_space(self, reply: Reply) -> Any:
        """Return a script of a good first turn, and of this reply once the client has received a space."""
        replies = iter((Reply(first("42")), reply))

        def script(_request: object) -> Reply:
            if (next_reply := next(replies)) is reply:
                assert self.has_space.wait(10)
            return next_reply

        return script


async def test_after_a_turn_spaces_precede_the_reply(scripted: Scripted) -> None:
    client = Client()
    scripted(client.after_a_space(Reply(status=400)))
    await client.ask(AFTER_A_TURN)
    status, headers = client.start
    assert (status, headers["content-type"], headers["x-llamaberry-ignored"]) == (200, "application/json", "seed")
    assert "content-length" not in headers
    reply = json.loads(client.body)
    assert client.body.startswith(b" ")
    assert reply["choices"][0]["message"]["content"] == "42"
    assert reply["degraded"].startswith("Turn 2 failed")


async def test_before_a_turn_an_error_has_its_status(scripted: Scripted) -> None:
    client = Client()
    scripted([Reply(status=401, delay=0.1)])
    await client.ask(AFTER_A_TURN)
    assert client.start[0] == 502
    assert json.loads(client.body)["error"]["code"] == "model_failed"


async def test_a_late_error_is_the_body(scripted: Scripted) -> None:
    client = Client()

    def script(_request: object) -> Reply:
        assert client.has_space.wait(10)
        return Reply(status=401)

    scripted(script)
    await client.ask(IMPATIENT)
    assert client.start[0] == 200
    assert json.loads(client.body)["error"]["code"] == "model_failed"


async def test_a_short_run_has_a_length_and_no_spaces(scripted: Scripted) -> None:
    client = Client()
    scripted()
    await client.ask(Patience())
    assert client.start[1]["content-length"] == str(len(client.body))
    assert client.body.startswith(b"{")


async def test_a_client_that_leaves_while_it_waits_ends_the_run(scripted: Scripted) -> None:
    client = Client()
    second_call = threading.Event()

    def script(_request: object) -> Reply:
        if len(groq.requests) == 1:
            return Reply(first("42"))
        second_call.set()
        return Reply(hang=True)

    groq = scripted(script)
    asking = asyncio.create_task(client.ask(AFTER_A_TURN))
    await asyncio.to_thread(second_call.wait, 10)
    await asyncio.to_thread(client.has_space.wait, 10)
    client.gone.set()
    await asking
    await asyncio.to_thread(groq.wait, 0)
    assert (len(groq.requests), groq.disconnects) == (2, 1)
    assert {message["body"] for message in client.messages[1:]} == {b" "}
