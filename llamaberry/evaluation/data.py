"""The questions of an evaluation: a file of one's own, or tasks that reasoning-gym generates."""

import difflib
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from llamaberry import jsonl as lines
from llamaberry.evaluation import checkers
from llamaberry.graph.errors import SetupError

Check = Callable[[str], bool]


class Case(NamedTuple):
    """A question, what is expected, and whether an answer is it; `check` is None where a judge has to say."""

    id: str
    task: str
    question: str
    expected: str
    check: Check | None


class Data(NamedTuple):
    """The cases, by which name and content they are known, and the lines that could not be read, each with its number.

    `settings` is what it takes to make the same cases again; it is JSON.
    """

    cases: list[Case]
    settings: dict[str, Any]
    bad: list[str]


class Row(lines.Row):
    """A line of a file: a question, its answer, and how to tell whether another one is it."""

    answer: str = Field(min_length=1)
    checker: Literal["exact", "number", "choice", "judge"] | None = None
    tolerance: float | None = Field(default=None, ge=0, allow_inf_nan=False)


def read_file(path: Path, *, judged: bool = False, limit: int | None = None) -> Data:
    """Read a JSONL file; a line that is none of ours is told in `bad`, and the rest goes on.

    A row that names no checker gets the one that fits its answer, or the judge where one is `judged` by.

    Raises:
        SetupError: the file cannot be read, holds no question, or asks for a judge where there is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read ({error.strerror}): name a JSONL file of questions") from error
    cases: dict[str, Case] = {}
    bad: list[str] = []
    for place, line in enumerate(content.removeprefix(lines.BOM).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            case = _case(line, place, judged)
            if case.id in cases:
                raise ValueError(f"the id {case.id!r} stands on an earlier line too")
            cases[case.id] = case
        except ValueError as error:
            bad.append(f"line {place}: {error}")
    if not cases:
        raise SetupError("\n".join([f"{path} holds no question: each line is JSON like {_EXAMPLE}", *bad[:5]]))
    chosen = list(cases.values())[:limit]
    return Data(chosen, {"data": path.name, "sha256": hashlib.sha256(content).hexdigest()}, bad)


_EXAMPLE = '{"question": "What is 6 x 7?", "answer": "42"}'


def _case(line: bytes, place: int, judged: bool) -> Case:
    row = lines.read_row(line, Row, _EXAMPLE)
    named = row.checker or ("judge" if judged else checkers.fitting(row.answer))
    if named == "judge" and not judged:
        raise SetupError(f'line {place} wants the checker "judge": name the model that judges by --judge MODEL')
    checks: dict[str, Check | None] = {
        "exact": partial(checkers.exact, expected=row.answer),
        "number": partial(checkers.number, expected=row.answer, tolerance=row.tolerance),
        "choice": partial(checkers.choice, expected=row.answer),
        "judge": None,
    }
    if named in ("number", "choice") and not checks[named](row.answer):  # type: ignore[misc]
        raise ValueError(f"the answer {row.answer!r} holds no {named}: name another checker")
    return Case(row.id or str(place), "", row.question, row.answer, checks[named])


def generate(tasks: Sequence[str], *, size: int, seed: int) -> Data:
    """Return `size` questions of each of reasoning-gym's tasks; the same seed makes the same questions.

    Raises:
        SetupError: reasoning-gym is not installed, or has no such task.
    """
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError as missing:
        raise SetupError('--suite needs reasoning-gym: pip install "llamaberry[eval]"') from missing
    for task in tasks:
        if task not in DATASETS:
            near = difflib.get_close_matches(task, DATASETS, n=3) or sorted(DATASETS)[:3]
            raise SetupError(f"reasoning-gym has no task {task!r}: it has {', '.join(near)} and others")
    sets: dict[str, Any] = {}
    for task in tasks:
        try:
            # Its own seeds are one question apart: with 1 it asks what it asks with 0, but for the first question.
            sets[task] = reasoning_gym.create_dataset(task, size=size, seed=seed * _APART % 2**31)
        except Exception as error:
            raise SetupError(f"reasoning-gym cannot generate {task!r} by itself: {error}") from error
    # Not its __version__, which stayed behind its releases.
    settings = {"suite": list(sets), "size": size, "seed": seed, "reasoning_gym": metadata.version("reasoning-gym")}
    # One of each in turn, so that an evaluation that is cut has seen them all.
    cases = [_generated(task, number, sets[task], settings) for number in range(size) for task in sets]
    return Data(cases, settings, [])


def _generated(task: str, number: int, dataset: Any, settings: dict[str, Any]) -> Case:
    entry = dataset[number]
    expected = "" if entry["answer"] is None else str(entry["answer"])  # many answers may be right, and none is named

    def check(answer: str) -> bool:
        """The suite's own verifier; most of them want the bare answer to the letter, so its form is forgiven here."""
        if any(_verified(dataset, form, entry) for form in (answer.strip(), answer.strip(" \n*`$."))):
            return True
        if not expected:
            return False
        return (checkers.number if checkers.fitting(expected) == "number" else checkers.exact)(answer, expected)

    return Case(f"{task}-{settings['seed']}-{number}", task, str(entry["question"]).strip(), expected, check)


def _verified(dataset: Any, answer: str, entry: Any) -> bool:
    def score(answer: str) -> float:
        try:
            return float(dataset.score_answer(answer, entry))
        except Exception:  # noqa: BLE001 - of an answer that is not in its form a verifier raises anything
            return 0

    return _may_run(answer) and score(answer) >= _WHOLE > score(_NONSENSE)


_APART = 1_000_003
_WHOLE = 0.99
"""The least score that is a right answer: the suite gives parts of one for near misses."""
_NONSENSE = "qwertz"
"""A verifier that takes this takes everything."""
_LONGEST = 20_000
_CODE = re.compile(
    r"__|[\w)\]'\"]\s*\.\s*[^\W\d]|[\w)\]](?<!\bsin)(?<!\bcos)(?<!\btan)(?<!\bexp)(?<!\blog)(?<!\bsqrt)[\s\\]*\("
    r"|\*\*(?!\s?\d{1,2}(?![\d.*]|\s*\*))|<<|[\d)]\s*!"
)
"""Calls, attributes and powers without end."""


def _may_run(answer: str) -> bool:
    """Whether a verifier may run the answer as Python, as some do: it is a stranger's text."""
    hidden = "#" in answer and "(" in answer  # a comment between a name and its call
    repeated = "*" in answer and not {"'", '"', "["}.isdisjoint(answer)
    return len(answer) <= _LONGEST and not (hidden or repeated or _CODE.search(answer))
