"""What a reply's lines are, code or not, and which of its words a reasoning model said to itself. Pure, and linear."""

import re
from collections.abc import Iterator

_FENCE = re.compile(r"[ \t]*+(?:(?:[-*+]|\d{1,3}[.)])[ \t]++){0,3}(`{3,12}|~{3,12})(?![`~])(.*)", re.DOTALL)
_LEADING_THOUGHTS = re.compile(r"(?:\s*<think>(?:.*?</think>|.*))*", re.DOTALL)


def without_thoughts(text: str) -> str:
    """Return a reply without what a reasoning model thought to itself: `<think>…</think>` outside of code.

    A thought that was cut before its end takes all that follows; where only the end is marked, as some chat templates
    leave it, all before it is the thought.
    """
    # No database takes a NUL, and no terminal half a surrogate pair.
    text = text.replace("\0", "").encode(errors="replace").decode()
    text = text[_LEADING_THOUGHTS.match(text).end() :]  # type: ignore[union-attr]  # it matches nothing, too
    thought, end, spoken = text.rpartition("</think>")
    if end and "<think>" not in thought and thought.count("`") % 2 == 0 and thought.count("~~~") % 2 == 0:
        text = spoken
    if "<think>" in text:
        text = "\n".join(_spoken(text))
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
    """Yield the lines of a text, each with whether it is code in a fence. A fence that nothing closes is no fence."""
    every = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    unclosed = {"`": 99, "~": 99}
    end = -1
    for place, line in enumerate(every):
        if place > end and (fence := _FENCE.match(line)):
            marks = fence[1]
            if len(marks) < unclosed[marks[0]] and not (marks[0] == "`" and "`" in fence[2]):
                end = next((at for at in range(place + 1, len(every)) if _closes(every[at], marks)), -1)
                if end < 0:
                    unclosed[marks[0]] = len(marks)
        yield line, place <= end


def _closes(line: str, marks: str) -> bool:
    closing = line.strip()
    return len(closing) >= len(marks) and not closing.strip(marks[0])
