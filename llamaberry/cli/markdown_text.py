"""A model's markdown on a terminal: rendered block by block while it is written, with LaTeX as plain text."""

import re

from rich.console import Console
from rich.markdown import Markdown

from llamaberry.console import plain
from llamaberry.graph.notation import plain_latex

_MATHS = re.compile(r"\\\[(.{1,2000}?)\\\]|\\\((.{1,2000}?)\\\)|\$\$([^$]{1,2000})\$\$", re.DOTALL)
_COMMANDS = re.compile(r"\\(?:text|mathrm|mathbf|operatorname)\s?\{([^{}]{0,500})\}")
_MATHS_WITHOUT_MARKS = re.compile(r"\\(?:boxed|frac|dfrac|sqrt)\{")
_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}]{1,200})\}\s?\{([^{}]{1,200})\}")
_POWER = re.compile(r"\^(?:\{(\d{1,9})\}|(\d))")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)


def rendered(text: str, *, style: str = "none") -> Markdown:
    """Return a model's text for the terminal; links are shown as text, so that none hides its address."""
    return Markdown(readable_maths(plain(text)), hyperlinks=False, style=style)


def readable_maths(text: str) -> str:
    r"""Return the text with its LaTeX as plain text: "\( 6 = \frac{12}{2} \)" is "6 = 12/2". Code stays."""
    parts = re.split(r"(```.*?```|`[^`\n]+`)", text, flags=re.DOTALL)
    return "".join(part if part.startswith("`") else _without_latex(part) for part in parts)


def _without_latex(text: str) -> str:
    text = _MATHS.sub(lambda match: _plain(match[match.lastindex or 0]).strip(" "), text)
    lines = text.splitlines(keepends=True)
    return "".join(_plain(line) if _MATHS_WITHOUT_MARKS.search(line) else line for line in lines)


def _plain(maths: str) -> str:
    maths = _FRACTION.sub(lambda match: f"{_operand(match[1])}/{_operand(match[2])}", _COMMANDS.sub(r"\1", maths))
    maths = _POWER.sub(lambda match: (match[1] or match[2]).translate(_SUPERSCRIPTS), maths)
    return re.sub(r" *\u2009 *", " ", plain_latex(maths))


def _operand(text: str) -> str:
    return text if re.fullmatch(r"[\w.,\\]+", text) else f"({text})"


class MarkdownStream:
    """Prints markdown that arrives in pieces: each block, rendered, as soon as it is complete."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pending = ""

    def add(self, text: str) -> None:
        """Add a piece, and print the blocks that it completes."""
        self._pending += text
        if "\n" not in text:
            return
        end = self._pending.rfind("\n\n")
        if end >= 0 and not _is_in_fence(self._pending[:end]):
            self._print(self._pending[:end])
            self._pending = self._pending[end + 2 :]

    def end(self) -> None:
        """Print what is left."""
        self._print(self._pending)
        self._pending = ""

    def _print(self, text: str) -> None:
        if text.strip():
            self._console.print(rendered(text, style="dim"))
            self._console.print()


def _is_in_fence(text: str) -> bool:
    return len(_FENCE.findall(text)) % 2 == 1
