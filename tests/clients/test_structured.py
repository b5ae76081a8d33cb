"""Structured answers as each library asks for them, over both of OpenAI's APIs."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from testing.clients import Clients
from testing.scripted_groq import Request, first

AI_SDK = Path(__file__).with_name("ai_sdk") / "structured.mjs"
pytestmark = pytest.mark.clients

START = """\
import os
import sys
from pydantic import BaseModel

url = os.environ["OPENAI_BASE_URL"] = sys.argv[1]
question = "What is 6 times 7?"


class Result(BaseModel):
    number: int


"""
PROGRAMS = {
    "langchain_openai": """\
from langchain_openai import ChatOpenAI

for responses in (False, True):
    model = ChatOpenAI(model="llamaberry-quick", use_responses_api=responses)
    for method in ("json_schema", "function_calling", "json_mode"):
        structured = model.with_structured_output(Result, method=method)
        print(structured.invoke(question).number, [*structured.stream(question)][-1].number)
""",
    "pydantic_ai": """\
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

for kind in (OpenAIChatModel, OpenAIResponsesModel):
    for output in (Result, ToolOutput(Result), NativeOutput(Result), PromptedOutput(Result)):
        print(Agent(kind("llamaberry-quick"), output_type=output).run_sync(question).output.number)
""",
    "instructor": """\
import instructor
from openai import OpenAI

messages = [{"role": "user", "content": question}]
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA, instructor.Mode.RESPONSES_TOOLS):
    client = instructor.from_openai(OpenAI(), mode=mode)
    created = client.chat.completions.create(model="llamaberry-quick", response_model=Result, messages=messages)
    print(created.number)
""",
    "agents": """\
from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
for model in ("llamaberry-quick", OpenAIChatCompletionsModel("llamaberry-quick", AsyncOpenAI())):
    agent = Agent(name="reasoner", model=model, output_type=Result)
    print(Runner.run_sync(agent, question).final_output.number)
""",
}


def script(request: Request) -> str:
    """Answer in words; and in JSON, as models do that have no structured output."""
    asks_for_json = "The JSON schema:" in str(request.messages[-1]["content"])
    return 'Here it is:\n```json\n{"number": 42}\n```' if asks_for_json else first("Forty-two")


@pytest.mark.parametrize("package", PROGRAMS)
def test_a_library_reads_a_structured_answer(clients: Clients, package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    clients.groq.play(script)
    numbers = " ".join(clients.python(START + PROGRAMS[package])).split()
    assert set(numbers) == {"42"}


@pytest.mark.skipif(
    not shutil.which("node") or not AI_SDK.with_name("node_modules").exists(),
    reason="run `npm ci` in tests/clients/ai_sdk first",
)
def test_the_ai_sdk_reads_a_structured_answer(clients: Clients) -> None:
    clients.groq.play(script)
    results = [json.loads(line) for line in clients.run("node", str(AI_SDK), clients.url).splitlines()]
    assert results == [{"number": 42}] * 9
