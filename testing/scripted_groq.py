"""A scripted Groq on loopback: real HTTP for the real client, streamed or not, in Groq's format, with Groq's failures.

In a test: `with ScriptedGroq([first("41"), refine("42"), Reply(status=503)]) as groq: …`. Without a script it answers
like a good model. As a program, `python testing/scripted_groq.py --delay 0.2` prints its URL and serves until it is
killed or, if its stdin is a pipe, until that closes.
"""

import argparse
import asyncio
import json
import os
import random
import re
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, cast

PIECE = re.compile(r"\s*\S{1,12}|\s+")  # a chunk of a stream
Steps = Sequence[tuple[str, str]]
STEPS: Steps = (("Read the question.", "It asks for one number."), ("Work it out.", "Six times seven is 42."))
HEADERS = {f"x-ratelimit-limit-{what}": "8000" for what in ("requests", "tokens")}
HEADERS |= {f"x-ratelimit-remaining-{what}": "7900" for what in ("requests", "tokens")}
HEADERS |= {f"x-ratelimit-reset-{what}": "750ms" for what in ("requests", "tokens")}
NO_RETRY = {"x-should-retry": "false"}
ERRORS = {  # status -> message, type, code
    400: ("Bad request", "invalid_request_error", None),
    401: ("Invalid API Key", "invalid_request_error", "invalid_api_key"),
    404: ("Not found", "invalid_request_error", "unknown_url"),
    413: ("Request too large for the model", "tokens", "rate_limit_exceeded"),
    429: ("Rate limit reached for the model", "tokens", "rate_limit_exceeded"),
    498: ("Flex tier capacity exceeded", "flex", "capacity_exceeded"),
}
FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 429, "headers": {"retry-after": "1"}},
    {"status": 503},
    {"cut": -1},
    {"cut": 3},
    {"error_event": "The model failed"},
    {"garbage": True},
    {"text": ""},
    {"text": "## Reas", "finish_reason": "length"},
    {"finish_reason": None, "no_usage": True},
)


@dataclass(frozen=True)
class Request:
    """One request as received; header names are in lower case, `time` is time.monotonic()."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]
    messages: list[dict[str, Any]]
    time: float


@dataclass(frozen=True)
class Reply:
    """One reply, or one failure."""

    text: str = ""
    reasoning: str | None = None
    calls: Sequence[tuple[str, dict[str, Any]]] = ()  # tool calls: name, arguments
    finish_reason: str | None = "stop"
    usage: dict[str, Any] | None = None  # None: words are counted
    no_usage: bool = False
    delay: float = 0  # seconds before the first byte
    chunk_delay: float = 0  # seconds between chunks
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: str | dict[str, Any] | None = None  # the error's message, or the whole error object
    cut: int = 0  # close the connection after this many chunks (not streamed: in the body); -1: before the first byte
    error_event: str | None = None  # an error event in the stream (not streamed: HTTP 500)
    garbage: bool = False  # broken JSON
    hang: bool = False  # no reply until the client disconnects


Script = Sequence[Reply | str] | Callable[[Request], Reply | str]


def first(answer: str = "42", *, steps: Steps = STEPS) -> str:
    """Write a first turn."""
    lines = "\n".join(
        f"{n}. {statement}\n   **Explanation:** {explanation}" for n, (statement, explanation) in enumerate(steps, 1)
    )
    return f"## Reasoning\n{lines}\n\n## Answer\n{answer}"


def refine(answer: str = "42", verdict: str = "keep", *, review: str = "No error.", steps: Steps = STEPS) -> str:
    """Write a refine turn."""
    return f"## Review\n{review}\n\n## Verdict\n{verdict}\n\n{first(answer, steps=steps)}"


def synthesis(comprehensive: str = "The answer is 42.", concise: str = "42", *, analysis: str = "All is sound.") -> str:
    """Write a synthesis."""
    return (
        f"## Analysis of Turns\n{analysis}\n\n## Comparison\nThe turns agree.\n\n## Final Reasoning\n6 x 7 is 42.\n\n"
        f"## Comprehensive Answer\n{comprehensive}\n\n## Concise Answer\n{concise}"
    )


def program(source: str = "print(6 * 7)") -> str:
    """Write the reply with a program."""
    return f"```python\n{source}\n```"


def example_of(schema: Any, root: Any = None) -> Any:
    """Return the simplest value that fits a schema, with all properties of an object and one item of an array."""
    root = schema if root is None else root
    if "$ref" in schema:
        *_, group, name = schema["$ref"].split("/")
        return example_of(root[group][name], root)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    for choices in ("anyOf", "oneOf", "allOf"):
        if choices in schema:
            return example_of(schema[choices][0], root)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" and "properties" not in schema:
        values = schema.get("additionalProperties")
        return {"answer": example_of(values if isinstance(values, dict) else {"type": "string"}, root)}
    if kind == "object":
        return {name: example_of(part, root) for name, part in schema["properties"].items()}
    if kind == "array":
        return [example_of(schema["items"], root)] if "items" in schema else []
    return {"string": "42", "integer": 42, "number": 42.0, "boolean": True, "null": None}[kind]


def wants_program(request: Request) -> bool:
    """Return whether a request is for a program that checks the answer."""
    return bool(request.messages) and _text(request.messages[0]).startswith("You write Python programs")


def good_model(request: Request) -> str:
    """Reply in the format that the last user message names, headings or a schema; no program can answer."""
    if wants_program(request):
        return "NONE"
    instruction = next((_text(m) for m in reversed(request.messages) if m.get("role") == "user"), "")
    if schema := re.search(r"^The JSON schema:\n\n(.*)$", instruction, re.M):
        return json.dumps(example_of(json.loads(schema[1])))
    return synthesis() if "Concise Answer" in instruction else refine() if "Verdict" in instruction else first()


class ScriptedGroq:
    """The server, in its own thread and event loop; a context manager whose exit raises the errors of a script."""

    def __init__(
        self, script: Script | None = None, programs: Script | None = None, *, port: int = 0, keep_alive: bool = True
    ) -> None:
        """Send the script's replies in order, or what it returns for each request.

        `programs` is the script of the requests for a program, which `program_requests` holds instead of `requests`;
        without it, each gets the reply that no program can answer the question.
        Without keep_alive, clients have no idle connections, for which Python would warn if they are not closed.
        """
        self.requests: list[Request] = []
        self.program_requests: list[Request] = []
        self.failures: list[Exception] = []
        self.open_requests = 0
        self.disconnects = 0
        self.url = ""
        self.play(script, programs)
        self._port, self._keep_alive = port, keep_alive
        self._count = 0
        self._seen: set[int] = set()
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        """Listen, then serve in the background."""
        listener = socket.create_server(("127.0.0.1", self._port), backlog=1024)
        # asyncio does this for its own listeners; without it each reply waits 40 ms for the client's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="scripted-groq", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close all connections, and raise the script's errors unless another exception is being raised."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self.failures and kind is None:
            raise ExceptionGroup("the scripted Groq failed", self.failures)

    def play(self, script: Script | None = None, programs: Script | None = None) -> Self:
        """Set other scripts and forget all requests, for a server that several tests share."""
        self._script = as_function(good_model if script is None else script)
        self._programs = as_function(good_model if programs is None else programs)
        self.requests.clear()
        self.program_requests.clear()
        self.disconnects = 0
        return self

    @property
    def open_connections(self) -> int:
        """The number of connections that are open, idle or not."""
        return len(self._connections)

    def wait(self, open_requests: int = 0, timeout: float = 5) -> None:
        """Block until this many requests are open; in a coroutine, `await asyncio.to_thread(groq.wait, 1)`."""
        deadline = time.monotonic() + timeout
        while self.open_requests != open_requests:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.open_requests} requests are open after {timeout} s, not {open_requests}")
            time.sleep(0.002)

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._connection, sock=listener, backlog=1024)
        await self._stop.wait()
        self._loop.remove_reader(listener)
        for _ in range(5):  # cycles of the event loop, in which new connections get their handlers
            await asyncio.sleep(0)
        server.close()
        for _ in range(5):  # in which the handlers start, so that they close their sockets when cancelled
            await asyncio.sleep(0)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection. It reads ahead while it replies, to notice a client that disconnects."""
        self._connections.add(connection := cast("asyncio.Task[None]", asyncio.current_task()))
        head, answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n")), None
        try:
            while answer is None or answer.result():
                request = await _read(await head, reader)
                (self.program_requests if wants_program(request) else self.requests).append(request)
                self._count += 1
                self.open_requests += 1
                head = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
                answer = asyncio.create_task(self._answer(request, writer, f"{self._count:08}"))
                try:
                    await asyncio.wait({head, answer}, return_when=asyncio.FIRST_COMPLETED)
                    if not answer.done() or isinstance(answer.exception(), ConnectionError):
                        self.disconnects += 1
                        return
                finally:
                    self.open_requests -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client closed its idle connection, or the server stops
        except Exception as error:  # noqa: BLE001 - raised by __exit__
            self.failures.append(error)
        finally:
            tasks = [head, answer] if answer else [head]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()
            self._connections.discard(connection)

    def _reply(self, request: Request) -> Reply:
        if (request.method, request.path) != ("POST", "/openai/v1/chat/completions"):
            return Reply(status=404, error=f"Unknown request URL: {request.method} {request.path}")
        if not request.headers.get("authorization", "").removeprefix("Bearer").strip():
            return Reply(status=401)
        if not request.messages:
            return Reply(status=400, error="'messages' : minimum number of items is 1")
        try:
            reply = (self._programs if wants_program(request) else self._script)(request)
        except Exception as error:  # noqa: BLE001 - raised by __exit__
            self.failures.append(error)
            reply = Reply(status=500, error=f"the script failed: {error!r}", headers=NO_RETRY)
        return Reply(reply) if isinstance(reply, str) else reply

    def _usage(self, request: Request, reply: Reply) -> dict[str, Any]:
        """Count words as tokens; leading messages that an earlier request to this model had are cached."""
        prompt = cached = 0
        prefix = hash(request.body.get("model"))
        for message in request.messages:
            known = (prefix := hash((prefix, json.dumps(message, sort_keys=True)))) in self._seen
            self._seen.add(prefix)
            prompt += len(_text(message).split())
            cached = prompt if known else cached
        reasoning = len((reply.reasoning or "").split())
        completion = reasoning + len(reply.text.split())
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
        usage |= {"total_tokens": prompt + completion, "queue_time": 0.01, "total_time": completion / 500}
        if cached:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        if reasoning:
            usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
        return usage

    async def _answer(self, request: Request, writer: asyncio.StreamWriter, number: str) -> bool:
        """Send the reply; return whether the connection stays open."""
        reply = self._reply(request)
        streamed = request.body.get("stream") and reply.status == 200 and reply.error is None
        if reply.error_event and not streamed:
            reply = replace(reply, status=500, error=reply.error_event)
        usage = self._usage(request, reply) if reply.status == 200 and reply.error is None else {}
        usage = {} if reply.no_usage else reply.usage or usage
        await asyncio.sleep(reply.delay)
        if reply.hang:
            await asyncio.Event().wait()
        if reply.cut < 0:
            return False
        frame = {"id": f"chatcmpl-{number}", "created": int(time.time()), "model": request.body.get("model")}
        frame |= {"system_fingerprint": "fp_scripted", "x_groq": {"id": f"req_{number}"}}
        if streamed:
            kind, length = "text/event-stream", "transfer-encoding: chunked"
            chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in _events(reply, frame, usage)]
            chunks.append(b"0\r\n\r\n")
        else:
            body = _body(reply, frame, usage)
            kind, length = "application/json", f"content-length: {len(body)}"
            chunks = [body[: len(body) // 2], body[len(body) // 2 :]]
        if reply.cut:
            chunks = chunks[:-1][: reply.cut]
        headers = HEADERS | {"content-type": kind, "x-request-id": f"req_{number}"} | reply.headers
        headers |= {} if self._keep_alive else {"connection": "close"}
        lines = [f"HTTP/1.1 {reply.status} ", length, *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        for pause, chunk in enumerate(chunks) if reply.chunk_delay and streamed else [(0, b"".join(chunks))]:
            if pause:
                await asyncio.sleep(reply.chunk_delay)
            writer.write(chunk)
            await writer.drain()
        return self._keep_alive and not reply.cut


Scripted = Callable[..., ScriptedGroq]
"""The type of the fixture `scripted`, which starts a scripted Groq."""


def as_function(script: Script) -> Callable[[Request], Reply | str]:
    """Return the script as a function; a list is used up in order, and then each request is an error."""
    if callable(script):
        return script
    error = f"the script of {len(script)} replies is used up: this is one call too many"
    replies, used_up = iter(script), Reply(status=500, error=error, headers=NO_RETRY)
    return lambda request: next(replies, used_up)


async def _read(head: bytes, reader: asyncio.StreamReader) -> Request:
    start, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = start.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    body: Any = {}
    with suppress(ValueError):
        body = json.loads(raw)
    body = body if isinstance(body, dict) else {}
    return Request(method, path, headers, raw, body, body.get("messages") or [], time.monotonic())


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _body(reply: Reply, frame: dict[str, Any], usage: dict[str, Any]) -> bytes:
    if reply.status != 200 or reply.error is not None:
        message, kind, code = ERRORS.get(reply.status, ("Internal server error", "internal_server_error", None))
        error = {"message": reply.error or message, "type": kind} | ({"code": code} if code else {})
        return json.dumps({"error": reply.error if isinstance(reply.error, dict) else error}).encode()
    completion: dict[str, Any] = {"role": "assistant", "content": reply.text}
    completion |= ({"reasoning": reply.reasoning} if reply.reasoning else {}) | _tool_calls(reply)
    choice = {"index": 0, "message": completion, "logprobs": None, "finish_reason": reply.finish_reason}
    body = frame | {"object": "chat.completion", "choices": [choice]} | ({"usage": usage} if usage else {})
    return json.dumps(body)[: -20 if reply.garbage else None].encode()


def _tool_calls(reply: Reply) -> dict[str, Any]:
    calls = [
        {
            "index": n,
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for n, (name, arguments) in enumerate(reply.calls)
    ]
    return {"tool_calls": calls} if calls else {}


def _events(reply: Reply, frame: dict[str, Any], usage: dict[str, Any]) -> Iterable[bytes]:
    """Yield a stream's events: role, reasoning, text, end; or those before its failure."""

    def event(delta: dict[str, Any], end: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}
        return b"data: %b\n\n" % json.dumps(plain | {"choices": [choice]} | more).encode()

    x_groq, plain = frame["x_groq"], {**frame, "object": "chat.completion.chunk"}
    del plain["x_groq"]
    yield event({"role": "assistant", "content": ""} | _tool_calls(reply), x_groq=x_groq)
    deltas = [{"reasoning": piece} for piece in PIECE.findall(reply.reasoning or "")]
    deltas += [{"content": piece} for piece in PIECE.findall(reply.text)]
    if reply.error_event or reply.garbage:
        yield from map(event, deltas[:1])
        error = json.dumps({"error": {"message": reply.error_event, "type": "internal_server_error"}})
        yield b'data: {"id": "chatcmpl-\n\n' if reply.garbage else f"event: error\ndata: {error}\n\n".encode()
        return
    yield from map(event, deltas)
    if reply.finish_reason or usage:
        yield event({}, reply.finish_reason, x_groq=x_groq | ({"usage": usage} if usage else {}))
    yield b"data: [DONE]\n\n"


def main() -> None:
    """Serve until killed, or until a piped standard input closes."""
    parser = argparse.ArgumentParser(description="A scripted Groq on loopback. Prints its URL, then serves.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0, help="seconds before the first byte")
    parser.add_argument("--chunk-delay", type=float, default=0, help="seconds between chunks")
    parser.add_argument("--faults", type=float, default=0, metavar="P", help="share of replies that fail, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random faults")
    options = parser.parse_args()
    rng = random.Random(options.seed)

    def script(request: Request) -> Reply:
        groq.requests.clear()  # not needed here
        groq.program_requests.clear()
        reply = Reply(good_model(request), delay=options.delay, chunk_delay=options.chunk_delay)
        return replace(reply, **rng.choice(FAULTS)) if rng.random() < options.faults else reply

    with suppress(KeyboardInterrupt), ScriptedGroq(script, script, port=options.port) as groq:
        sys.stdout.write(f"{groq.url}\n")
        sys.stdout.flush()
        if stat.S_ISCHR(os.fstat(0).st_mode):  # a terminal or /dev/null
            threading.Event().wait()
        sys.stdin.read()


if __name__ == "__main__":
    main()
