"""The two files of a batch: questions, read line by line, and answers, which show what is already done."""

import json
import os
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

from llamaberry.file_lock import try_lock
from llamaberry.folders import open_private
from llamaberry.graph.errors import SetupError
from llamaberry.jsonl import BOM, Row, append, complete_lines, read_row, refuse_utf16

EXAMPLE = '{"question": "What is 6 x 7?"}'

_LINES_PER_YIELD = 1000  # lines to read before other tasks of the event loop run
_MAX_REPORTED_LINES = 20  # invalid lines to report one by one; the rest are only counted


class BatchItem(NamedTuple):
    """A question, with its id and the number of its line in IN."""

    line: int
    id: str
    question: str

    @property
    def checksum(self) -> int:
        """Detects a line of IN that has changed since it was answered; never 0."""
        return crc32(f"{self.id}\0{self.question}".encode()) or 1


class Answers:
    """OUT: a line for each question that was answered or has failed, in the order in which they finished.

    It holds four bytes in memory for each line of IN, and a lock on the file until `close`, so that a batch
    that uses another name of the file (a hard link) is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()  # of answered, degraded and failed questions
        self.total_tokens = 0
        self.cost_usd: float | None = 0  # None if that of an answer is unknown
        self._checksums = array("I")  # by line number of IN; 0: no answer yet
        self._locked: BinaryIO | None = None

    def read(self, *, drop_failed: bool) -> None:
        """Read the existing lines, and remove an incomplete last one, which a killed process leaves.

        `drop_failed`: also remove the lines of questions that failed or lost a turn, so that they are asked again.

        Raises:
            SetupError: a line is not an answer of a batch, or another process writes the file.
        """
        self._lock()
        if drop_failed and self._locked:
            target = Path(os.path.realpath(self.path))  # a link to the file stays one
            new_path = target.with_name(f".{target.name}.new")
            with open_private(new_path, "wb") as file:
                file.writelines(line for answer, line in self._lines() if _outcome(answer) == "answered")
            new_path.chmod(target.stat().st_mode & 0o777)
            self.close()  # Windows replaces no open file
            new_path.replace(target)
            self._lock()
        for answer, _ in self._lines():
            self._count(answer)

    def close(self) -> None:
        """Unlock the file."""
        if self._locked:
            self._locked.close()
        self._locked = None

    def add(self, answer: dict[str, Any]) -> None:
        """Append a line."""
        append(self.path, json.dumps(answer, ensure_ascii=False))
        if not self._locked:
            self._lock()
        self._count(answer)

    def has(self, item: BatchItem) -> bool:
        """Whether the question has a line; raise SetupError if that line answers another question."""
        checksum = self._checksums[item.line] if item.line < len(self._checksums) else 0
        if checksum not in (0, item.checksum):
            raise SetupError(f"{self.path} answers another question as line {item.line}: choose another OUT")
        return checksum != 0

    def _lock(self) -> None:
        """Lock the file if it exists."""
        if not self.path.exists():
            return
        self._locked = self.path.open("ab")
        if not try_lock(self._locked.fileno()):
            raise SetupError(
                f"{self.path} is in use under another name: wait for the other process, or choose another OUT"
            )

    def _lines(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        for number, line in complete_lines(self.path, repair=b'{"line": '):
            try:
                answer = json.loads(line)
                if not (answer["line"] > 0 and {"id", "question"} < answer.keys()):
                    raise ValueError(answer)
            except (ValueError, LookupError, TypeError, AttributeError):
                message = f"{self.path}, line {number}, is not an answer of a batch: delete it, or choose another OUT"
                raise SetupError(message) from None
            yield answer, line

    def _count(self, answer: dict[str, Any]) -> None:
        item = BatchItem(answer["line"], answer["id"], answer["question"])
        if (missing := item.line + 1 - len(self._checksums)) > 0:
            self._checksums.frombytes(bytes(missing * self._checksums.itemsize))
        self._checksums[item.line] = item.checksum
        self.counts[_outcome(answer)] += 1
        if usage := answer.get("usage"):
            cost = usage.get("cost_usd")
            self.total_tokens += usage.get("total_tokens", 0)
            self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost


def _outcome(answer: dict[str, Any]) -> str:
    return "failed" if "error" in answer else "degraded" if answer.get("stop_reason") == "error" else "answered"


class Questions:
    """IN, or shard (i, n) of it: every nth line from line i on. `invalid` counts the lines without a question."""

    def __init__(self, path: Path, shard: tuple[int, int], notify: Callable[[str], None]) -> None:
        """Raises SetupError: the file or the shard does not exist."""
        self.path, self.invalid = path, 0
        self._shard, self._notify = shard, notify
        if not 1 <= shard[0] <= shard[1]:
            raise SetupError(f"shard {shard[0]}/{shard[1]} does not exist: use 1/{shard[1]} to {shard[1]}/{shard[1]}")
        if not path.is_file():
            raise SetupError(f"{path} is not a file: name a JSONL file of questions, each line like {EXAMPLE}")

    def check_encoding(self) -> None:
        """Raise SetupError if the file is in UTF-16: then each of its lines would be reported."""
        with self.path.open("rb") as lines:
            refuse_utf16(self.path, lines.read(1000))

    def count(self) -> int:
        """Return the number of lines, blank ones included."""
        with self.path.open("rb") as lines:
            return sum(1 for _ in self._shard_lines(lines))

    def unanswered(self, answers: Answers) -> Generator[BatchItem | None]:
        """Yield the questions that have no answer yet; None after many lines, so that other tasks can run."""
        with self.path.open("rb") as lines:
            for count, (number, line) in enumerate(self._shard_lines(lines), 1):
                if count % _LINES_PER_YIELD == 0:
                    yield None
                if not line.strip():
                    continue
                try:
                    row = read_row(line, Row, EXAMPLE)
                except ValueError as error:
                    self.invalid += 1
                    if self.invalid <= _MAX_REPORTED_LINES:
                        self._notify(f"{self.path}, line {number}: {error}: skipped")
                    continue
                if not answers.has(item := BatchItem(number, row.id or str(number), row.question)):
                    yield item
        if self.invalid > _MAX_REPORTED_LINES:
            self._notify(f"{self.path}: skipped {self.invalid - _MAX_REPORTED_LINES:,} more invalid lines")

    def _shard_lines(self, lines: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
        index, count = self._shard
        for number, line in enumerate(lines, 1):
            if number % count == index % count:
                yield number, line.removeprefix(BOM) if number == 1 else line
