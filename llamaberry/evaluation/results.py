"""The records of an evaluation: one line of JSON per question and arm."""

import re
from typing import Literal, NamedTuple, Self

from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel

from llamaberry.graph.errors import SetupError

# 40 draws are the largest vote in the self-consistency paper.
_ARM = re.compile(
    r"single|turns:(?P<turns>[2-9]|10)(?P<early>\+early)?|self-consistency:(?P<draws>[2-9]|[1-3][0-9]|40)"
)


class Arm(NamedTuple):
    """A way to answer a question: up to `turns` turns and a synthesis, or a vote of `draws` independent first turns.

    The vote is self-consistency (arXiv 2203.11171), the baseline that refining has to beat at equal cost.
    """

    name: str
    turns: int
    early_stop: bool = False
    draws: int = 1

    @property
    def calls(self) -> int:
        """The planned calls for a question: the draws, or the turns and a synthesis."""
        return self.turns + 1 if self.turns > 1 else self.draws

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the arm of this name: "single", "turns:3", "turns:3+early", "self-consistency:3".

        Raises:
            SetupError: no arm has this name.
        """
        match = _ARM.fullmatch(name)
        if match is None:
            raise SetupError(
                f"unknown arm {name!r}: write single, turns:N, turns:N+early (N from 2 to 10) "
                "or self-consistency:K (K from 2 to 40)"
            )
        return cls(name, int(match["turns"] or 1), bool(match["early"]), int(match["draws"] or 1))


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
    """One model call: a turn, a draw of a vote, or the synthesis. `answer` is None if the reply states none."""

    step: str
    """ "turn 1", "turn 2", "synthesis"; in a vote "draw 1", "draw 2"."""
    answer: str | None
    right: bool
    verdict: Literal["keep", "revise"] | None = None
    finish_reason: str | None = None
    seconds: float = 0
    tokens: Tokens | None = None
    """None if the provider reported no usage."""
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
    stop_reason: str | None = None
    degraded: str | None = None
    error: str | None = None
    """The failed call that left the result without an answer, or with fewer turns than planned."""
