"""The local model: run by one child process that never outlives us, with plain errors."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llamaberry.graph.errors import SetupError
from llamaberry.models.local import download as local_model
from llamaberry.models.local import server as local_server


@pytest.fixture(autouse=True, scope="module")
def no_server_left() -> Iterator[None]:
    """End the server that the tests started; those with the real model share one, as loading takes seconds."""
    yield
    local_server.close()


@pytest.fixture
def garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the local model to a file that is no model."""
    path = tmp_path / "garbage.gguf"
    path.write_bytes(b"no model at all")
    monkeypatch.setenv("LLAMABERRY_LOCAL_GGUF", str(path))
    return path


# ---------------------------------------------------------------------------------------------- where the file lies


def test_the_model_lies_in_llamaberry_home_and_needs_not_be_there(tmp_path: Path) -> None:
    assert local_server.gguf_path().parent == tmp_path / "models"
    assert not local_model.status().present


def test_a_missing_model_is_an_error_that_names_the_path_and_the_remedy(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    with pytest.raises(SetupError, match=r"The local model is not at .*: run `llamaberry model pull`") as error:
        local_server.server()
    assert str(tmp_path) in str(error.value)
    assert "llamaberry model pull" in local_model.describe()


def test_a_missing_package_is_an_error_that_names_the_extra() -> None:
    """In an interpreter that finds nothing installed (-S), and is given our own files alone."""
    code = (
        "import sys, types\n"
        "sys.modules['platformdirs'] = types.ModuleType('platformdirs')\n"
        "sys.modules['llamaberry'] = types.ModuleType('llamaberry')\n"
        "sys.modules['llamaberry'].__path__ = sys.argv[1:]\n"
        "from llamaberry.models.local import server as local_server\n"
        "try: local_server.server()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    bare = [sys.executable, "-I", "-S", "-c", code, *map(str, Path(local_server.__file__).parents[2:4])]
    run = subprocess.run(bare, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("SetupError")
    assert "xllamacpp and langchain_openai" in run.stdout
    assert 'pip install "llamaberry[local]"' in run.stdout


def test_a_file_of_ones_own_is_used_and_a_missing_one_is_named(garbage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_server.gguf_path() == garbage
    assert local_model.status(verify=True).sha256_ok is None
    monkeypatch.setenv("LLAMABERRY_LOCAL_GGUF", "/no/such.gguf")
    with pytest.raises(SetupError, match=r"LLAMABERRY_LOCAL_GGUF is '/no/such.gguf'"):
        local_server.gguf_path()


def test_the_slots_are_two_or_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMABERRY_LOCAL_SLOTS", raising=False)
    assert local_server.slots() == 2
    monkeypatch.setenv("LLAMABERRY_LOCAL_SLOTS", "4")
    assert local_server.slots() == 4
    monkeypatch.setenv("LLAMABERRY_LOCAL_SLOTS", "many")
    with pytest.raises(SetupError, match="LLAMABERRY_LOCAL_SLOTS is 'many': set a number from 1 to 16"):
        local_server.slots()


# ---------------------------------------------------------------------------------------------------------- the server


def test_a_broken_file_is_an_error_with_the_end_of_the_log(garbage: Path) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("langchain_openai")
    start = time.monotonic()
    with pytest.raises(SetupError, match=r"ended while starting(.|\n)*failed to load") as error:
        local_server.server()
    assert str(garbage) in str(error.value)
    assert time.monotonic() - start < 30


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """Make a model file whose reading never ends: a pipe that nobody writes to."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    path = tmp_path / "stuck.gguf"
    os.mkfifo(path)
    return path


def test_a_start_that_takes_too_long_is_given_up(stuck: Path) -> None:
    pytest.importorskip("xllamacpp")
    server = local_server.LocalServer(stuck)
    with pytest.raises(SetupError, match=r"was not ready after 1 s"):
        server.wait_until_ready(timeout_s=1)
    assert not server.alive()


def test_close_ends_the_waiting_for_a_model_that_loads(stuck: Path) -> None:
    pytest.importorskip("xllamacpp")
    server = local_server.LocalServer(stuck)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.wait_until_ready)
        time.sleep(0.5)
        start = time.monotonic()
        server.close()
        with pytest.raises(SetupError, match="ended while starting"):
            waiting.result(timeout=5)
        assert time.monotonic() - start < 5


def gone(pid: int, within_s: float) -> bool:
    """Tell whether a process ends in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def orphan(code: str, model: Path, how: signal.Signals = signal.SIGKILL) -> int:
    """Start a server in another process, end that one (as the kernel would), and return the pid of the server."""
    program = "from llamaberry.models.local import server as local_server\nimport sys, pathlib\n"
    program += f"model = pathlib.Path(sys.argv[1])\n{code}"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program, model], stdin=pipe, stdout=pipe, stderr=pipe) as parent:
        assert parent.stdout
        assert parent.stderr
        pid = int(parent.stdout.readline())
        assert not gone(pid, 0.1)
        parent.send_signal(how)
        assert gone(parent.pid, 5)
        assert b"KeyboardInterrupt" in parent.stderr.read() or how == signal.SIGKILL
    return pid


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


@needs_proc
def test_ctrl_c_ends_the_waiting_and_the_child(stuck: Path) -> None:
    pytest.importorskip("xllamacpp")
    code = "server = local_server.LocalServer(model); print(server._child.pid, flush=True); server.wait_until_ready()"
    assert gone(orphan(code, stuck, signal.SIGINT), 5)


# ------------------------------------------------------------------------------------------------ with the real model


@pytest.fixture
def server() -> local_server.LocalServer:
    """Start the real model, or skip where it is not there."""
    try:
        return local_server.server()
    except SetupError as error:
        if "ended while" in str(error):
            raise
        pytest.skip(str(error))


def ask(address: str, key: str | None) -> int:
    """Ask the server without any client library for one token, and return the HTTP status."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    body = b'{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}'
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{address}/chat/completions", body, headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


@pytest.mark.local_model
@pytest.mark.parametrize("streaming", [False, True])
def test_answers_carry_text_usage_and_why_they_ended(server: local_server.LocalServer, streaming: bool) -> None:
    """Through the real client; a prompt that is the last one's plus a suffix is read from the cache."""
    import httpx
    from langchain_core.messages import HumanMessage, SystemMessage
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    with httpx.Client() as client:  # ours, so that it is closed
        model = ChatOpenAI(
            model="local",
            base_url=server.base_url,
            api_key=SecretStr(server.api_key),
            stream_usage=True,
            streaming=streaming,
            http_client=client,
            max_retries=0,
            timeout=300,
        )
        talk = [SystemMessage("You answer in one word. " * 20), HumanMessage("What is the capital of France?")]
        first = model.invoke(talk, max_tokens=30)
        again = model.invoke([*talk, first, HumanMessage("And of Italy?")], max_tokens=30)
        story = "Tell me a long story about a fox and a crow."  # no model ends one within five tokens
        short = model.invoke([HumanMessage(story)], max_tokens=5)
    assert "Paris" in first.text
    assert first.usage_metadata
    assert again.usage_metadata
    assert first.usage_metadata["output_tokens"] > 0
    assert again.usage_metadata["input_token_details"]["cache_read"] >= first.usage_metadata["input_tokens"] - 5
    assert [reply.response_metadata["finish_reason"] for reply in (first, again, short)] == ["stop", "stop", "length"]


@pytest.mark.local_model
def test_only_who_has_the_key_is_answered(server: local_server.LocalServer) -> None:
    assert server.base_url.startswith("http://127.0.0.1:")
    statuses = [ask(server.base_url, key) for key in (None, "wrong", server.api_key)]
    assert statuses == [401, 401, 200]
    assert server.api_key not in repr(server)


@pytest.mark.local_model
@needs_proc
def test_the_key_is_on_no_command_line(server: local_server.LocalServer) -> None:
    pid = server._child.pid
    assert server.api_key not in Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/environ").read_text()


@pytest.mark.local_model
def test_all_threads_share_one_server_and_a_dead_one_is_started_again(server: local_server.LocalServer) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert {*pool.map(lambda _: local_server.server(), range(8))} == {server}
        server._child.kill()
        server._child.wait()
        (second,) = {*pool.map(lambda _: local_server.server(), range(8))}
    assert second is not server
    assert ask(second.base_url, second.api_key) == 200


@pytest.mark.local_model
@needs_proc
def test_a_killed_parent_leaves_no_server(server: local_server.LocalServer) -> None:
    assert gone(orphan("print(local_server.server()._child.pid, flush=True); sys.stdin.read()", server.model), 5)


@pytest.mark.local_model
@needs_proc
def test_a_parent_killed_while_the_model_loads_leaves_no_server(server: local_server.LocalServer) -> None:
    """Loading can't be interrupted from within, so it is finished first."""
    code = (
        "import threading, time; server = local_server.LocalServer(model)\n"
        "threading.Thread(target=server.wait_until_ready).start()\n"
        "time.sleep(0.5); print(server._child.pid, flush=True)"
    )
    assert gone(orphan(code, server.model), 60)


@pytest.mark.local_model
@needs_proc
def test_an_interrupt_from_the_terminal_leaves_the_server_alone(server: local_server.LocalServer) -> None:
    assert os.getpgid(server._child.pid) != os.getpgid(0)
    server._child.send_signal(signal.SIGINT)
    assert ask(server.base_url, server.api_key) == 200
