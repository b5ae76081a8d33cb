"""How a run is printed: its turns while they are written, the answer, and one line of figures."""

import re
from typing import Any, cast

from rich.console import Console
from rich.text import Text

from llamaberry.cli.markdown_text import MarkdownStream, readable_maths, rendered
from llamaberry.cli.options import OutputMode
from llamaberry.cli.status_line import StatusLine
from llamaberry.console import as_json, one_line, plain, plain_console
from llamaberry.graph.answers import answer_changed, latest_answer
from llamaberry.graph.calls import NO_USAGE, VERIFY, step_label, turn_label
from llamaberry.graph.check import Check, describe_check
from llamaberry.graph.tool_calls import ToolCall, describe_tool_call
from llamaberry.graph.turn import Turn
from llamaberry.runs.figures import run_figures


class Display:
    """Prints a run to standard output while it runs: on a terminal with a line that shows what is waited for."""

    def __init__(self, mode: OutputMode) -> None:
        self.mode = mode
        self.run_ids: list[str] = []  # of the question: each pause starts another run
        self.console = plain_console(soft_wrap=True)
        self.model = ""
        self._status = StatusLine(self.console)
        self._markdown = MarkdownStream(self.console)
        self._call: tuple[str, str | None] | None = None  # the call whose reply is being printed: its step, its message
        self.pieces_may_be_lost = False  # of a stream from a server: then a turn without any is printed at its end
        self._streamed_turns: set[int] = set()
        self._answers: dict[int, str | None] = {}  # of the printed turns, by index
        self._printed_program: str | None = None

    def waiting(self, step: str, tokens: int = 0) -> None:
        """Show on a terminal what is waited for; `tokens` are those of the run so far."""
        self._status.show(" · ".join(filter(None, [step, self.model])), tokens)

    def stop_waiting(self) -> None:
        """Remove the line that shows it, before something else writes to the terminal."""
        self._status.stop()

    def token(self, step: str, text: str, message_id: str | None = None) -> None:
        """Print a piece of a reply, below the name of its step; another message of the same step is marked "again"."""
        self._status.add_tokens(bool(text))
        if self.mode != "turns" or not text or step.startswith(step_label(VERIFY)):
            return  # a program is printed with what it printed
        if turn := re.match(r"turn (\d+)", step):
            self._streamed_turns.add(int(turn[1]))
        if self._call != (step, message_id):
            again = ", again" if self._call and self._call[0] == step else ""
            self.end_line()  # of a reply that was interrupted
            self._call = step, message_id
            self.console.print(Text(f"── {step}{again} ──", "bold cyan"))
        if self.console.is_terminal:
            self._markdown.add(text)
        else:
            self.console.out(plain(text), end="", highlight=False)

    def end_line(self) -> None:
        """End the line of a reply that was interrupted, so that what is printed next has a line of its own."""
        if self._call:
            self._markdown.end()
            if not self.console.is_terminal:
                self.console.print()
            self._call = None

    def turn(self, turn: dict[str, Any]) -> None:
        """Print the line that ends a turn: number, verdict, answer and how it changed, seconds, tokens."""
        index = turn["index"]
        if self.mode in ("quiet", "json") or index in self._answers:
            return  # a turn that a person has edited arrives again
        before = self._answers.get(index - 1)
        self._answers[index] = turn["answer"]
        if self.pieces_may_be_lost and index not in self._streamed_turns:
            self.token(turn_label(index), turn["text"])
        self.end_line()
        name = " · ".join(filter(None, [turn_label(index), turn["verdict"]]))
        line = Text.assemble((name, "bold cyan"), " · ", _answer_line(before, turn["answer"]))
        parts = [f"{turn['seconds']:.1f} s"]
        if turn["usage"]:
            parts.append(f"{turn['usage']['total_tokens']:,} tokens")
        line.append("".join(f" · {part}" for part in parts), "dim")
        if turn["finish_reason"] == "length":
            line.append(" · cut at max_tokens: raise it with --max-tokens", "yellow")
        self.console.print(line)
        if self.mode == "turns":
            self.console.print()

    def tool(self, call: ToolCall) -> None:
        """Print a tool call of the turn that is being written in one line."""
        if self.mode in ("quiet", "json"):
            return
        self.end_line()
        self.console.print(Text(plain(f"tool · {describe_tool_call(call)}"), "cyan"))

    def check(self, check: Check, turn: dict[str, Any]) -> None:
        """Print the program that checks a turn, once, what it printed, and in a sentence what follows."""
        if self.mode in ("quiet", "json"):
            return
        program = check["program"] if check["program"] != self._printed_program else None
        if self.mode != "concise" and program:
            self._printed_program = program
            self.console.print(Text(f"{step_label(VERIFY)} · a program, written from the question alone:", "bold cyan"))
            self.console.print(indented(program_text(program, self.console)))
            if output := plain(check["output"] or "").strip():
                self.console.print(Text("it printed:", "cyan"))
                self.console.print(indented(Text(output)))
        self.console.print(Text(plain(f"{step_label(VERIFY)} · {describe_check(check, [cast('Turn', turn)])}"), "cyan"))
        if self.mode == "turns":
            self.console.print()

    def result(self, state: dict[str, Any], *, seconds: float, complete: bool) -> None:
        """Print the answer and the figures of a run, in a pipe the answer last; `complete`: it was not interrupted."""
        self.stop_waiting()
        self.end_line()
        if self.mode == "json":
            self.console.out(as_json(document_of(state, self.run_ids[-1])), highlight=False)
            return
        turns = state.get("turns") or []
        concise = state.get("concise_answer") if self.mode == "concise" else None
        answer = plain(concise or state.get("answer") or latest_answer(turns) or "")
        structured = state.get("structured")
        structured_text = None if structured is None else as_json(structured)
        if self.mode == "quiet":
            if text := structured_text or answer:
                self.console.out(text, highlight=False)
            return
        stop_reason = state.get("stop_reason") if complete else None
        models = [turn["model"] for turn in turns]
        figures = run_figures(len(turns), stop_reason, models, state.get("usage", NO_USAGE), seconds)
        if not self.console.is_terminal:
            self._figures(state, figures)
        if answer:
            self.console.print(Text("── answer ──" if complete else "── the answer so far ──", "bold green"))
            if self.console.is_terminal:
                self.console.print(rendered(answer), soft_wrap=False)
            else:
                self.console.out(answer, highlight=False)
        if structured_text:
            self.console.print(Text("── structured ──", "bold green"))
            self.console.out(structured_text, highlight=False)
        if self.console.is_terminal:
            self._figures(state, figures)

    def _figures(self, state: dict[str, Any], figures: list[str]) -> None:
        if state.get("degraded"):
            self.console.print(Text(plain(state["degraded"]), "yellow"))
        self.console.print(Text(plain(" · ".join(figures)), "dim"))


def _answer_line(before: str | None, answer: str | None) -> Text:
    """Return a turn's answer in a line, after the one before it if it is another."""
    if answer is None:
        return Text("no answer stated", "yellow")
    new = one_line(readable_maths(answer))
    if before is None or not answer_changed(before, answer):
        return Text(new)
    return Text.assemble((one_line(readable_maths(before)), "red strike"), " → ", (new, "green"))


def indented(text: Text) -> Text:
    """Return a text with its lines indented."""
    return Text("\n").join(Text("  ").append_text(line) for line in text.split("\n"))


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
