"""The local model runs in one child process that never outlives its parent; its errors name the remedy."""

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
from llamaberry.models.local import download
from llamaberry.models.local import server as local_server


@pytest.fixture(autouse=True, scope="module")
def no_server_left() -> Iterator[None]:
    """Stop the server that the tests share: loading the real model takes seconds."""
    yield
    local_server.close()


@pytest.fixture
def garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Select a file that is not a model."""
    path = tmp_path / "garbage.gguf"
    path.write_bytes(b"not a model")
    monkeypatch.setenv("LLAMABERRY_LOCAL_GGUF", str(path))
    return path


# ------------------------------------------------------------------------------------------------------- the file


def test_the_model_is_in_llamaberry_home(tmp_path: Path) -> None:
    assert local_server.gguf_path().parent == tmp_path / "models"
    assert "missing:  run `llamaberry model pull`" in download.describe()


def test_a_missing_model_error_names_the_path_and_the_remedy(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    with pytest.raises(SetupError, match=r"The local model is not at .*: run `llamaberry model pull`") as error:
        local_server.server()
    assert str(tmp_path) in str(error.value)


def test_a_missing_package_error_names_the_extra() -> None:
    """Run in an interpreter without installed packages (-S) that finds only our own files."""
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


def test_llamaberry_local_gguf_selects_the_file(garbage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_server.gguf_path() == garbage
    assert f"size:     {garbage.stat().st_size} bytes\n" in f"{download.describe()}\n", "no SHA-256 to verify"
    monkeypatch.setenv("LLAMABERRY_LOCAL_GGUF", "/no/such.gguf")
    with pytest.raises(SetupError, match=r"LLAMABERRY_LOCAL_GGUF is '/no/such.gguf'"):
        local_server.gguf_path()


def test_a_model_file_of_an_unknown_user_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_LOCAL_GGUF", "~nosuchuser/m.gguf")
    with pytest.raises(SetupError, match="~nosuchuser is no home directory"):
        local_server.gguf_path()


def test_llamaberry_local_slots_sets_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMABERRY_LOCAL_SLOTS", raising=False)
    assert local_server.slots() == 2
    monkeypatch.setenv("LLAMABERRY_LOCAL_SLOTS", "4")
    assert local_server.slots() == 4
    monkeypatch.setenv("LLAMABERRY_LOCAL_SLOTS", "many")
    with pytest.raises(SetupError, match="LLAMABERRY_LOCAL_SLOTS is 'many': set a number from 1 to 16"):
        local_server.slots()


# ---------------------------------------------------------------------------------------------------------- the server


def test_a_broken_file_error_has_the_end_of_the_log(garbage: Path) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("langchain_openai")
    start = time.monotonic()
    with pytest.raises(SetupError, match=r"ended while starting(.|\n)*failed to load") as error:
        local_server.server()
    assert str(garbage) in str(error.value)
    assert time.monotonic() - start < 30


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """Create a model file that never ends: a pipe without a writer."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    path = tmp_path / "stuck.gguf"
    os.mkfifo(path)
    return path


def test_a_start_times_out(stuck: Path) -> None:
    pytest.importorskip("xllamacpp")
    server = local_server.LocalServer(stuck)
    with pytest.raises(SetupError, match=r"was not ready after 1 s"):
        server.wait_until_ready(timeout_s=1)
    assert not server.alive()


def test_close_interrupts_a_start(stuck: Path) -> None:
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
    """Return whether a process ends in time."""
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
    """Start a server in another process, send that one a signal, and return the pid of the server."""
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
def test_ctrl_c_during_a_start_ends_the_child(stuck: Path) -> None:
    pytest.importorskip("xllamacpp")
    code = "server = local_server.LocalServer(model); print(server._child.pid, flush=True); server.wait_until_ready()"
    assert gone(orphan(code, stuck, signal.SIGINT), 5)


@needs_proc
def test_a_fork_of_the_parent_keeps_no_server(garbage: Path) -> None:
    """The fork holds the pipe open, whose end would tell the server that its parent has ended."""
    program = "import os, sys; from pathlib import Path; from llamaberry.models.local.server import LocalServer\n"
    program += "server = LocalServer(Path(sys.argv[1])); print(server._child.pid, flush=True)\n"
    program += "if os.fork() == 0: sys.stdin.read(); os._exit(0)\nsys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", program, garbage], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert not gone(pid, 1.5)
        parent.kill()
        assert gone(pid, 10)


@needs_proc
def test_the_child_gets_no_secret(garbage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "GROQ_API_KEY", "LLAMABERRY_API_KEY", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    server = local_server.LocalServer(garbage)
    try:
        environment = Path(f"/proc/{server._child.pid}/environ").read_bytes()
    finally:
        server.close()
    assert (b"sesame" in environment, b"CUDA_VISIBLE_DEVICES=1" in environment) == (False, True)


# ------------------------------------------------------------------------------------------------ with the real model


@pytest.fixture
def server() -> local_server.LocalServer:
    """Start the real model, or skip the test if it is not installed."""
    try:
        return local_server.server()
    except SetupError as error:
        if "ended while" in str(error):
            raise
        pytest.skip(str(error))


def ask(address: str, key: str | None) -> int:
    """Request one token, without a client library, and return the HTTP status."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    body = b'{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}'
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{address}/chat/completions", body, headers)) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.local_model
@pytest.mark.parametrize("streaming", [False, True])
def test_replies_have_text_usage_and_a_finish_reason(server: local_server.LocalServer, streaming: bool) -> None:
    """By the real client. A prompt that extends the previous one is read from the cache."""
    import httpx
    from langchain_core.messages import HumanMessage, SystemMessage
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    with httpx.Client() as client:  # so that the test closes it
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
        story = "Tell me a long story about a fox and a crow."  # longer than five tokens
        short = model.invoke([HumanMessage(story)], max_tokens=5)
    assert "Paris" in first.text
    assert first.usage_metadata
    assert again.usage_metadata
    assert first.usage_metadata["output_tokens"] > 0
    assert again.usage_metadata["input_token_details"]["cache_read"] >= first.usage_metadata["input_tokens"] - 5
    assert [reply.response_metadata["finish_reason"] for reply in (first, again, short)] == ["stop", "stop", "length"]


@pytest.mark.local_model
def test_requests_need_the_key(server: local_server.LocalServer) -> None:
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
def test_threads_share_one_server_which_is_restarted_if_it_dies(server: local_server.LocalServer) -> None:
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
    """The child finishes loading first, which cannot be interrupted."""
    code = (
        "import threading, time; server = local_server.LocalServer(model)\n"
        "threading.Thread(target=server.wait_until_ready).start()\n"
        "time.sleep(0.5); print(server._child.pid, flush=True)"
    )
    assert gone(orphan(code, server.model), 60)


@pytest.mark.local_model
@needs_proc
def test_ctrl_c_in_the_terminal_does_not_stop_the_server(server: local_server.LocalServer) -> None:
    assert os.getpgid(server._child.pid) != os.getpgid(0)
    server._child.send_signal(signal.SIGINT)
    assert ask(server.base_url, server.api_key) == 200
