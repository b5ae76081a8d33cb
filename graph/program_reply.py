"""Parse a reply for its program, and for what a turn says of a program it was shown. Pure, and linear in the text."""

import re
from itertools import takewhile
from textwrap import dedent

from llamaberry.graph.thoughts import without_thoughts

_FENCE = re.compile(r"[ \t]*+(?:(?:[-*+]|\d{1,3}[.)])[ \t]++)?(?P<fence>`{3,12}|~{3,12})[^`~]*$")
_BARE_CODE = re.compile(r"#|(?:import|from) \w|def \w+\(|for \w+ in |print\(|[A-Za-z_]\w{0,60} *=(?!=)")
_VERDICT = re.compile(
    r"^[ \t>*_`#-]*+(?:\d{1,2}[.)][ \t]*+)?[*_`]*+program[*_`]*+[ \t]*+(?:[:：]|\n++)[ \t\n*_`]*+"
    r"(right|correct|wrong|incorrect)\b",
    re.IGNORECASE | re.MULTILINE,
)


def parse_program(text: str) -> str | None:
    """Return the program in a reply: its last code block that prints something; None if there is none.

    A block without an end counts, as does a reply that starts with code and has no block.
    """
    text = without_thoughts(text).replace("\r\n", "\n").replace("\r", "\n")
    blocks = _code_blocks(text)
    if not blocks and _BARE_CODE.match(text):
        blocks = [text]
    return next((block for block in reversed(blocks) if "print(" in block), None)


def _code_blocks(text: str) -> list[str]:
    blocks, code, fence = list[str](), list[str](), ""
    for line in text.split("\n"):
        if not fence:
            match = _FENCE.match(line)
            fence = match["fence"] if match else ""
        elif line.rstrip().endswith(fence):
            blocks.append("\n".join([*code, line.rstrip().rstrip(fence[0])]))
            code, fence = [], ""
        else:
            code.append(line)
    if fence:
        blocks.append("\n".join(code))
    return [dedent(block).strip() for block in blocks]


def rejects_program(text: str) -> bool:
    """Return whether a turn says that the program it was shown computes something else than the question asks."""
    return bool(rejection_of(text))


def rejection_of(text: str) -> str:
    """Return what a turn says against the program it was shown, from "Program: wrong" to the next heading, or ""."""
    verdicts = list(_VERDICT.finditer(text))
    if not verdicts or verdicts[-1][1].lower() not in ("wrong", "incorrect"):
        return ""
    start, end = verdicts[-1].span()
    first, *others = text[end:].splitlines() or [""]
    reason = [first, *takewhile(lambda line: not line.lstrip().startswith("#"), others)]
    return (text[start:end] + "\n".join(reason)).strip()


def without_program_verdict(answer: str) -> str:
    """Return an answer without what the turn says of the program after it."""
    verdict = _VERDICT.search(answer)
    return answer[: verdict.start()].strip() if verdict else answer
