"""The two files of a batch: the questions, read line by line, and the answers, which say what was asked already."""

import json
from array import array
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from llamaberry.graph.errors import SetupError
from llamaberry.jsonl import BOM, Row, append, read_row, whole_lines

EXAMPLE = '{"question": "What is 6 x 7?"}'

_PASSED = 1000  # lines that are passed over before anything else gets a turn
_TOLD = 20  # bad lines that are told, each in a line; of the others their number is


class BatchItem(NamedTuple):
    """A question: the number of its line in IN, its id, and the words."""

    line: int
    id: str
    question: str

    @property
    def sum(self) -> int:
        """A number by which to see that a line asks what it asked before; never 0."""
        return crc32(f"{self.id}\0{self.question}".encode()) or 1


class Answers:
    """OUT: a line for each question that was answered or has failed for good, in the order in which that happened.

    What is held of it in memory is four bytes for each line of IN.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answered = self.degraded = self.failed = 0
        self._sums = array("I")  # by the number of the line in IN; 0 where it has none here

    def read(self, *, again: bool) -> None:
        """Read what is there, and cut off the half of a line that a killed process has left.

        `again`: drop the lines of questions that failed, which are to be asked again.

        Raises:
            SetupError: a line is none of ours.
        """
        if again and self.path.exists():
            new = self.path.with_name(f".{self.path.name}.new")
            with new.open("wb") as kept:
                kept.writelines(line for said, line in self._lines() if not (_failed(said) or _degraded(said)))
            new.replace(self.path)
        for said, _ in self._lines():
            self._count(said)

    def add(self, said: dict[str, Any]) -> None:
        """Append a line."""
        append(self.path, json.dumps(said, ensure_ascii=False))
        self._count(said)

    def has(self, asked: BatchItem) -> bool:
        """Whether there is a line for this question; raise SetupError where it is another question's."""
        kept = self._sums[asked.line] if asked.line < len(self._sums) else 0
        if kept not in (0, asked.sum):
            raise SetupError(f"{self.path} answers another question as line {asked.line}: choose another OUT")
        return kept != 0

    def _lines(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        for place, line in whole_lines(self.path, cut=b'{"line": '):
            try:
                said = json.loads(line)
                if not (said["line"] > 0 and {"id", "question"} < said.keys()):
                    raise ValueError(said)
            except (ValueError, LookupError, TypeError, AttributeError):
                told = f"{self.path}, line {place}, is no answer of a batch: delete that line, or choose another OUT"
                raise SetupError(told) from None
            yield said, line

    def _count(self, said: dict[str, Any]) -> None:
        asked = BatchItem(said["line"], said["id"], said["question"])
        if (lacking := asked.line + 1 - len(self._sums)) > 0:
            self._sums.frombytes(bytes(lacking * self._sums.itemsize))
        self._sums[asked.line] = asked.sum
        self.failed += _failed(said)
        self.degraded += _degraded(said)
        self.answered += not (_failed(said) or _degraded(said))


def _failed(said: dict[str, Any]) -> bool:
    return "error" in said


def _degraded(said: dict[str, Any]) -> bool:
    return said.get("stop_reason") == "error"


class Questions:
    """IN, or the shard (i, n) of it: every nth line from the ith on. `bad` are lines that were no question so far."""

    def __init__(self, path: Path, shard: tuple[int, int], tell: Callable[[str], None]) -> None:
        """Raises SetupError: there is no such file, or no such shard."""
        self.path, self.bad = path, 0
        self._shard, self._tell = shard, tell
        if not 1 <= shard[0] <= shard[1]:
            raise SetupError(f"there is no shard {shard[0]}/{shard[1]}: write 1/{shard[1]} to {shard[1]}/{shard[1]}")
        if not path.is_file():
            raise SetupError(f"{path} is no file: name a JSONL file of questions, each line like {EXAMPLE}")

    def count(self) -> int:
        """Return how many lines it has, blank ones too."""
        with self.path.open("rb") as lines:
            return sum(1 for _ in self._own(lines))

    def missing(self, answers: Answers) -> Generator[BatchItem | None]:
        """Yield the questions that have no answer yet, and None now and then where many have one."""
        with self.path.open("rb") as lines:
            for passed, (place, line) in enumerate(self._own(lines), 1):
                if passed % _PASSED == 0:
                    yield None
                if not line.strip():
                    continue
                try:
                    row = read_row(line, Row, EXAMPLE)
                except ValueError as error:
                    self.bad += 1
                    if self.bad <= _TOLD:
                        self._tell(f"{self.path}, line {place}: {error}: left out")
                    continue
                if not answers.has(asked := BatchItem(place, row.id or str(place), row.question)):
                    yield asked
        if self.bad > _TOLD:
            self._tell(f"{self.path}: {self.bad - _TOLD:,} more lines are no question, and left out")

    def _own(self, lines: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
        number, of = self._shard
        for place, line in enumerate(lines, 1):
            if place % of == number % of:
                yield place, line.removeprefix(BOM) if place == 1 else line
