"""What the terminal shows of a run: the turns while they are written, the answer, and one line of figures."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from llamaberry.console import as_json, one_line, plain, plain_console

if TYPE_CHECKING:
    from langchain_core.messages.ai import UsageMetadata
    from langgraph.types import Interrupt

Show = Literal["turns", "full", "concise"]


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
        self.result(state, seconds=calls_of(state)[1], whole=bool(state.get("stop_reason")))
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


def summary(state: dict[str, Any], *, seconds: float, whole: bool) -> str:
    """Return the last line: turns, stop reason, model, tokens (prompt, cached, output), seconds."""
    turns = state.get("turns") or []
    stop = (state.get("stop_reason") if whole else "interrupted") or "unfinished"
    return " · ".join(
        [
            f"{len(turns)} turn{'' if len(turns) == 1 else 's'}",
            stop,
            turns[-1]["model"] if turns else "no reply",
            tokens_told(calls_of(state)[0]),
            f"{seconds:.1f} s",
        ]
    )


def calls_of(state: dict[str, Any]) -> "tuple[list[UsageMetadata | None], float]":
    """Return the tokens of each call of a run, and the seconds of all of them."""
    turns = state.get("turns") or []
    usages, seconds = [turn["usage"] for turn in turns], sum(turn["seconds"] for turn in turns)
    # The synthesis's own stand on the message that it wrote.
    for message in (state.get("messages") or [])[-1:] if state.get("answer") else []:
        usages.append(getattr(message, "usage_metadata", None))
        seconds += message.response_metadata.get("seconds", 0)
    return usages, seconds


def tokens_told(usages: "Iterable[UsageMetadata | None]") -> str:
    """Return the tokens of several calls in words: prompt, cached, output."""
    tokens = tokens_of(usages)
    return f"{tokens['input']:,} prompt ({tokens['cached']:,} cached) + {tokens['output']:,} output tokens"


def tokens_of(usages: "Iterable[UsageMetadata | None]") -> dict[str, int]:
    """Return the tokens of several calls; the cached ones are among those of the input."""
    counted = [usage for usage in usages if usage]
    return {
        "input": sum(usage["input_tokens"] for usage in counted),
        "cached": sum(usage.get("input_token_details", {}).get("cache_read", 0) for usage in counted),
        "output": sum(usage["output_tokens"] for usage in counted),
    }


def _newest_answer(state: dict[str, Any]) -> str | None:
    return next((turn["answer"] for turn in reversed(state.get("turns") or []) if turn["answer"]), None)
