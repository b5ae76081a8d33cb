"""Each example, run as its docstring says, does what the docstring promises."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from mcp import Client

from testing.batch import answered_ids, write_questions
from testing.command import LIMIT_S
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model, refine
from testing.scripts import agent_model
from testing.server import PYTHON

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str, *words: str, **more: str) -> list[str]:
    """Run an example with warnings as errors; return the lines that it prints."""
    command = [*PYTHON, str(EXAMPLES / f"{name}.py"), *words]
    ran = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


@contextmanager
def serve_example(name: str, folder: Path) -> Iterator[str]:
    """Run an example that serves, in this folder; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    with subprocess.Popen([*PYTHON, str(EXAMPLES / f"{name}.py"), port], cwd=folder) as server:
        try:
            while server.poll() is None:
                with suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/openapi.json")
                    break
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def first_prompts(groq: ScriptedGroq) -> list[list[str]]:
    """The conversations in the prompts of first turns, without the system prompt and the instruction."""
    prompts = [[message["content"] for message in request.messages[1:]] for request in groq.requests]
    return [[*prompt[:-1], prompt[-1].split("\n\n")[0]] for prompt in prompts if "the first turn" in prompt[-1]]


def test_every_example_is_documented_and_tested() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"python examples/{path.name}" in path.read_text(encoding="utf-8")
        assert f'example("{path.stem}"' in tests


def test_subgraph_streams_and_continues_the_conversation(groq: ScriptedGroq) -> None:
    """The agent's settings apply, the second question sees the first, and no turn or message is repeated."""
    lines = example("subgraph")
    train, distance = (
        "A train goes 120 km in 80 minutes. How fast is it, in km/h?",
        "And how far does it go in 2 hours?",
    )
    assert first_prompts(groq) == [[train], [train, "The answer is 42.", distance]]
    assert len(groq.requests) == 6  # two turns and a synthesis, twice
    assert all(request.body["stream"] for request in groq.requests)
    nodes = [f"[reason > {node}]" for node in ("first_turn", "verify", "refine_turn", "synthesize")]
    assert [line for line in lines if line.startswith("[")] == nodes * 2
    assert lines.count("## Verdict") == 2  # tokens, not only updates
    assert "2 questions, 2 turns of the last one" in lines
    assert lines[-4:] == [f"human: {train}", "ai: The answer is 42.", f"human: {distance}", "ai: The answer is 42."]


def test_remote_graph_has_settings_and_threads_and_is_a_node(server: tuple[str, ScriptedGroq]) -> None:
    address, groq = server
    groq.play()
    lines = example("remote_graph", address)
    capital, people = "What is the capital of Australia?", "And how many people live there?"
    assert first_prompts(groq) == [[capital], [capital, "42", people], ["What is 17 * 23?"]]
    assert len(groq.requests) == 2 * 1 + 3  # max_turns=1 twice; 2 by way of the agent's context
    assert "4 messages on the thread" in lines
    nodes = ["[first_turn]", "[verify]", "[refine_turn]", "[synthesize]"]
    assert [line for line in lines if line.startswith("[")] == nodes
    assert "6 x 7 is 42." in lines  # the synthesis, token by token


def test_the_environment_can_name_the_server(server: tuple[str, ScriptedGroq]) -> None:
    address, groq = server
    groq.play()
    assert example("a2a_message", LLAMABERRY_SERVER=address)[-1].endswith("The answer is 42.")


def test_an_mcp_client_lists_and_calls_the_tool(server: tuple[str, ScriptedGroq]) -> None:
    address, groq = server
    groq.play()
    lines = example("mcp_client", address)
    (tool,) = [line for line in lines if line.startswith("llamaberry(")]
    assert tool.startswith("llamaberry(query, messages): Answers a question in several turns of reasoning")
    assert lines[-1] == "The answer is 42. (3 turns)"


def test_an_a2a_agent_continues_the_conversation(server: tuple[str, ScriptedGroq]) -> None:
    address, groq = server
    groq.play(lambda request: good_model(request).replace("The answer is 42.", "Canberra."))
    lines = example("a2a_message", address)
    assert lines[0].startswith("llamaberry: Answers a question")
    assert lines[1] == "What is the capital of Australia? Canberra."
    assert first_prompts(groq)[1] == [
        "What is the capital of Australia?",
        "Canberra.",
        "And how many people live there?",
    ]


class PeakCounter:
    """A model that records how many requests it has at once."""

    def __init__(self) -> None:
        self.peak = 0

    def __call__(self, request: Request) -> Reply:
        self.peak = max(self.peak, self.groq.open_requests)
        product = eval(re.findall(r"\d+ \* \d+", request.messages[-1]["content"])[0])
        return Reply(first(str(product)), delay=0.05)

    groq: ScriptedGroq


@pytest.mark.parametrize("words", [(), ("--async",)])
def test_batch_limits_concurrency_and_survives_a_bad_question(scripted: Scripted, words: tuple[str, ...]) -> None:
    model = PeakCounter()
    model.groq = scripted(model)
    lines = example("batch", *words)
    answers = [f"What is {n} * {n + 1}? {n * (n + 1)}" for n in range(10, 29)]
    assert lines[:-1] == [*answers[:7], "'   ' failed: ValidationError", *answers[7:]]
    assert lines[-1].startswith("19 answered, 1 failed, in ")
    assert 2 <= model.peak <= 5


RAY = """\
init = lambda **options: None
get = list
def remote(**options):
    class Method:
        def __init__(self, method): self.remote = method
    class Handle:
        def __init__(self, actor): self.actor = actor
        def __getattr__(self, name): return Method(getattr(self.actor, name))
    return lambda kind: Method(lambda: Handle(kind()))
"""
"""The part of Ray that the example uses, in one process."""


def test_ray_shards_answer_each_question_once(groq: ScriptedGroq, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text(RAY)
    names = [f"q{number}" for number in range(5)]
    words = (write_questions(tmp_path, *names), str(tmp_path / "answers"), "2")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    for _ in range(2):
        printed = example("ray_batch", *words, PYTHONPATH=path)
        assert printed == ["shard 1/2: 3 answered, 0 failed", "shard 2/2: 2 answered, 0 failed"]
    assert sorted(name for number in (1, 2) for name in answered_ids(tmp_path / "answers" / f"{number}.jsonl")) == names
    assert len(groq.requests) == 5 * 3  # two turns and a synthesis, once


async def test_assistants_creates_each_preset_once(server: tuple[str, ScriptedGroq]) -> None:
    """Even if it is run twice; each runs with the settings of its preset."""
    address, groq = server
    printed = example("assistants", address)
    assert [line.split()[0] for line in printed] == ["standard", "quick", "careful"]
    assert example("assistants", address) == printed
    async with Client(f"{address}/mcp") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"llamaberry", "quick", "standard", "careful"}
        assert tools["careful"].description == printed[2].partition(": ")[2]
        for name, turns, programs in (("quick", 1, 0), ("standard", 4, 1), ("careful", 2, 1)):
            groq.play()
            await client.call_tool(name, {"query": "What is 6 x 7?"})
            assert (len(groq.requests), len(groq.program_requests)) == (turns, programs), name


async def test_an_mcp_tool_accepts_query_or_messages(server: tuple[str, ScriptedGroq]) -> None:
    """For MCP clients the server declares `messages` as a string."""
    address, groq = server
    async with Client(f"{address}/mcp") as client:
        for name in ("query", "messages"):
            groq.play()
            result = await client.call_tool("llamaberry", {name: "What is 6 x 7?"})
            assert not result.is_error
            assert first_prompts(groq) == [["What is 6 x 7?"]]
        assert (await client.call_tool("llamaberry", {"query": " "})).is_error


def test_a_verifiers_hint_is_in_the_next_prompt(scripted: Scripted) -> None:
    groq = scripted([first("17 x 23 = 390, so 390"), refine("391", "revise")])
    assert example("verifier", "What is 17 * 23?") == [
        "turn 1: 17 x 23 = 390, so 390",
        "  A calculator says: 17 x 23 = 391, not 390.",
        "turn 2: 391",
        "391",
    ]
    prompt = groq.requests[1].messages[-1]["content"]
    assert "A calculator says: 17 x 23 = 391" in prompt
    assert prompt.endswith("Be brief: three steps at the most.")
    assert len(groq.requests) == 2  # no call for the synthesis


def test_tool_streams_its_progress_and_returns_its_turns(scripted: Scripted) -> None:
    scripted(agent_model)
    lines = example("tool", "Compare.")
    assert {"turn_started: 1", "turn_finished: 2", "refining_ended: max_turns"} <= set(lines)
    assert lines[-5:] == ["My tool says 42.", *["turn 1: 42", "turn 2: 42"] * 2]


def test_a_fastapi_app_answers_streams_fails_and_cancels(groq: ScriptedGroq, tmp_path: Path) -> None:
    with serve_example("fastapi_app", tmp_path) as address:
        first_question, second_question = {"question": "What is 6 x 7?"}, {"question": "And half of it?"}
        reply = httpx.post(f"{address}/threads/1", json=first_question, timeout=LIMIT_S)
        assert reply.json() == {"answer": "The answer is 42.", "concise_answer": "42", "degraded": None}
        reply = httpx.post(f"{address}/threads/1/stream", json=second_question, timeout=LIMIT_S)
        assert first_prompts(groq)[1] == ["What is 6 x 7?", "The answer is 42.", "And half of it?"]
        assert reply.text.count("event: token") > 50
        assert reply.text.endswith('event: answer\ndata: "The answer is 42."\n\n')
        groq.play(lambda _request: Reply(status=401))
        assert "GROQ_API_KEY" in httpx.post(f"{address}/threads/2", json=first_question).json()["error"]
        assert httpx.post(f"{address}/threads/3/stream", json=first_question).text.startswith("event: error\n")
        groq.play([Reply(hang=True)])
        with httpx.stream("POST", f"{address}/threads/4/stream", json=first_question):
            groq.wait(1)
        groq.wait(0)
        assert groq.disconnects == 1
