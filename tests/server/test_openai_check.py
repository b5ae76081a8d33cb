"""The check of an answer in the OpenAI-compatible API: how it reads, and in the replies of a real server."""

from typing import Any

import openai
import pytest

from llamaberry.graph.check import NO_CHECK, Check, CheckVerdict
from llamaberry.graph.events import CheckFinished, check_finished
from llamaberry.server.openai_check import describe_check
from testing.openai_api import Api, ask, streamed
from testing.scripted_groq import Reply, first, program, refine, synthesis

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
VERIFIED = f"""\
turn 1

{first("42")}

check

```python
print(6 * 7)
```

It printed:

```
42
```

The answer of turn 1 agrees with the program's."""


def finished(
    source: str | None = "print(6 * 7)",
    output: str | None = "42\n",
    verdict: CheckVerdict = "agrees",
    *,
    turn: int = 1,
    error: str | None = None,
) -> CheckFinished:
    answer = None if error else output
    return check_finished(turn, Check(program=source, output=output, error=error, answer=answer, verdict=verdict))


def test_a_later_verdict_does_not_repeat_the_program() -> None:
    text = describe_check(finished(turn=2), finished(verdict="differs"))
    assert text == "The answer of turn 2 agrees with the program's."


def test_a_fence_is_longer_than_those_in_its_text() -> None:
    text = describe_check(finished("print('````' * 2)", "````````\n"), None)
    assert "`````python\nprint('````' * 2)\n`````\n" in text
    assert "\n`````````\n````````\n`````````\n" in text


def test_the_text_of_a_check_has_no_control_characters() -> None:
    text = describe_check(finished("print('\x07')", "4\x1b[31m2\r\n"), None)
    assert not any(ord(character) < 32 and character != "\n" for character in text)


def test_a_failed_program_is_shown_with_its_error() -> None:
    text = describe_check(finished("print(1 / 0)", "", "failed", error="ZeroDivisionError in line 1"), None)
    assert text.startswith("```python\nprint(1 / 0)\n```\n\nIts error:\n\n```\nZeroDivisionError in line 1\n```\n\n")
    assert text.endswith("The program failed: it says nothing about the answer of turn 1.")


def test_a_failed_call_is_one_line() -> None:
    failed = finished(None, None, "failed", error="groq answered 400")
    assert describe_check(failed, None) == "The check failed: groq answered 400"


def test_a_withdrawn_program_is_one_line() -> None:
    none = check_finished(2, NO_CHECK)
    text = describe_check(none, finished(verdict="differs"))
    assert text == "The program was withdrawn, and no other one was written."
    assert describe_check(none, check_finished(1, NO_CHECK)) == ""


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
    assert "The answer of turn 1 differs from the program's.\n\nturn 2\n\n" in reasoning
    assert reasoning.endswith("\n\ncheck\n\nThe answer of turn 2 agrees with the program's.")


def test_a_repaired_program_is_a_paragraph_of_its_own(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([first("42")], [program("print(1 / 0)"), program("print(6 * 7)")])
    reasoning = ask(client).choices[0].message.reasoning_content
    assert "it says nothing about the answer of turn 1.\n\n```python\nprint(6 * 7)\n" in reasoning


def test_a_question_without_a_program_shows_no_check(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([first(), refine(), refine(), synthesis()], ["NONE"])
    reasoning = ask(client).choices[0].message.reasoning_content
    assert len(api.groq.program_requests) == 1
    assert "check" not in reasoning.splitlines()
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
