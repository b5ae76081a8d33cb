"""The check of an answer in the OpenAI-compatible API: how it reads, and in the replies of a real server."""

from typing import Any

import openai
import pytest

from llamaberry.graph.check import Check, CheckVerdict
from llamaberry.server.openai_check import render_check
from testing.openai_api import Api, ask, streamed
from testing.scripted_groq import Reply, first, program, refine, synthesis

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
VERIFIED = f"""\
# turn 1

{first("42")}

# check

```python
print(6 * 7)
```

It printed:

```
42
```

The program's answer is 42: turn 1's."""
TURN: Any = {"index": 1, "answer": "42", "text": first("42")}


def render(source: str | None = "print(6 * 7)", output: str = "42", *, error: str | None = None) -> str:
    verdict: CheckVerdict = "failed" if error else "agrees"
    answer = None if error else output.strip()
    return render_check(Check(program=source, output=output, error=error, answer=answer, verdict=verdict), TURN, None)


def test_a_fence_is_longer_than_those_in_its_text() -> None:
    text = render("print('````' * 2)", "````````\n")
    assert "`````python\nprint('````' * 2)\n`````\n" in text
    assert "\n`````````\n````````\n`````````\n" in text


def test_the_text_of_a_check_has_no_control_characters() -> None:
    text = render("print('\x07')", "4\x1b[31m2\r\n")
    assert not any(ord(character) < 32 and character != "\n" for character in text)


def test_a_failed_program_is_shown_with_its_error() -> None:
    text = render("print(1 / 0)", "", error="line 1: ZeroDivisionError")
    assert text == "```python\nprint(1 / 0)\n```\n\nThe program failed: line 1: ZeroDivisionError"


def test_a_failed_call_is_one_line() -> None:
    assert render(None, "", error="groq answered 400") == "The check failed: groq answered 400"


@pytest.mark.parametrize("stream", [False, True])
def test_a_verified_run_shows_the_program_once(api: Api, client: openai.OpenAI, stream: bool) -> None:
    """The model's reply with the program is not shown, and no synthesis follows."""
    api.groq.play([first("42")], [f"Here it is:\n{program('print(6 * 7)')}"])
    if stream:
        reasoning, content, chunks = streamed(client)
        finish_reason = chunks[-1].choices[0].finish_reason
    else:
        (choice,) = ask(client).choices
        reasoning, content = choice.message.reasoning_content, choice.message.content
        finish_reason = choice.finish_reason
    assert (reasoning, content, finish_reason) == (VERIFIED, "42", "stop")


def test_a_corrected_answer_shows_both_verdicts(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([first("41"), refine("42", "revise")], [program("print(6 * 7)")])
    message = ask(client).choices[0].message
    reasoning = message.reasoning_content
    assert (message.content, reasoning.count("print(6 * 7)")) == ("42", 1)
    assert "The program's answer is 42: not turn 1's.\n\n# turn 2\n\n" in reasoning
    assert reasoning.endswith("\n\n# check\n\nThe program's answer is 42: turn 2's.")


def test_a_repaired_program_is_a_paragraph_of_its_own(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([first("42")], [program("print(1 / 0)"), program("print(6 * 7)")])
    reasoning = ask(client).choices[0].message.reasoning_content
    assert "division by zero\n\n```python\nprint(6 * 7)\n" in reasoning


def test_a_question_without_a_program_shows_one_line(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([first(), refine(), refine(), synthesis()], ["NONE"])
    reasoning = ask(client).choices[0].message.reasoning_content
    assert "\n\n# check\n\nNo program can check this answer.\n\n# turn 2\n\n" in reasoning
    assert "NONE" not in reasoning


def test_usage_counts_the_call_for_the_program(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([Reply(first("42"), usage=USAGE)], [Reply(program("print(6 * 7)"), usage=USAGE)])
    usage = ask(client).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (200, 20, 220)


@pytest.mark.parametrize(("cut", "finish_reason"), [("turn", "length"), ("program", "stop")])
def test_only_a_truncated_answer_finishes_with_length(
    api: Api, client: openai.OpenAI, cut: str, finish_reason: str
) -> None:
    def reply(name: str, text: str) -> Any:
        return Reply(text, finish_reason="length" if name == cut else "stop")

    api.groq.play([reply("turn", first("42"))], [reply("program", program("print(6 * 7)"))])
    assert ask(client).choices[0].finish_reason == finish_reason
