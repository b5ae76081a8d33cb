"""The end of each command's help: examples, and what its exit codes mean."""

from typing import NamedTuple

_FIX = "2 something to fix"
_CTRL_C = "130 interrupted (Ctrl-C)"
_ANSWER = (
    "0 an answer",
    "1 the provider failed, and there is no answer",
    _FIX,
    "3 an answer that lacks a turn or the synthesis, because a call failed",
    _CTRL_C,
)
_DONE = ("0 done", _FIX, _CTRL_C)
_SERVED = ("0 or 130 stopped by Ctrl-C", _FIX)


class HelpPage(NamedTuple):
    """What the help of a command ends with."""

    examples: tuple[str, ...]
    exit_codes: tuple[str, ...]


HELP_PAGES = {
    "": HelpPage(
        (
            'llamaberry ask "What is 17 * 23?"',
            "llamaberry chat",
            "llamaberry show last",
            "llamaberry ask --help",
        ),
        _ANSWER,
    ),
    "ask": HelpPage(
        (
            'llamaberry ask "What is 17 * 23?"',
            'llamaberry ask --turns 5 --early-stop -v "Is 2027 a prime number?"',
            'cat notes.txt | llamaberry ask -q "Summarise this."',
            'llamaberry ask -c "And in winter?"',
        ),
        _ANSWER,
    ),
    "chat": HelpPage(
        ("llamaberry chat", "llamaberry chat -c --turns 1", "llamaberry chat -q < questions.txt"),
        ("0 left, or all lines of a pipe answered", *_ANSWER[1:]),
    ),
    "resume": HelpPage(("llamaberry resume", "llamaberry resume trip --model local"), _ANSWER),
    "history": HelpPage(("llamaberry history --limit 5 --search winter", "llamaberry history trip"), _DONE),
    "forget": HelpPage(("llamaberry forget trip",), _DONE),
    "show": HelpPage(("llamaberry show last", "llamaberry show trip --all --html trip.html --open"), _DONE),
    "compare": HelpPage(
        ('llamaberry compare "What is 17 * 23?"', 'llamaberry compare --turns 5 --shared-first "…"'),
        ("0 both answers", "1 a run failed", *_ANSWER[2:]),
    ),
    "eval": HelpPage(
        (
            "llamaberry eval questions.jsonl --arms single,turns:3",
            "llamaberry eval --suite chain_sum,gcd --size 20 --out eval-sums",
        ),
        ("0 the report is written", "1 every question failed", _FIX, _CTRL_C),
    ),
    "batch": HelpPage(
        (
            "llamaberry batch questions.jsonl answers.jsonl --turns 1",
            "llamaberry batch questions.jsonl answers.jsonl --workers 4",
            "llamaberry batch questions.jsonl answers.jsonl --retry-errors",
        ),
        (
            "0 every question is answered",
            "1 every question failed",
            _FIX,
            "3 some questions failed, or their answers lack a turn",
            _CTRL_C,
        ),
    ),
    "models": HelpPage(("llamaberry models", "llamaberry models --json"), _DONE),
    "model": HelpPage(("llamaberry model", "llamaberry model pull"), _DONE),
    "config": HelpPage(
        (
            "llamaberry config",
            "llamaberry config set max_turns 5",
            'llamaberry config set instructions verify="Use the module fractions."',
            "llamaberry config unset max_turns",
        ),
        _DONE,
    ),
    "traces": HelpPage(("llamaberry traces --port 6007",), _SERVED),
    "graph": HelpPage(("llamaberry graph", "llamaberry graph --png graph.png"), _DONE),
    "mcp": HelpPage(("llamaberry mcp --model local", "llamaberry mcp --http 8000"), _SERVED),
    "web": HelpPage(("llamaberry web", "llamaberry web --port 8080 --model local"), _SERVED),
}
"""By command; "" is `llamaberry` itself."""


def epilog(command: str) -> str:
    """Return the end of the command's help. A line with \\b keeps the lines of its paragraph as they are."""
    page = HELP_PAGES[command]
    examples = "\n".join(f"  {example}" for example in page.examples)
    return f"\b\nExamples:\n{examples}\n\nExit codes: {'; '.join(page.exit_codes)}."
