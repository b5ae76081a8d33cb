"""How a run is printed: its turns while they are written, the answer, and one line of figures."""

from typing import TYPE_CHECKING, Any, Literal

from llamaberry.console import as_json, one_line, plain, plain_console

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

    from llamaberry.graph.calls import Usage

Show = Literal["turns", "full", "concise"]
OutputMode = Show | Literal["quiet", "json"]
"""What is printed: "turns": the replies as they are written, then the answer; "full" or "concise": a line for each
turn, then the answer or the concise answer; "quiet": only the answer; "json": the graph's output as one document."""


class Display:
    """Prints a run to standard output while it runs."""

    def __init__(self, mode: OutputMode) -> None:
        self.mode = mode
        self.run_ids: list[str] = []  # of the question: each pause starts another run
        self.console = plain_console(soft_wrap=True)
        self._call: tuple[str, str | None] | None = None  # the call whose reply is being printed: its step, its message
        self._printed_turns: set[int] = set()

    def loading_model(self) -> None:
        """Print on a terminal that the local model is being loaded, which takes a while on a slow machine."""
        if self.console.is_terminal and self.mode not in ("quiet", "json"):
            self.console.print("loading the local model …", style="dim")

    def token(self, step: str, text: str, message_id: str | None = None) -> None:
        """Print a piece of a reply, below the name of its step; another message of the same step is marked "again"."""
        if self.mode != "turns" or not text:
            return
        if self._call != (step, message_id):
            again = ", again" if self._call and self._call[0] == step else ""
            if self._call:  # its reply was interrupted in the middle of a line
                self.console.print()
            self._call = step, message_id
            self.console.print(f"── {step}{again} ──", style="bold cyan")
        self.console.out(plain(text), style="dim", end="", highlight=False)

    def turn(self, turn: dict[str, Any]) -> None:
        """Print the line that ends a turn: number, verdict, seconds, tokens."""
        if self.mode in ("quiet", "json") or turn["index"] in self._printed_turns:
            return  # a turn that a person has edited arrives again
        self._printed_turns.add(turn["index"])
        if self._call:
            self.console.print()
            self._call = None
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

    def result(self, state: dict[str, Any], *, seconds: float, complete: bool) -> None:
        """Print the answer and the figures of a run; `complete` is False if it was interrupted."""
        if self.mode == "json":
            self.console.out(as_json(document_of(state, self.run_ids[-1])), highlight=False)
            return
        answer = state.get("concise_answer") if self.mode == "concise" else state.get("answer")
        answer = answer or _newest_answer(state)
        if self._call:
            self.console.print("\n")
        if self.mode == "quiet":
            if answer:
                self.console.out(plain(answer), highlight=False)
            return
        if answer:
            self.console.print("── answer ──" if complete else "── the answer so far ──", style="bold green")
            self._markdown(plain(answer))
        if state.get("degraded"):
            self.console.print(plain(state["degraded"]), style="yellow")
        self.console.print(summary(state, seconds=seconds, whole=complete), style="dim")

    def thread(self, name: str, state: "StateSnapshot", *, interrupted: bool) -> None:
        """Print a thread's line: name, time, status, newest question."""
        time = str(state.created_at or "")[:16].replace("T", " ")
        status = "interrupted" if interrupted else "answered"
        parts = [plain(name), time, status, one_line(state.values.get("query") or "")]
        self.console.print(" · ".join(parts), style="yellow" if interrupted else None)

    def question(self, state: dict[str, Any]) -> None:
        """Print a past question, a line for each of its turns, and the answer."""
        self.console.print(f"── {one_line(state.get('query') or '')} ──", style="bold cyan")
        self._printed_turns.clear()
        for turn in state.get("turns") or []:
            self.turn(turn)
        self.result(state, seconds=state["usage"]["seconds"], complete=bool(state.get("stop_reason")))
        self.console.print()

    def _markdown(self, text: str) -> None:
        if not self.console.is_terminal:
            self.console.out(text, highlight=False)
            return
        from rich.markdown import Markdown

        self.console.print(Markdown(text, hyperlinks=False), soft_wrap=False)


def document_of(state: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Return the graph's output as plain JSON, with the id of its run."""
    messages = [message.model_dump(mode="json") for message in state.get("messages", [])]
    return {**state, "run_id": run_id, "messages": messages}


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
