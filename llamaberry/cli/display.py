"""How a run is printed: its turns while they are written, the answer, and one line of figures."""

import re
from collections.abc import Iterable
from typing import Any, cast

from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from llamaberry.cli.options import OutputMode
from llamaberry.console import as_json, dollars, one_line, plain, plain_console
from llamaberry.graph.answers import latest_answer
from llamaberry.graph.calls import NO_USAGE, Usage
from llamaberry.graph.check import Check, describe_check
from llamaberry.graph.turn import Turn


class Display:
    """Prints a run to standard output while it runs."""

    def __init__(self, mode: OutputMode) -> None:
        self.mode = mode
        self.run_ids: list[str] = []  # of the question: each pause starts another run
        self.console = plain_console(soft_wrap=True)
        self._call: tuple[str, str | None] | None = None  # the call whose reply is being printed: its step, its message
        self.pieces_may_be_lost = False  # of a stream from a server: then a turn without any is printed at its end
        self._streamed_turns: set[int] = set()
        self._printed_turns: set[int] = set()
        self._printed_program: str | None = None

    def loading_model(self) -> None:
        """Print on a terminal that the local model is being loaded, which takes a while on a slow machine."""
        if self.console.is_terminal and self.mode not in ("quiet", "json"):
            self.console.print("loading the local model …", style="dim")

    def token(self, step: str, text: str, message_id: str | None = None) -> None:
        """Print a piece of a reply, below the name of its step; another message of the same step is marked "again"."""
        if self.mode != "turns" or not text or step.startswith("check"):
            return  # a program is printed with what it printed
        if turn := re.match(r"turn (\d+)", step):
            self._streamed_turns.add(int(turn[1]))
        if self._call != (step, message_id):
            again = ", again" if self._call and self._call[0] == step else ""
            if self._call:  # its reply was interrupted in the middle of a line
                self.console.print()
            self._call = step, message_id
            self.console.print(f"── {step}{again} ──", style="bold cyan")
        self.console.out(plain(text), style="dim", end="", highlight=False)

    def end_line(self) -> None:
        """End the line of a reply that was interrupted, so that what is printed next has a line of its own."""
        if self._call:
            self.console.print()
            self._call = None

    def turn(self, turn: dict[str, Any]) -> None:
        """Print the line that ends a turn: number, verdict, seconds, tokens."""
        if self.mode in ("quiet", "json") or turn["index"] in self._printed_turns:
            return  # a turn that a person has edited arrives again
        self._printed_turns.add(turn["index"])
        if self.pieces_may_be_lost and turn["index"] not in self._streamed_turns:
            self.token(f"turn {turn['index']}", turn["text"])
        self.end_line()
        parts = [f"turn {turn['index']}", turn["verdict"] or turn["kind"], f"{turn['seconds']:.1f} s"]
        if turn["usage"]:
            parts.append(f"{turn['usage']['total_tokens']:,} tokens")
        if turn["finish_reason"] == "length":
            parts.append("cut at max_tokens: raise it with --max-tokens")
        if self.mode != "turns":
            parts.append(one_line(turn["answer"]) if turn["answer"] else "no answer stated")
        self.console.print(" · ".join(parts), style="cyan")
        if self.mode == "turns":
            self.console.print()

    def check(self, check: Check, turn: dict[str, Any]) -> None:
        """Print the program that checks a turn, once, what it printed, and in a sentence what follows."""
        if self.mode in ("quiet", "json"):
            return
        program = check["program"] if check["program"] != self._printed_program else None
        if self.mode == "turns" and program:
            self._printed_program = program
            self.console.print("── check ──", style="bold cyan")
            self.console.print(program_text(program, self.console))
            if output := plain(check["output"] or "").strip():
                self.console.print("── it printed ──", style="cyan")
                self.console.out(output, highlight=False)
        self.console.print(plain(f"check · {describe_check(check, [cast('Turn', turn)])}"), style="cyan")
        if self.mode == "turns":
            self.console.print()

    def result(self, state: dict[str, Any], *, seconds: float, complete: bool) -> None:
        """Print the answer and the figures of a run; `complete` is False if it was interrupted."""
        if self.mode == "json":
            self.console.out(as_json(document_of(state, self.run_ids[-1])), highlight=False)
            return
        turns = state.get("turns") or []
        concise = state.get("concise_answer") if self.mode == "concise" else None
        answer = plain(concise or state.get("answer") or latest_answer(turns) or "")
        if self._call:
            self.console.print("\n")
        if self.mode == "quiet":
            if answer:
                self.console.out(answer, highlight=False)
            return
        if answer:
            self.console.print("── answer ──" if complete else "── the answer so far ──", style="bold green")
            if self.console.is_terminal:
                self.console.print(Markdown(answer, hyperlinks=False), soft_wrap=False)
            else:
                self.console.out(answer, highlight=False)
        if state.get("degraded"):
            self.console.print(plain(state["degraded"]), style="yellow")
        stop_reason = state.get("stop_reason") if complete else None
        models = [turn["model"] for turn in turns]
        figures = run_figures(len(turns), stop_reason, models, state.get("usage", NO_USAGE), seconds)
        self.console.print(" · ".join(figures), style="dim")


def program_text(program: str, console: Console) -> Text:
    """Return a program, highlighted if the console has colours."""
    from rich.syntax import Syntax

    if console.color_system is None:
        return Text(plain(program))
    return Syntax("", "python", theme="ansi_dark", background_color="default").highlight(plain(program))


def document_of(state: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Return the graph's output as plain JSON, with the id of its run."""
    messages = [message.model_dump(mode="json") for message in state.get("messages", [])]
    return {**state, "run_id": run_id, "messages": messages}


def run_figures(turns: int, stop_reason: str | None, models: Iterable[str], usage: Usage, seconds: float) -> list[str]:
    """Return the turns, stop reason, models, tokens and seconds of a run, in words."""
    count = f"{turns} turn{'' if turns == 1 else 's'}"
    models = sorted(set(models)) or ["no reply"]
    return [count, stop_reason or "interrupted", *models, describe_usage(usage), f"{seconds:.1f} s"]


def describe_usage(usage: Usage) -> str:
    """Return the tokens of calls in words: prompt, cached, output; and their price, if it is known and not zero."""
    prompt, cached, output = usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"]
    tokens = f"{prompt:,} prompt ({cached:,} cached) + {output:,} output tokens"
    return f"{tokens} · {dollars(usage['cost_usd'])}" if usage["cost_usd"] else tokens
