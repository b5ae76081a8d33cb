"""The lines of a reply, in code or not, and a reply without a fence around it. Pure, and linear in the text."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_FENCE = re.compile(r"[ \t]*+(?:(?:[-*+]|\d{1,3}[.)])[ \t]++){0,3}(`{3,12}|~{3,12})(?![`~])(.*)", re.DOTALL)


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


class Fenced(NamedTuple):
    """A text with a fence of markdown: what stands outside and inside of it, and all without the fence's two lines."""

    outside: str
    inside: str
    unwrapped: str


def find_fence(text: str) -> Fenced | None:
    """Return the first fence of markdown; None if there is none, or it has no end.

    A fence that is not marked as markdown counts only if it holds the whole text. Inside of it, a fence with a
    language opens a block of code, and the next one without closes that block.
    """
    all_lines = text.split("\n")
    for i, line in enumerate(all_lines):
        fence = _FENCE.match(line)
        language = fence[2].strip().lower() if fence else None
        is_markdown = language in ("markdown", "md")
        if not fence or not (is_markdown or (i == 0 and language in ("", "text", "txt", "plain", "plaintext"))):
            continue
        end = _outer_end(all_lines, i, fence[1])
        if end and (is_markdown or end == len(all_lines) - 1):
            before, inside, after = all_lines[:i], all_lines[i + 1 : end], all_lines[end + 1 :]
            return Fenced(
                "\n".join([*before, *after]), "\n".join(inside), "\n".join([*before, *inside, *after]).strip()
            )
        if is_markdown:
            return None
    return None


def _outer_end(all_lines: list[str], start: int, marks: str) -> int | None:
    """Return the line that closes the fence opened in line `start`."""
    inner = ""
    for j in range(start + 1, len(all_lines)):
        fence = _FENCE.match(all_lines[j])
        if inner:
            inner = "" if _closes(all_lines[j], inner) else inner
        elif _closes(all_lines[j], marks):
            return j
        elif fence and fence[1][0] == marks[0]:
            inner = fence[1]
    return None
