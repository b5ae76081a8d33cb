"""Parsing a reply with a program, and a turn's word that a program is wrong."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamaberry.graph.program_reply import parse_program, rejects_program

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200)
CODE = "x = 6\nprint(x * 7)"
BLOCK = f"```python\n{CODE}\n```"


@pytest.mark.parametrize(
    "reply",
    [
        BLOCK, f"Here it is:\n\n{BLOCK}\n\nIt multiplies.", f"```\n{CODE}\n```", f"```py\n{CODE}\n```",
        f"~~~python\n{CODE}\n~~~", f"````python\n{CODE}\n````", f"```python\n{CODE}", f"```python\n{CODE}\n",
        f"```python\n{CODE}```", f"```Python 3\n{CODE}\n```  ", BLOCK.replace("\n", "\r\n"), BLOCK.replace("\n", "\r"),
        "  " + BLOCK.replace("\n", "\n  "), "1. The program:\n\n   " + BLOCK.replace("\n", "\n   "), f"- {BLOCK}",
        f"```python\n{CODE}\n````",
    ],
)  # fmt: skip
def test_a_program_is_read_from_its_code_block(reply: str) -> None:
    assert parse_program(reply) == CODE


@pytest.mark.parametrize("reply", [CODE, f"  \n{CODE}\n", f"# Multiply.\n{CODE}", f"import math\n{CODE}"])
def test_a_reply_that_is_code_is_a_program(reply: str) -> None:
    assert parse_program(reply) == reply.strip()


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\nprint(1)\n```\n\nBetter:\n\n{BLOCK}", f"{BLOCK}\n\nIt prints:\n\n```\n42\n```",
        f"<think>\n```python\nprint(1)\n```\n</think>\n{BLOCK}", f"{BLOCK}\n\n```text\nx is 42",
    ],
)  # fmt: skip
def test_the_last_block_that_prints_is_the_program(reply: str) -> None:
    assert parse_program(reply) == CODE


@pytest.mark.parametrize(
    "reply",
    [
        f"<|start|>assistant<|channel|>final<|message|>{BLOCK}", f"<|channel|>final<|message|>\n{BLOCK}<|end|>",
        f"{BLOCK}<|return|>", f"{BLOCK}\n<|im_end|>",
        f"<|channel|>analysis<|message|>Multiply.<|end|><|start|>assistant<|channel|>final<|message|>{BLOCK}",
    ],
)  # fmt: skip
def test_leftover_tokens_of_a_chat_template_are_removed(reply: str) -> None:
    assert parse_program(reply) == CODE


@pytest.mark.parametrize(
    "reply",
    [
        "NONE", "none.", "**NONE**", "", " \n", "It is 42.", "No program can compute it: print(42) is no program.",
        "```\nNONE\n```", "```python\nx = 6 * 7\n```", "The answer = 42", f"<think>{BLOCK}</think>NONE",
        "For six pens, print(12) is enough.", "Print the answer: print(42)",
    ],
)  # fmt: skip
def test_a_reply_without_a_program_has_none(reply: str) -> None:
    assert parse_program(reply) is None


@PROPERTY
@given(
    st.lists(st.sampled_from([CODE, "```", "~~~", "\n", "\r", " ", "x", "<think>", "<|end|>", "print(1)"])).map("".join)
)
def test_any_reply_can_be_searched_for_a_program(reply: str) -> None:
    program = parse_program(reply)
    assert program is None or "print(" in program


@pytest.mark.parametrize(
    "text",
    [
        "Program: wrong", "program: WRONG. It adds.", "**Program:** wrong", "**Program: wrong**", "## Program: wrong",
        "- Program: wrong, it adds.", "  Program : wrong", "Program: right\n\nProgram: wrong",
        "`Program: wrong`", "`Program: wrong`: it adds.", "Program：wrong", "1. Program: wrong", "> Program: wrong",
        "## Program\nwrong", "**Program:** **wrong**", "Program: `wrong`", "Program: *wrong*",
    ],
)  # fmt: skip
def test_a_rejection_is_read_in_its_near_misses(text: str) -> None:
    assert rejects_program(f"{text}\n\n## Reasoning\n1. a\n\n## Answer\n42")


@pytest.mark.parametrize(
    "text",
    [
        "", "Program: right", "Program: wrong\nProgram: right", "Program: wrongly", "The program: wrong?",
        "Write `Program: wrong` if it is.", "The program is not wrong.", "Is the program wrong?", "Programs: wrong",
        "Program: not wrong", "My first answer was wrong.", "## Program\nIt is not wrong.",
    ],
)  # fmt: skip
def test_other_words_do_not_reject_a_program(text: str) -> None:
    assert not rejects_program(f"{text}\n\n## Reasoning\n1. a\n\n## Answer\n42")


@pytest.mark.parametrize(
    "piece",
    ["`", "```\n", "```", "~~~\n", "~", " ", "\t\n", "print(", "program:", "*", "#", "- ", "<|", "<|a", "a_", "1. "],
)
def test_a_long_reply_is_searched_in_linear_time(piece: str) -> None:
    text = (piece * 200_000)[:200_000]
    start = time.process_time()
    parse_program(text)
    rejects_program(text)
    assert time.process_time() - start < 3
