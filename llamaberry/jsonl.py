"""Files of JSON lines: questions that are read, results that only grow, and a lock that keeps other processes out."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llamaberry.graph.errors import SetupError
from llamaberry.graph.state import MAX_QUERY_CHARS

BOM = b"\xef\xbb\xbf"


class Row(BaseModel):
    """A line that asks: a question; the id is the line's number where none is given."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, str_strip_whitespace=True)

    question: str = Field(min_length=1, max_length=MAX_QUERY_CHARS)
    id: str | None = Field(default=None, min_length=1)


RowT = TypeVar("RowT", bound=Row)


def read_row(line: bytes, kind: type[RowT], example: str) -> RowT:
    """Read a line; `example` is one that would do.

    Raises:
        ValueError: what is wrong with it, in words.
    """
    try:
        said = json.loads(line.decode())
    except UnicodeDecodeError:
        raise ValueError("not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON that can be read (it is nested too deep)") from None
    if not isinstance(said, dict):
        raise ValueError(f"no JSON object like {example}")
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, wrong['loc'])) or 'the line'}: {wrong['msg']}") from None


def whole_lines(path: Path, *, cut: bytes | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, which need not be there yet, with their numbers.

    The half of a line that a killed process has left is none. It is `cut` off where that says how our lines begin.

    Raises:
        SetupError: the half of a line is none of ours.
    """
    if not path.exists():
        return
    with path.open("rb") as lines:
        for place, line in enumerate(lines, 1):
            if line.endswith(b"\n"):
                yield place, line
            elif cut:
                if line[: len(cut)] != cut[: len(line)]:
                    raise SetupError(f"{path} ends in what none of ours would: delete line {place}, or the file")
                os.truncate(path, path.stat().st_size - len(line))


def append(path: Path, line: str) -> None:
    """Add a line: from then on it outlives this process, though not the machine."""
    with path.open("ab") as lines:
        lines.write(f"{line}\n".encode(errors="replace"))  # a reply may hold half a character


@contextmanager
def exclusive_lock(lock: Path, path: Path, other: str) -> Iterator[None]:
    """Keep other processes out of `path`, which would ask everything again, for as long as this process lives.

    Raises:
        SetupError: one is there already (the remedy is to choose another `other`), or `path` can't be used; also where
            that shows within the block.
    """
    try:
        with closing(sqlite3.connect(lock, timeout=0, isolation_level=None)) as held:
            try:
                held.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                told = f"{path} is in use ({error}): wait for the other process, or choose another {other}"
                raise SetupError(told) from None
            yield
    except (OSError, sqlite3.Error) as error:
        raise SetupError(f"{path} cannot be used ({error}): put it right, and the same command goes on") from error
