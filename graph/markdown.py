"""The lines of a reply, code or not, and a reply without the thoughts of a reasoning model. Pure, and linear."""

import re
from collections.abc import Iterator

_FENCE = re.compile(r"[ \t]*+(?:(?:[-*+]|\d{1,3}[.)])[ \t]++){0,3}(`{3,12}|~{3,12})(?![`~])(.*)", re.DOTALL)
_LEADING_THOUGHTS = re.compile(r"(?:\s*<think>(?:.*?</think>|.*))*", re.DOTALL)


def without_thoughts(text: str) -> str:
    """Return a reply without a reasoning model's thoughts: `<think>…</think>` outside of code.

    A thought without an end takes the rest of the reply. If only the end is marked, as some chat templates leave it,
    everything before it is the thought.
    """
    # Databases refuse a NUL, and terminals half a surrogate pair.
    text = text.replace("\0", "").encode(errors="replace").decode()
    text = text[_LEADING_THOUGHTS.match(text).end() :]  # type: ignore[union-attr]  # it also matches ""
    thought, end, spoken = text.rpartition("</think>")
    if end and "<think>" not in thought and thought.count("`") % 2 == 0 and thought.count("~~~") % 2 == 0:
        text = spoken
    if "<think>" in text:
        text = "\n".join(_spoken(text))
        if "<think>" not in text:
            text = text.replace("</think>", "")  # a stray end: the next parse would take all before it for a thought
    return text.strip()


def _spoken(text: str) -> Iterator[str]:
    thinking = False
    for line, fenced in lines(text):
        rest, thought = line, False
        while thinking or (not fenced and rest.lstrip().startswith("<think>")):
            _, end, rest = rest.partition("</think>")
            thinking, thought = not end, True
            if thinking:
                break
        if rest.strip() or not thought:
            yield rest


def lines(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the lines of a text, each with whether it is code in a fence. An unclosed fence is ordinary text."""
    all_lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    unclosed = {"`": 99, "~": 99}
    end = -1
    for i, line in enumerate(all_lines):
        if i > end and (fence := _FENCE.match(line)):
            marks = fence[1]
            if len(marks) < unclosed[marks[0]] and not (marks[0] == "`" and "`" in fence[2]):
                end = next((j for j in range(i + 1, len(all_lines)) if _closes(all_lines[j], marks)), -1)
                if end < 0:
                    unclosed[marks[0]] = len(marks)
        yield line, i <= end


def _closes(line: str, marks: str) -> bool:
    closing = line.strip()
    return len(closing) >= len(marks) and not closing.strip(marks[0])
