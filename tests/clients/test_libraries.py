"""Python libraries: their usual calls."""

from importlib.util import find_spec

import pytest

from testing.clients import Clients
from testing.scripted_groq import Reply, first

pytestmark = pytest.mark.clients
DSPY = """\
import sys
import dspy

model = dspy.LM("openai/llamaberry-quick", api_base=sys.argv[1], api_key="any", cache=False, num_retries=0)
dspy.configure(lm=model)
print(dspy.Predict("question -> answer: int")(question="What is 6 times 7?").answer + 1)
print(dspy.ChainOfThought("question -> answer")(question="What is 6 times 7?").reasoning)
"""
DSPY_FAILS = """\
import sys
import dspy

try:
    dspy.LM("openai/llamaberry", api_base=sys.argv[1], api_key="any", cache=False, num_retries=0)("What is 6 times 7?")
except dspy.LMError as error:
    print(error)
"""
LITELLM = """\
import sys
import litellm

where = {"model": "openai/llamaberry", "api_base": sys.argv[1], "api_key": "any"}
messages = [{"role": "user", "content": "What is 6 times 7?"}]
reply = litellm.completion(messages=messages, **where)
print(reply.choices[0].message.content)
print(reply.choices[0].message.reasoning_content.split("\\n")[0])
print(reply.usage.total_tokens > reply.usage.completion_tokens_details.reasoning_tokens > 0)
parts = litellm.completion(messages=messages, stream=True, **where)
print("".join(part.choices[0].delta.content or "" for part in parts))
print(litellm.responses(input="What is 6 times 7?", **where).output[-1].content[0].text)
"""
LITELLM_FAILS = """\
import sys
import litellm

try:
    messages = [{"role": "user", "content": "What is 6 times 7?"}]
    litellm.completion(model="openai/llamaberry", api_base=sys.argv[1], api_key="any", messages=messages)
except litellm.RateLimitError as error:
    print(error)
"""
INSTRUCTOR = """\
import sys
import instructor
from openai import OpenAI
from pydantic import BaseModel


class Result(BaseModel):
    number: int


client = instructor.from_openai(OpenAI(base_url=sys.argv[1], api_key="any"), mode=instructor.Mode.MD_JSON)
messages = [{"role": "user", "content": "What is 6 times 7?"}]
print(client.chat.completions.create(model="llamaberry-quick", response_model=Result, messages=messages))
"""


def needs(package: str) -> pytest.MarkDecorator:
    """Skip a test without this package. It is not imported here: that takes seconds, and it may use the network."""
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


@needs("dspy")
def test_dspy_reads_the_fields_of_its_signatures(clients: Clients) -> None:
    fields = "[[ ## reasoning ## ]]\nSix sevens.\n\n[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"
    clients.groq.play([first(fields.partition("\n\n")[2]), first(fields)])
    assert clients.python(DSPY) == ["43", "Six sevens."]


@needs("dspy")
def test_dspy_says_why_the_provider_failed(clients: Clients) -> None:
    clients.groq.play([Reply(status=401)])
    (line,) = clients.python(DSPY_FAILS)
    assert "GROQ_API_KEY" in line


@needs("litellm")
def test_litellm_reads_text_reasoning_usage_and_streams(clients: Clients) -> None:
    assert clients.python(LITELLM) == ["The answer is 42.", "# turn 1", "True", *["The answer is 42."] * 2]


@needs("litellm")
def test_litellm_says_why_and_does_not_ask_again(clients: Clients) -> None:
    clients.groq.play(lambda _request: Reply(status=429, headers={"retry-after": "100"}))
    assert "the rate limit is used up" in "".join(clients.python(LITELLM_FAILS))
    assert len(clients.groq.requests) == 1


@needs("instructor")
def test_instructor_reads_json_in_the_answer(clients: Clients) -> None:
    clients.groq.play([first('```json\n{"number": 42}\n```')])
    assert clients.python(INSTRUCTOR) == ["number=42"]
