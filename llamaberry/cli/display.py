"""What the terminal shows of a run: the turns while they are written, the answer, and one line of figures."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from langgraph.types import Interrupt
    from rich.console import Console

    from llamaberry.graph.calls import Usage

Show = Literal["turns", "full", "concise"]

FAILURE, MISTAKE, DEGRADED, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: the provider failed; something for the user to put right; an answer without all its turns; Ctrl-C."""

# A model's reply is a stranger's text: of all control characters only new lines and tabs reach the terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Return text that a terminal can only print: no escape codes, no carriage returns, no bells."""
    return _CONTROL.sub("", text.replace("\r\n", "\n")).encode(errors="replace").decode()


def plain_console(**how: Any) -> "Console":
    """Return a console that prints text as it is, and raises where the reader of its pipe has gone."""
    from rich.console import Console

    class Honest(Console):
        def on_broken_pipe(self) -> None:  # rich would exit with 1, which is a provider's failure
            raise BrokenPipeError

    return Honest(highlight=False, markup=False, emoji=False, **how)


@contextmanager
def progress(what: str, total: int | None, done: int) -> Iterator[Callable[[], None]]:
    """Show on a terminal's standard error how many are done of how many, and when the last will be.

    What it gives is to be called for each one more.
    """
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with bars.Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=total, completed=done)
        yield lambda: shown.advance(task)


def step_of(metadata: Mapping[str, Any]) -> str:
    """Return the name of the step that a model call belongs to, as its metadata tells: "turn 2, attempt 2"."""
    step = f"turn {metadata['turn']}" if "turn" in metadata else "synthesis"
    return f"{step}, attempt {metadata['attempt']}" if metadata["attempt"] > 1 else step


class Display:
    """Prints one run to standard output, as it goes.

    `show` is "turns" (the replies as they are written, then the answer), "full" or "concise" (a line a turn, then the
    comprehensive or the concise answer), "quiet" (the answer alone) or "json" (the graph's output as one document).
    """

    def __init__(self, show: Show | Literal["quiet", "json"]) -> None:
        self.show = show
        self.runs: list[str] = []  # the ids of the runs that it shows
        self.seconds = 0.0  # of all of them
        self.pause: Interrupt | None = None  # where a person is to be asked, on which thread, and what there is
        self.thread: str | None = None
        self.state: dict[str, Any] = {}
        self.console = plain_console(soft_wrap=True)
        self._writing: str | None = None
        self._turns: set[int] = set()

    def waiting(self, loads: bool) -> None:
        """Say on a terminal that the local model has to be loaded first, which takes a while on a slow machine."""
        if loads and self.console.is_terminal and self.show not in ("quiet", "json"):
            self.console.print("loading the local model …", style="dim")

    def token(self, step: str, text: str) -> None:
        """Print a piece of a reply, under the name of the step that writes it."""
        if self.show != "turns" or not text:
            return
        if self._writing != step:
            if self._writing:  # what was being written was cut, in mid-line
                self.console.print()
            self._writing = step
            self.console.print(f"── {step} ──", style="bold cyan")
        self.console.out(plain(text), style="dim", end="", highlight=False)

    def turn(self, turn: dict[str, Any]) -> None:
        """Print the line that ends a turn: number, verdict, seconds, tokens."""
        if self.show in ("quiet", "json") or turn["index"] in self._turns:
            return  # a turn comes again where a person has edited it
        self._turns.add(turn["index"])
        if self._writing:
            self.console.print()
            self._writing = None
        parts = [f"turn {turn['index']}", turn["verdict"] or turn["kind"], f"{turn['seconds']:.1f} s"]
        if turn["usage"]:
            parts.append(f"{turn['usage']['total_tokens']:,} tokens")
        if turn["finish_reason"] == "length":
            parts.append("cut at max_tokens: raise it with --max-tokens")
        if self.show != "turns":
            parts.append(one_line(turn["answer"]) if turn["answer"] else "no answer stated")
        self.console.print(" · ".join(parts), style="cyan")
        if self.show == "turns":
            self.console.print()

    def result(self, state: dict[str, Any], *, seconds: float, whole: bool) -> None:
        """Print what the run came to; `whole` is False where it was interrupted, and this is what there is."""
        if self.show == "json":
            self.console.out(as_json(document_of(state, self.runs[-1])), highlight=False)
            return
        answer = state.get("concise_answer") if self.show == "concise" else state.get("answer")
        answer = answer or _newest_answer(state)
        if self._writing:
            self.console.print("\n")
        if self.show == "quiet":
            if answer:
                self.console.out(plain(answer), highlight=False)
            return
        if answer:
            self.console.print("── answer ──" if whole else "── the answer so far ──", style="bold green")
            self._markdown(plain(answer))
        if state.get("degraded"):
            self.console.print(plain(state["degraded"]), style="yellow")
        self.console.print(summary(state, seconds=seconds, whole=whole), style="dim")

    def line(self, name: str, state: Any, *, cut: bool) -> None:
        """Print a line of the list of threads: its name, when, how it stands, its newest question."""
        when = str(state.created_at or "")[:16].replace("T", " ")
        parts = [plain(name), when, "cut" if cut else "answered", one_line(state.values.get("query") or "")]
        self.console.print(" · ".join(parts), style="yellow" if cut else None)

    def question(self, state: dict[str, Any]) -> None:
        """Print a question of the past, a line for each of its turns, and the answer."""
        self.console.print(f"── {one_line(state.get('query') or '')} ──", style="bold cyan")
        self._turns.clear()
        for turn in state.get("turns") or []:
            self.turn(turn)
        self.result(state, seconds=state["usage"]["seconds"], whole=bool(state.get("stop_reason")))
        self.console.print()

    def _markdown(self, text: str) -> None:
        if not self.console.is_terminal:
            self.console.out(text, highlight=False)
            return
        from rich.markdown import Markdown

        self.console.print(Markdown(text, hyperlinks=False), soft_wrap=False)


def document_of(state: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Return the graph's output as plain JSON, with the id of the run in a trace."""
    messages = [message.model_dump(mode="json") for message in state.get("messages", [])]
    return {**state, "run_id": run_id, "messages": messages}


def as_json(document: dict[str, Any]) -> str:
    """Write a document as JSON that a terminal can only print."""
    written = json.dumps(document, ensure_ascii=False, indent=2)
    # JSON escapes the control codes of ASCII alone.
    return _CONTROL.sub(lambda code: f"\\u{ord(code[0]):04x}", written)


def summary(state: dict[str, Any], *, seconds: float, whole: bool) -> str:
    """Return the last line: turns, stop reason, model, tokens (prompt, cached, output), seconds."""
    turns = state.get("turns") or []
    stop = (state.get("stop_reason") if whole else "interrupted") or "unfinished"
    return " · ".join(
        [
            f"{len(turns)} turn{'' if len(turns) == 1 else 's'}",
            stop,
            turns[-1]["model"] if turns else "no reply",
            describe_usage(state["usage"]) if state.get("usage") else "no tokens",
            f"{seconds:.1f} s",
        ]
    )


def describe_usage(usage: "Usage") -> str:
    """Return the tokens of a run in words: prompt, cached, output."""
    prompt, cached, output = usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"]
    return f"{prompt:,} prompt ({cached:,} cached) + {output:,} output tokens"


def _newest_answer(state: dict[str, Any]) -> str | None:
    return next((turn["answer"] for turn in reversed(state.get("turns") or []) if turn["answer"]), None)


def one_line(text: str) -> str:
    """Return the beginning of a text as one line of at most 80 characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= 80 else f"{line[:79]}…"
