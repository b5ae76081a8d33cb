"""Parsing a reply: near misses are tolerated, what it does not state is None, and no text is an error."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from llamaberry.graph.reply import parse_synthesis
from llamaberry.graph.thoughts import without_thoughts
from llamaberry.graph.turn import Turn, keep_turns, new_turn

PROPERTY = settings(deadline=None, derandomize=True, max_examples=200)
MB = 1_000_000
REFINE = "## Review\nTried it.\n\n## Verdict\n{}\n\n## Reasoning\n1. a\n\n## Answer\n42"
FORM = [f"{mark}{name}\n" for mark in ("## ", "**") for name in ("Reasoning", "Answer", "Review", "Verdict")]
MARKS = [
    "**Answer:** ",
    "Answer: ",
    "## Comprehensive Answer\n",
    "Concise Answer: ",
    "## Answer: #",
    "1. ",
    "\n",
    "\r\n",
]
CODE = ["\n```\n", "\n~~~\n", "\n```python\n", "<think>", "</think>", "\n<think>", "`", "**", "__", "**Explanation:** "]
CODE += [
    "<thought>",
    "</thought>",
    "<|im_end|>",
    "<|im_start|>",
    "</s>",
    "<|channel|>final<|message|>",
    "```markdown\n",
    "4. ",
    "✅ ",
    "\n---\n",
]
SIGNS_1MB = [
    "`",
    "~",
    "*",
    "#",
    "1",
    "=",
    "<",
    "[",
    "(",
    ">",
    "- ",
    " ",
    "\n",
    "✅",
    "<think>\n",
    "<think>",
    "</think>",
    "## Answer\n",
]
SIGNS_1MB += [
    "<think></think>",
    "<thought></thought>\n",
    "<think> ",
    "</s>",
    "<|a|>",
    "<|a|> ",
    "<|im_start|>",
    "<|channel|>",
    "`<|a|>`",
]
SIGNS_1MB += [
    "<|channel|>final<|message|>",
    "<|end|>",
    "<｜",
    "assistantfinal",
    "[THINK]",
    "◁think▷",
    "```markdown\n",
    "```\n",
    "~~~md\n",
]
SIGNS_1MB += [
    "4. ",
    "> ",
    "Answer\n---\n",
    "## 4. Answer\n",
    "<h2>Answer</h2>\n",
    "<h2>",
    "iv. ",
    "step 1 ",
    "</h2>",
    "# #",
    "Program: ",
]
WORDS = ["42", "keep", "revise", "not ", ":", "#", " ", "\r", "\u2028", "\x00", "答案：", "الجواب"]
UNICODE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")  # what neither a file nor a database takes
PIECES = st.sampled_from(FORM + MARKS + CODE + WORDS) | st.text(UNICODE, max_size=5)
REPLIES = st.text(UNICODE) | st.lists(PIECES, min_size=5).map("".join)
# No letters that spell a heading, no fence and no tag: they stay text under a heading.
SIGNS = "abcxyz0123456789 .,:;!?'()[]{}=+-*/^%$&@|é🙂答案جواب"
LINE = st.text(SIGNS, max_size=30).map(lambda line: line.strip(" :")).filter(len)
PROSE = st.text(SIGNS + "\n", min_size=1, max_size=60).map(str.strip).filter(len)
STEP_LINE = LINE.filter(lambda line: line.count("**") % 2 == 0 and not line.startswith("**"))


def read(text: str, index: int = 1) -> Turn:
    return read_message(AIMessage(text), index)


def read_message(message: AIMessage, index: int = 1) -> Turn:
    return keep_turns([], [new_turn(message, index=index, model="groq:m", seconds=1.23456)])[0]


def has_lines(text: str, part: str) -> bool:
    """Return whether each line of the part is in the text. The parser removes NUL, which no database stores."""
    return all(line in text.replace("\0", "") for line in part.replace("\r", "\n").split("\n"))


@pytest.mark.parametrize("text", ["## Answer\n42", "## Answer\r\n42\r\n", "## Answer\r42", "\n\n ## Answer \n\n42\n"])
@pytest.mark.parametrize(
    ("heading", "near_miss"),
    [
        ("## ", "# "),
        ("## ", "#"),
        ("## ", "###### "),
        ("## ", "### ## "),
        ("## Answer", "## ANSWER:"),
        ("## Answer", "## Answer ##"),
    ]
    + [("## Answer", f) for f in ("**Answer**", "**Answer:**", "__Answer__:", "## **Answer**", "Answer:", "Answer：")]
    + [("Answer", f) for f in ("Final Answer", "my answer", "Revised answer", "Answer: ", "  **Answer**  ")],
)
def test_an_answer_is_read_under_a_near_miss_of_its_heading(text: str, heading: str, near_miss: str) -> None:
    assert read(text.replace(heading, near_miss))["answer"] == "42"


@pytest.mark.parametrize(
    ("text", "answer"),
    [(f"Well, so:\n{form}", "42") for form in ("## Answer: 42", "**Answer:** 42", "**Answer: 42**", "**Answer**: 42")]
    + [(form, "42") for form in ("Answer: 42", "answer : 42", "Answer：42", "## **Answer:** 42", "__My answer: 42__")]
    + [("Answer: #5", "#5"), ("## Answer: #ff0000", "#ff0000"), ("**Answer:** #42", "#42"), ("Answer: **4**", "**4**")]
    + [("## Answer\n四十二。", "四十二。"), ("## Answer\nالجواب ٤٢", "الجواب ٤٢"), ("**Answer:**\n4\n\n2", "4\n\n2")],
)  # fmt: skip
def test_an_answer_in_the_line_of_its_heading_is_complete(text: str, answer: str) -> None:
    assert read(text)["answer"] == answer


@pytest.mark.parametrize(
    "text",
    [
        "", " \n\t", "42", "The answer is 42.", "So the answer: 42", "Answer", "## Answer", "Answer:", "# Review\n42",
        "## Answers\n42", "## Unanswered\n42", "**Answer** is what we want", "As code:\n\n    ## Answer\n    42",
        "```python\n## Answer\n42\n```", "Like this:\n```\n## Answer\n42\n```", "```\n## Answer\n42\n```\nis the form",
        "Step 4: Answer", "4. Answer", "- Answer", "✅ Answer", "(Answer: 42)", "> Answer the question",
        "Answer\n42\n---",
    ],
)  # fmt: skip
def test_a_reply_that_states_no_answer_has_none(text: str) -> None:
    assert read(text)["answer"] is None
    assert read(text, 2)["answer"] is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("## Answer\n41\n## Reasoning\n1. No.\n## Answer\n42", "42"), ("## Answer\n42\n\n## Answer\n\n", "42"),
        ("## Answer\n```md\n## Answer\nno\n```\nyes", "```md\n## Answer\nno\n```\nyes"),
        ("## Reasoning\n```python\nx = 42\n\n## Answer\n42", "42"),
        ("## Reasoning\n1. ```python\n   x = 42\n   ```\n\n## Answer\n```\n42\n```", "```\n42\n```"),
        ("## Answer\n42\n\n### Notes\nIn metres.", "42\n\n### Notes\nIn metres."),
    ],
)  # fmt: skip
def test_the_last_answer_that_is_not_empty_counts(text: str, answer: str) -> None:
    assert read(text)["answer"] == answer


@pytest.mark.parametrize(
    ("index", "next_step"),
    [(at, step) for at in (1, 2) for step in (REFINE, "**Review:** ok", "## Analysis of Turns\nx\n## Answer\n9")]
    + [(1, "## Verdict\nrevise\n\n## Answer\n9")],
)  # fmt: skip
def test_a_reply_that_writes_the_next_step_keeps_its_answer(index: int, next_step: str) -> None:
    reply = "## Review\nx\n\n## Verdict\nkeep\n\n" * (index - 1) + "## Reasoning\n1. a\n\n## Answer\n8"
    turn = read(f"{reply}\n\n{next_step}", index)
    assert (turn["answer"], turn["verdict"]) == ("8", [None, "keep"][index - 1])


@pytest.mark.parametrize(
    ("words", "verdict"),
    [(words, "keep") for words in ("keep", "Keep.", "**KEEP**", "`keep`", "I keep it.", "kept", "keep (not revise)")]
    + [(words, "revise") for words in ("revise", "**revise** because 2 + 2 is 4", "Revised.", "_revise_", "__revise__")]
    + [(words, None) for words in ("", "keep or revise", "keep/revise", "(keep or revise)", "**keep** or **revise**")]
    + [(words, None) for words in ("keep, or revise", "keep | revise", "`keep` or `revise`", "Do not revise", "42")]
    + [(words, None) for words in ("I don’t keep it", "I cannot keep it", "nothing to revise", "Keepsake", "保留")],
)  # fmt: skip
def test_an_unclear_verdict_is_none(words: str, verdict: str | None) -> None:
    assert read(REFINE.format(words), 2)["verdict"] == verdict
    assert read(REFINE.format(words), 1)["verdict"] is None


@pytest.mark.parametrize(
    ("reasoning", "steps"),
    [
        ("1. a\n   **Explanation:** b\n2. c\n   d", [("a", "b"), ("c\n   d", "")]),
        ("1) a **Explanation**: b\n\nc", [("a", "b\n\nc")]),
        ("Step 1: a\nExplanation: b\n**Step 2:** c\n### Step 3: d", [("a", "b"), ("c", ""), ("d", "")]),
        ("1. **a**\n   - Explanation: b", [("a", "b")]), ("1. a\n   - **Explanation:** b", [("a", "b")]),
        ("**1. a**\n   __Explanation:__ b\n2、二\n３．三", [("a", "b"), ("二", ""), ("三", "")]),
        ("1. a\n```\n2. b\n```\n2. c", [("a\n```\n2. b\n```", ""), ("c", "")]),
        ("1. a\n   **Explanation:**\n   0.5 * 4 = 2", [("a", "0.5 * 4 = 2")]),
        ("1. It begins at\n12:30 sharp", [("It begins at\n12:30 sharp", "")]),
        ("1. 12 pens are **4 groups**", [("12 pens are **4 groups**", "")]),
        ("1. **Groups** are counted", [("**Groups** are counted", "")]),
        ("1. a\n   **Reasoning:** b\n2. c", [("a\n   **Reasoning:** b", ""), ("c", "")]),
        ("Prose without a number.", []), ("2024. was a year, 1 2 3", []),
    ],
)  # fmt: skip
def test_a_numbered_step_is_read_with_its_explanation(reasoning: str, steps: list[tuple[str, str]]) -> None:
    turn = read(f"## Reasoning\n{reasoning}\n\n## Answer\n42")
    assert [(step["statement"], step["explanation"]) for step in turn["steps"]] == steps
    assert turn["answer"] == "42"


@pytest.mark.parametrize(
    "block", [{"type": "reasoning", "reasoning": "## Answer\n1"}, {"type": "thinking", "thinking": "1"}]
)
def test_reasoning_blocks_are_not_in_the_text(block: dict[str, Any]) -> None:
    blocks = AIMessage([block, {"type": "text", "text": "## Answer\n42"}])
    beside = AIMessage("## Answer\n42", additional_kwargs={"reasoning_content": "## Answer\n1"})
    for message in (blocks, beside):
        turn = read_message(message)
        assert (turn["text"], turn["answer"]) == ("## Answer\n42", "42")


def test_a_turn_has_its_model_usage_and_finish_reason() -> None:
    usage: Any = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    reply = AIMessage(REFINE.format("keep"), usage_metadata=usage, response_metadata={"finish_reason": "length"})
    turn = read_message(reply, 2)
    assert (turn["index"], turn["kind"], turn["model"], turn["seconds"]) == (2, "refine", "groq:m", 1.235)
    assert (turn["usage"], turn["finish_reason"], read("x")["kind"], read("x")["usage"]) == (
        usage,
        "length",
        "first",
        None,
    )


ALL_FIVE = (
    "## Analysis of Turns\na\n## Comparison\nb\n## Final Reasoning\nc\n## Comprehensive Answer\nd\n## Concise Answer\ne"
)


@pytest.mark.parametrize(
    ("text", "comprehensive", "concise"),
    [
        (ALL_FIVE, "d", "e"), (ALL_FIVE.replace("\n", "\r\n").replace("## ", "#### "), "d", "e"),
        (ALL_FIVE.replace("## Conc", "**Conc").replace("Answer\ne", "Answer:** e"), "d", "e"),
        (ALL_FIVE.replace("## Comprehensive Answer\nd\n", ""), None, "e"),
        (ALL_FIVE.replace("## Concise Answer\ne", ""), "d", None),
        (ALL_FIVE.replace("Comprehensive Answer", "Final Answer"), "d", "e"),
        ("Comprehensive Answer: d\nConcise Answer: e", "d", "e"),
        ("## Comprehensive Answer\n```\n## Concise Answer\nno\n```", "```\n## Concise Answer\nno\n```", None),
        ("It is 42.\n\n### Why\nSix times seven.", "It is 42.\n\n### Why\nSix times seven.", None),
        ("## Analysis of Turns\nTurn 1 says", None, None), ("", None, None),
        ("<think>## Comprehensive Answer\n41", None, None),
    ],
)  # fmt: skip
def test_an_answer_that_a_synthesis_lacks_is_none(text: str, comprehensive: str | None, concise: str | None) -> None:
    assert parse_synthesis(text)[1:] == (comprehensive, concise)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["a\n" + sign * (MB // len(sign)) for sign in SIGNS_1MB]
    + ["## Reasoning\n" + x * (MB // len(x)) for x in ("1. a\n", "1. **Explanation:** ", "** ", "```x\n~~~x\n", "\r")]
    + [f"x\n{x}{' ' * MB}x" for x in ("#", "**", "Answer", "Verdict:", "## Reasoning\n1. **explanation")]
    + ["# Review\n" * (MB // 9), "\n".join("`" * k for k in range(999, 2, -1)) + "\nx" * (MB // 4)],
    ids=lambda text: f"{text[:24]!r}…{text[-4:]!r}",
)
def test_a_megabyte_can_be_parsed(text: str) -> None:
    assert read(text, 2)["index"] == 2
    assert parse_synthesis(text).text == without_thoughts(text)


@PROPERTY
@given(REPLIES, st.integers(1, 3))
def test_any_reply_parses_to_json_of_its_own_text(text: str, index: int) -> None:
    turn, synthesis = read(text, index), parse_synthesis(text)
    assert json.loads(json.dumps(turn)) == turn
    assert turn["verdict"] in ((None,) if index == 1 else (None, "keep", "revise"))
    for answer in (turn["answer"], synthesis.comprehensive, synthesis.concise):
        assert answer is None or (answer and answer == answer.strip() and has_lines(text, answer))
    parts = [part for step in turn["steps"] for part in (step["statement"], step["explanation"])]
    assert all(has_lines(text, part) for part in [turn["text"], *parts])


@PROPERTY
@given(
    st.lists(st.tuples(STEP_LINE, LINE), max_size=4), PROSE, PROSE, st.sampled_from(["keep", "revise"]), st.booleans()
)
def test_a_reply_in_the_requested_form_is_parsed_exactly(
    steps: list[tuple[str, str]], review: str, answer: str, verdict: str, crlf: bool
) -> None:
    numbered = "".join(f"{n}. {a}\n   **Explanation:** {b}\n" for n, (a, b) in enumerate(steps, 1))
    reply = f"## Review\n{review}\n\n## Verdict\n{verdict}\n\n## Reasoning\n{numbered}\n## Answer\n{answer}\n"
    turn = read(reply.replace("\n", "\r\n") if crlf else reply, 2)
    assert (turn["answer"], turn["verdict"]) == (answer, verdict)
    assert [(step["statement"], step["explanation"]) for step in turn["steps"]] == steps
    synthesis = f"## Analysis of Turns\n{review}\n\n## Comprehensive Answer\n{answer}\n\n## Concise Answer\n{review}"
    assert parse_synthesis(synthesis)[1:] == (answer, review)


def edit_answer(text: str, answer: str, index: int = 1) -> Turn:
    edit: Any = {"index": index, "answer": answer}
    return keep_turns([read(text, index)], [edit])[0]


@PROPERTY
@example("## Answer\n```\n41\n```", "```\n40\n```", 2)
@given(REPLIES, PROSE, st.integers(1, 2))
def test_an_edited_answer_is_what_the_next_turn_reads(text: str, answer: str, index: int) -> None:
    turn = edit_answer(text, answer, index)
    assert turn["answer"] == answer
    assert read(turn["text"], index)["answer"] == answer
    assert turn["text"].startswith(read(text, index)["text"])


@pytest.mark.parametrize("text", ["", "Prose.", "## Answer\n41", "## Reasoning\n```python\nx ="])
def test_an_edited_answer_is_appended_to_the_reply(text: str) -> None:
    assert edit_answer(text, "40")["text"] == f"{text}\n\n## Answer\n40".lstrip()
