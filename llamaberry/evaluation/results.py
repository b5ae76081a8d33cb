"""What an evaluation keeps: a line of JSON for each question in each arm."""

import re
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from llamaberry.graph.errors import SetupError

_ARM = re.compile(r"single|turns:(?P<turns>[1-9][0-9]?)(?P<early>\+early)?|self-consistency:(?P<draws>[1-9][0-9]?)")
_MOST_DRAWS = 40  # the paper's own largest number


class Arm(NamedTuple):
    """A way to answer: so many turns, perhaps fewer where two agree, or the vote of so many first turns.

    The vote is self-consistency (arXiv 2203.11171): what thinking again has to be measured against at equal cost.
    """

    name: str
    turns: int
    early_stop: bool = False
    draws: int = 1

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the arm of this name: "single", "turns:3", "turns:3+early", "self-consistency:3".

        Raises:
            SetupError: there is none of this name.
        """
        found = _ARM.fullmatch(name)
        turns, draws = int((found and found["turns"]) or 1), int((found and found["draws"]) or 1)
        if (
            found is None
            or turns > 10
            or draws > _MOST_DRAWS
            or name in ("turns:1", "turns:1+early", "self-consistency:1")
        ):
            raise SetupError(
                f"there is no arm {name!r}: write single, turns:N, turns:N+early (N from 2 to 10) "
                f"or self-consistency:K (K from 2 to {_MOST_DRAWS})"
            )
        return cls(name, turns, bool(found["early"]), draws)


class Tokens(BaseModel):
    """The tokens of one or more calls; `cached` are those of the input that came from a prefix cache."""

    input: int = 0
    output: int = 0
    cached: int = 0


class Reply(BaseModel):
    """One call of the model: a turn, a draw of a vote, or the synthesis. `answer` is None where none could be read."""

    model_config = ConfigDict(frozen=True)

    step: str
    """ "turn 1", "turn 2", "synthesis"; of a vote "draw 1", "draw 2"."""
    answer: str | None
    right: bool
    verdict: Literal["keep", "revise"] | None = None
    finish_reason: str | None = None
    seconds: float = 0
    tokens: Tokens | None = None
    """None where the provider counted none."""
    text: str = ""
    """The reply as written."""


class Result(BaseModel):
    """What one arm made of one question."""

    model_config = ConfigDict(frozen=True)

    id: str
    task: str
    """The suite's task, or "" for a file of one's own."""
    arm: str
    question: str
    expected: str
    answer: str | None
    """The arm's answer: after several turns the synthesis's concise one, of a vote the winner's; None without any."""
    right: bool
    """Whether `answer` is right. Where the arm failed, it is not: a failure counts against it."""
    replies: list[Reply]
    stop_reason: str | None = None
    degraded: str | None = None
    error: str | None = None
    """Why there is no answer, or why there is no more than the turns before: a call failed for good."""
