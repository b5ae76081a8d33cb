"""`llamaberry ask --server`: what `ask` does, with the graph on a real server."""

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client

from llamaberry.graph.state import Output
from llamaberry.remote import thread_id
from testing.command import LIMIT_S, llamaberry, mask_figures, running_command, usage_error, wait_until
from testing.scripted_groq import Reply, ScriptedGroq, first, good_model, refine, synthesis
from testing.scripts import HANG
from testing.server import serve, server_environment

KEY = "remote-key-0123456789"
Server = tuple[str, ScriptedGroq]


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key."""
    home = tmp_path_factory.mktemp("remote")
    with ScriptedGroq(keep_alive=False) as groq:
        environment = server_environment(home, GROQ_API_KEY="gsk_test", GROQ_API_BASE=groq.url, LLAMABERRY_API_KEY=KEY)
        with serve(environment) as address:
            yield address, groq


@pytest.fixture
def server(module: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The same, with a good model behind it, and its key in the user's environment."""
    monkeypatch.setenv("LLAMABERRY_API_KEY", KEY)
    module[1].play()
    return module


def test_a_remote_run_prints_what_ask_prints(server: Server) -> None:
    """In each output mode; and a second question continues the server's thread."""
    address, groq = server
    script = [first("41"), refine("42", "revise"), synthesis("It is 42.", "42")]
    for how in ([], ["-v"], ["--show", "concise"]):
        ask = ["ask", "What is 6 times 7?", "--turns", "2", *how]
        far = llamaberry(*ask, "--server", groq.play(script) and address)
        groq.play(script)
        near = llamaberry(*ask, GROQ_API_KEY="gsk_test", GROQ_API_BASE=groq.url, LLAMABERRY_CHECKPOINTS="none")
        assert (far.returncode, far.stderr) == (0, "")
        assert mask_figures(far.stdout) == mask_figures(near.stdout)
    groq.play()
    trip = ["--server", address, "--thread", "trip", "--turns", "1", "--json"]
    states = [json.loads(llamaberry("ask", question, *trip).stdout) for question in ("First?", "Second?")]
    output = [*Output.__annotations__, "run_id"]
    assert [list(state) for state in states] == [output, output]
    assert [message["content"] for message in states[1]["messages"]] == ["First?", "42", "Second?", "42"]
    assert len(states[1]["turns"]) == 1


def test_a_busy_thread_is_refused_and_ctrl_c_cancels_its_run(server: Server) -> None:
    address, groq = server
    groq.play([first("41"), HANG])
    ask = ("ask", "Q", "--server", address, "--thread", "busy")
    with running_command(*ask) as run:
        wait_until(lambda: len(groq.requests) == 2)
        assert "busy" in usage_error(*ask)
        assert len(groq.requests) == 2
        run.send_signal(signal.SIGINT)
        out, message = run.communicate(timeout=LIMIT_S)
        assert (run.returncode, "── the answer so far ──\n41\n" in out, "--thread busy" in message) == (130, True, True)
        groq.wait(0)
    with get_sync_client(url=address, api_key=KEY) as client:
        assert client.threads.get(thread_id("busy"))["status"] != "busy"


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ([Reply(status=401)], 1, "check GROQ_API_KEY"),
        ([first(), Reply(status=401), synthesis()], 3, ""),
    ],
    ids=["no answer", "a degraded one"],
)
def test_a_remote_failure_has_the_same_exit_code(server: Server, script: list[Any], code: int, message: str) -> None:
    address, groq = server
    groq.play(script)
    run = llamaberry("ask", "Q", "-q", "--turns", "2", "--server", address)
    assert (run.returncode, message in run.stderr, "Traceback" in run.stderr) == (code, True, False)


def test_a_remote_user_error_names_the_remedy(server: Server) -> None:
    address, groq = server
    nobody = "http://127.0.0.1:1"
    assert f"{nobody} cannot be reached" in usage_error("ask", "Q", "--server", nobody)
    assert "http://host:port" in usage_error("ask", "Q", "--server", "127.0.0.1:2024")
    assert "langgraph.json" in usage_error("ask", "Q", "--server", groq.url)
    for odd in ("", "http://127.0.0.1:99999", "http://me:hunter2@127.0.0.1:1"):
        message = usage_error("ask", "Q", "--server", odd)
        assert ("http://host:port" in message, "hunter2" in message) == (True, False)
    for key in ("", "wrong"):
        assert "set LLAMABERRY_API_KEY" in usage_error("ask", "Q", "--server", address, LLAMABERRY_API_KEY=key)
    for key in ("wröng", "hunter\n2"):
        message = usage_error("ask", "Q", "--server", address, LLAMABERRY_API_KEY=key)
        assert ("LLAMABERRY_API_KEY" in message, key[:6] in message) == (True, False)
    groq.play()
    assert "blank" in usage_error("ask", " ", "--server", address)
    assert "--trace" in usage_error("ask", "Q", "--trace", "--server", address)
    assert groq.requests == []


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (301, "", "https://far.example/"),
        (200, "<html>", "langgraph.json"),
        (200, "[]", "langgraph.json"),
        (200, '{"ok": true}', "langgraph.json"),
        (200, '{"thread_id": "t", "status": "idle"}', "langgraph.json"),
        (204, "", "langgraph.json"),
        (502, "", "servers behind it"),
    ],
)
def test_another_kind_of_server_is_refused(status: int, body: str, message: str) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("location", "https://far.example/threads")
            self.end_headers()
            self.wfile.write(body.encode())

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        try:
            assert message in usage_error("ask", "Q", "--server", f"http://127.0.0.1:{other.server_port}")
        finally:
            other.shutdown()


def test_a_person_reviews_a_remote_run(server: Server) -> None:
    address, groq = server
    run = llamaberry("ask", "Q", "--review", "--turns", "3", "--server", address, stdin="h Count again.\ns\n")
    assert run.returncode == 0, run.stderr
    assert [len(re.findall(f"^turn {n} ·", run.stdout, re.MULTILINE)) for n in (1, 2, 3)] == [1, 1, 0]
    assert "2 turns · stopped by you" in run.stdout
    assert "Count again." in groq.requests[1].messages[-1]["content"]


@contextmanager
def cutting(address: str) -> Iterator[tuple[str, Any]]:
    """Yield the address of a proxy, and a function that closes its connections (`down`: its listener, too)."""
    host, port = address.removeprefix("http://").split(":")
    ends: list[socket.socket] = []

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, far = listener.accept()[0], socket.create_connection((host, int(port)))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    def cut(*, down: bool = False) -> None:
        if down:
            listener.shutdown(socket.SHUT_RDWR)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", cut
        finally:
            cut()
            for end in ends:
                end.close()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def test_a_broken_connection_is_restored_without_repeats(server: Server) -> None:
    address, groq = server
    groq.play(lambda request: Reply(good_model(request), chunk_delay=0.02))
    with (
        cutting(address) as (way, cut),
        running_command("ask", "Q", "--turns", "2", "--server", way, env=dict(os.environ)) as run,
    ):
        for call in (1, 2, 3):
            wait_until(lambda call=call: len(groq.requests) == call)  # type: ignore[misc]
            cut()
        out, message = run.communicate(timeout=LIMIT_S)
    assert (run.returncode, message, len(groq.requests)) == (0, "", 3)
    whole = llamaberry("ask", "Q", "--turns", "2", "--server", address)
    # `langgraph dev` may repeat or lose the piece of a reply that it sent at the cut: event ids are its milliseconds.
    expected = [line for line in mask_figures(whole.stdout) if re.match("──|turn|The answer|2 turns", line)]
    assert [line for line in mask_figures(out) if line in expected] == expected


def test_ctrl_c_while_unreachable_says_the_run_may_continue(server: Server) -> None:
    address, groq = server
    groq.play(lambda request: Reply(good_model(request), chunk_delay=0.02))
    ask = ("ask", "Q", "--turns", "2", "--thread", "lost", "--server")
    with cutting(address) as (way, cut), running_command(*ask, way, env=dict(os.environ)) as run:
        wait_until(lambda: len(groq.requests) == 1)
        cut(down=True)
        run.send_signal(signal.SIGINT)
        _, message = run.communicate(timeout=LIMIT_S)
    assert (run.returncode, "may continue" in message, "cancelled" in message) == (130, True, False)
    with get_sync_client(url=address, api_key=KEY) as client:
        wait_until(lambda: client.threads.get(thread_id("lost"))["status"] == "idle")
    assert len(groq.requests) == 3


def test_a_thread_name_always_has_the_same_id(tmp_path: Path) -> None:
    assert thread_id("trip") == thread_id("trip") != thread_id("other")
    assert thread_id(thread_id("trip")) == thread_id("trip")
