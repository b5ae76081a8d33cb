"""The records of an evaluation: one line of JSON per question and arm."""

import re
from typing import Literal, NamedTuple, Self

from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel

from llamaberry.graph.check import Check
from llamaberry.graph.errors import SetupError

# 40 draws are the largest vote in the self-consistency paper.
_ARM = re.compile(
    r"single|program|self-consistency:(?P<draws>[2-9]|[1-3][0-9]|40)"
    r"|turns:(?P<turns>[2-9]|10)(?P<variant>(?:\+(?:early|noverify|independent))*)"
)


class Arm(NamedTuple):
    """A way to answer a question: up to `turns` turns and a synthesis, a vote of `draws` first turns, or a program.

    The vote is self-consistency (arXiv 2203.11171), and "program" the output of the check's program alone: the two
    baselines that refining has to beat at equal cost.
    """

    name: str
    turns: int
    early_stop: bool = False
    verify: bool = True
    independent: bool = False
    draws: int = 1

    @property
    def is_program(self) -> bool:
        """Whether the program's output is the answer."""
        return self.name == "program"

    @property
    def calls(self) -> int:
        """The largest planned number of calls for a question, without a repaired program."""
        return self.turns + 1 + self.verify if self.turns > 1 else self.draws

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the arm of this name: "single", "program", "turns:3+noverify+early", "self-consistency:3".

        Raises:
            SetupError: no arm has this name.
        """
        match = _ARM.fullmatch(name)
        if match is None:
            raise SetupError(
                f"unknown arm {name!r}: write single, program, turns:N (N from 2 to 10; perhaps with +early, +noverify "
                "or +independent) or self-consistency:K (K from 2 to 40)"
            )
        variant = (match["variant"] or "").split("+")
        return cls(
            name,
            int(match["turns"] or 1),
            early_stop="early" in variant,
            verify="noverify" not in variant,
            independent="independent" in variant,
            draws=int(match["draws"] or 1),
        )


class Tokens(BaseModel):
    """Token counts of one or more calls; `cached` is the part of `input` that a prefix cache served."""

    input: int = 0
    output: int = 0
    cached: int = 0

    @classmethod
    def of(cls, usage: UsageMetadata) -> Self:
        """Return the tokens of a call."""
        cached = usage.get("input_token_details", {}).get("cache_read", 0)
        return cls(input=usage["input_tokens"], output=usage["output_tokens"], cached=cached)


class Reply(BaseModel, frozen=True):
    """One model call: a turn, a program, a draw of a vote, or the synthesis. `answer` is None if it states none.

    A program's answer is what it printed, as the check has it at the end: a program that was replaced has none.
    """

    step: str
    """ "turn 1", "check", "turn 2", "synthesis"; in a vote "draw 1", "draw 2"."""
    answer: str | None
    right: bool
    verdict: Literal["keep", "revise"] | None = None
    finish_reason: str | None = None
    seconds: float = 0
    tokens: Tokens | None = None
    """None if the provider reported no usage."""
    cost_usd: float | None = None
    """At the provider's list price; None if that or the usage is unknown."""
    text: str = ""
    """The reply as written."""


class Result(BaseModel):
    """The outcome of one question in one arm."""

    id: str
    task: str
    """The suite's task, or "" for questions from a file."""
    arm: str
    question: str
    expected: str
    answer: str | None = None
    """The arm's answer: the synthesis's concise answer, the winner of the vote, or None."""
    right: bool = False
    """Whether `answer` is right; False if there is no answer."""
    replies: list[Reply] = []
    check: Check | None = None
    """The program, its output and the verdict on the last turn."""
    stop_reason: str | None = None
    degraded: str | None = None
    error: str | None = None
    """The failed call that left the result without an answer, or with fewer turns than planned."""
