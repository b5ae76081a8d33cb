"""JSON Lines files: questions to read, results to append, and a lock that keeps other processes out."""

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from llamaberry import file_lock
from llamaberry.folders import open_private
from llamaberry.graph.errors import SetupError
from llamaberry.graph.state import MAX_QUERY_CHARS

BOM = b"\xef\xbb\xbf"
_BEGINNING = 200  # bytes of a file that show its encoding


class Row(BaseModel):
    """A line with a question. Without an id, the caller uses the line's number."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, str_strip_whitespace=True)

    question: str = Field(min_length=1, max_length=MAX_QUERY_CHARS)
    id: str | None = Field(default=None, min_length=1)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_nan(cls, value: Any) -> Any:
        """Refuse NaN and infinity, which JSON does not have, instead of asking about "nan"."""
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is no text and no number")
        return value


RowT = TypeVar("RowT", bound=Row)


def read_row(line: bytes, kind: type[RowT], example: str) -> RowT:
    """Parse a line; error messages show `example` as a valid one.

    Raises:
        ValueError: the line is invalid; the message says why.
    """
    try:
        return kind.model_validate_json(line.decode())
    except UnicodeDecodeError:
        raise ValueError("not text in UTF-8") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        if not problem["loc"]:
            raise ValueError(f"{problem['msg']}: write it like {example}") from None
        raise ValueError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None


def refuse_utf16(path: Path, beginning: bytes) -> None:
    """Raise SetupError if a file begins like one in UTF-16 or UTF-32, in which no line could be read."""
    beginning = beginning[:_BEGINNING]
    if beginning.count(0) * 4 > len(beginning):  # in JSON, every second byte of UTF-16 or more
        raise SetupError(f"{path} is text in UTF-16, or no text: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)")


def complete_lines(path: Path, *, repair: bytes | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each line; nothing if the file does not exist.

    An incomplete last line, which a killed process leaves, is skipped. With `repair`, the bytes that every line of the
    file begins with, it is removed from the file.

    Raises:
        SetupError: the incomplete line does not begin with `repair`.
    """
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.endswith(b"\n"):
                yield number, line
            elif repair:
                if line[: len(repair)] != repair[: len(line)]:
                    raise SetupError(f"{path}, line {number}, has an unknown format: delete the line, or the file")
                os.truncate(path, path.stat().st_size - len(line))


def append(path: Path, line: str) -> None:
    """Append a line. It survives a kill of this process, but not a power failure."""
    with open_private(path, "ab") as lines:
        lines.write(f"{line}\n".encode(errors="replace"))  # a reply may contain a lone surrogate


@contextmanager
def exclusive_lock(lock: Path, path: Path, option: str) -> Iterator[None]:
    """Keep other processes from writing `path` until the block ends or this process dies.

    Raises:
        SetupError: another process holds the lock (the message suggests another `option`), or the block fails to read
            or write a file.
    """
    try:
        descriptor = file_lock.acquire(lock)
        if descriptor is None:
            raise SetupError(f"{path} is in use: wait for the other process, or choose another {option}")
        try:
            yield
        finally:
            file_lock.release(lock, descriptor)
    except (OSError, sqlite3.Error) as error:
        raise SetupError(f"{path} cannot be used ({error}): fix that, and run the same command again") from error
