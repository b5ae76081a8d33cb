"""LLAMABERRY_TRACES sends the same runs to an OTLP collector; an unreachable one costs little."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from testing.collector import Collector, serve_collector
from testing.command import LIMIT_S, llamaberry, running_command, usage_error
from testing.scripted_groq import Reply, Scripted, first, program, refine, synthesis
from testing.scripts import REVISED_ANSWER
from testing.traces import RUN_NODES, run_python

OK, ERROR = 1, 2


@pytest.fixture
def otlp(monkeypatch: pytest.MonkeyPatch) -> Any:
    with serve_collector(Collector()) as server:
        monkeypatch.setenv("LLAMABERRY_TRACES", server.url)
        yield server


def attributes(span: Any) -> dict[str, Any]:
    values = {one.key: one.value for one in span.attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


def test_spans_have_names_messages_tokens_and_metadata(scripted: Scripted, otlp: Collector) -> None:
    usage = {"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930}
    scripted([Reply(text, usage=usage) for text in REVISED_ANSWER], [Reply("NONE", usage=usage)])
    run = llamaberry("ask", "-q", "Q", "--thread", "T")
    assert (run.returncode, run.stdout, run.stderr) == (0, "The answer is 42.\n", "")
    spans = {span.name: span for span in otlp.spans}
    assert [span.name for span in otlp.spans] == [
        "llamaberry",
        *(line for node in RUN_NODES for line in (node, f"{node} model call")),
    ]
    assert len({span.trace_id for span in otlp.spans}) == 1
    for node in RUN_NODES:
        assert spans[node].parent_span_id == spans["llamaberry"].span_id
        assert spans[f"{node} model call"].parent_span_id == spans[node].span_id
        call = attributes(spans[f"{node} model call"])
        assert (call["llm.token_count.prompt"], call["llm.token_count.completion"]) == (900, 30)
        assert call["llm.input_messages.1.message.role"] == "user"
        assert call["session.id"] == "T"
    recorded = json.loads(attributes(spans["turn 2"])["metadata"])
    expected = {"turn": 2, "verdict": "revise", "answer_changed": True, "normalised_answer": "42"}
    assert expected.items() <= recorded.items()


def test_the_span_of_a_check_has_its_program(scripted: Scripted, otlp: Collector) -> None:
    scripted([first("42")], [program("print(6 * 7)")])
    llamaberry("ask", "-q", "Q")
    spans = {span.name: span for span in otlp.spans}
    recorded = json.loads(attributes(spans["check"])["metadata"])
    assert {"program": "print(6 * 7)", "output": "42\n", "verdict": "agrees"}.items() <= recorded.items()
    assert spans["check model call"].parent_span_id == spans["check"].span_id


def test_a_failed_attempt_is_a_failed_span(scripted: Scripted, otlp: Collector) -> None:
    scripted([first(), Reply(status=503), refine(), synthesis()])
    llamaberry("ask", "-q", "Q", "--turns", "2")
    statuses = [(span.name, span.status.code) for span in otlp.spans if span.name.startswith("turn 2")]
    nodes = [("turn 2", ERROR), ("turn 2", OK)]
    calls = [("turn 2 model call", ERROR), ("turn 2 model call", OK)]
    assert sorted(statuses) == sorted(nodes + calls)


def test_the_variable_alone_traces_a_host_agent(scripted: Scripted, otlp: Collector) -> None:
    scripted(REVISED_ANSWER)
    run_python(
        "from langgraph.graph import START, MessagesState, StateGraph\n"
        "from llamaberry import build_graph\n"
        "builder = StateGraph(MessagesState)\n"
        "builder.add_node('reason', build_graph())\n"
        "builder.add_edge(START, 'reason')\n"
        "builder.compile(name='agent').invoke({'messages': [{'role': 'user', 'content': 'Q'}]})"
    )
    names = [span.name for span in otlp.spans]
    assert names[:4] == ["agent", "reason", "llamaberry", "turn 1"]
    assert len({span.trace_id for span in otlp.spans}) == 1


HOOKS = "from langchain_core.tracers.context import _configure_hooks as hooks; print(len(hooks), end=' ')\n"


@pytest.mark.parametrize(("address", "hooks"), [("", 0), ("http://127.0.0.1:9", 1)])
def test_only_build_graph_registers_the_tracer(address: str, hooks: int) -> None:
    """An import registers nothing, and a second graph no second tracer."""
    modules = "".join(f"import llamaberry.{name}\n" for name in ("graph.state", "nodes", "tracing.node_trace"))
    build = "from llamaberry import build_graph, graph; build_graph()\n"
    command = [sys.executable, "-c", HOOKS + modules + HOOKS + build + HOOKS]
    environment = os.environ | {"LLAMABERRY_TRACES": address}
    before, imported, built = map(int, subprocess.run(command, env=environment, capture_output=True).stdout.split())
    assert (imported - before, built - before) == (0, hooks)


@pytest.mark.parametrize("trouble", [None, {"status": 500}, {"delay": 30}, {"drip": True}])
def test_an_unreachable_viewer_costs_one_line(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, Any] | None
) -> None:
    scripted(REVISED_ANSWER)
    with serve_collector(Collector(**trouble or {})) as server:
        monkeypatch.setenv("LLAMABERRY_TRACES", server.url if trouble else "http://127.0.0.1:9")
        started_at = time.monotonic()
        run = llamaberry("ask", "-q", "Q")
        seconds = time.monotonic() - started_at
    assert (run.returncode, run.stdout) == (0, "The answer is 42.\n")
    if not trouble or "drip" not in trouble:  # its status was 200
        assert (run.stderr.count("\n"), run.stderr[:30]) == (1, "llamaberry: LLAMABERRY_TRACES:")
    assert seconds < 15  # OpenTelemetry's exporter retries for half a minute and more


def test_no_secret_is_sent_to_the_collector(scripted: Scripted, otlp: Collector) -> None:
    """Neither the provider's key, even if its error repeats it, nor a header for another host."""
    key = "gsk_PLANTED0key0that0nobody0else0may0see"
    scripted([first(), Reply(status=401, error=f"Invalid key {key}")])
    headers = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-other=theirs0alone",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-api=theirs0alone",
    }
    assert llamaberry("ask", "-q", "Q", GROQ_API_KEY=key, **headers).returncode == 3
    assert b"Invalid key" in otlp.all_bytes
    assert key.encode() not in otlp.all_bytes
    assert b"theirs0alone" not in otlp.all_bytes


@pytest.mark.parametrize("address", ["http://ann:pAsSw0rd@{}", "http://ann:pAsSw0rd@127.0.0.1:9", "http://xn--a.b/"])
def test_the_password_of_the_address_is_never_printed(scripted: Scripted, otlp: Collector, address: str) -> None:
    scripted(REVISED_ANSWER)
    more = {"LLAMABERRY_TRACES": address.format(otlp.url.removeprefix("http://"))}
    code = "import logging; logging.basicConfig(level='INFO')\nfrom llamaberry.cli.main import main; main()"
    with running_command("ask", "-q", "--trace", "Q", code=code, env=os.environ | more) as run:
        stdout, stderr = run.communicate(timeout=LIMIT_S)
    assert (run.returncode, stdout) == (0, "The answer is 42.\n")
    assert "pAsSw0rd" not in stderr
    assert "Traceback" not in stderr
    assert stderr.count("sending failed") == ("{}" not in address)
    assert {headers.get("authorization") for _, headers, _ in otlp.requests} <= {"Basic YW5uOnBBc1N3MHJk"}


def test_openinference_hides_inputs_and_outputs(scripted: Scripted, otlp: Collector) -> None:
    scripted([first("Zanzibar"), refine("Zanzibar"), synthesis("It is Zanzibar.", "Zanzibar")])
    hide = {f"OPENINFERENCE_HIDE_{what}": "true" for what in ("INPUTS", "OUTPUTS")}
    words = ("ask", "-q", "Where is Freddie from?", "--turns", "2", "--system-prompt", "You are Bulsara.")
    assert llamaberry(*words, **hide).returncode == 0
    assert b"turn 2" in otlp.all_bytes
    for secret in (b"anzibar", b"Freddie", b"Bulsara"):
        assert secret not in otlp.all_bytes


def test_openinference_hides_a_program_and_its_output(scripted: Scripted, otlp: Collector) -> None:
    scripted([first("zanzibar")], [program("print('ZANZIBAR'.lower())")])
    hide = {f"OPENINFERENCE_HIDE_{what}": "true" for what in ("INPUTS", "OUTPUTS")}
    assert llamaberry("ask", "-q", "Q", **hide).returncode == 0
    assert b'"verdict": "agrees"' in otlp.all_bytes
    assert b"zanzibar" not in otlp.all_bytes.lower()


def test_without_the_extra_a_run_works_and_names_it(scripted: Scripted, otlp: Collector, tmp_path: Path) -> None:
    for package in ("openinference", "phoenix"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ImportError('it is not installed')")
    scripted(REVISED_ANSWER)
    run = llamaberry("ask", "-q", "Q", PYTHONPATH=str(tmp_path))
    assert (run.returncode, run.stdout) == (0, "The answer is 42.\n")
    assert run.stderr.count('pip install "llamaberry[traces]"') == run.stderr.count("\n") == 1
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    assert 'pip install "llamaberry[traces]"' in usage_error("traces", "--port", port, PYTHONPATH=str(tmp_path))
