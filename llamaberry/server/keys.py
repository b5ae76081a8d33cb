"""Who may use the server: the caller with its one key (LLAMABERRY_API_KEY), and those of a file of keys.

LLAMABERRY_KEYS_FILE names a file with a line for each of several keys: the caller's name and the SHA-256 of the key. It
is read again when it changes. A caller of the file has threads of its own (auth.py); the caller with the one key sees
all. Keys are long random texts, so their plain hashes reveal nothing, and comparing hashes tells nothing about a key.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from llamaberry.graph.errors import SetupError

INVALID_KEY = 'the key is missing or wrong: send "Authorization: Bearer …" with a key of this server'
KEYS_FILE_ERROR = "the server's file of keys has an error, which its log names"
OWNER = "owner"
"""The name of the caller with LLAMABERRY_API_KEY, and of every caller of a server without keys."""
REPORT_S = 60.0

_LINE = re.compile(r"([A-Za-z0-9_-]{1,64})\s+([0-9a-fA-F]{64})")
_logger = logging.getLogger("llamaberry")


async def identify(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the name of the caller with these headers; None if the key is missing or wrong.

    LangGraph's SDK sends its `api_key` as `x-api-key`.

    Raises:
        SetupError: the file of keys cannot be read, or has an error.
    """
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    sent_key = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
    key, path = os.environ.get("LLAMABERRY_API_KEY", "").strip(), keys_file()
    if (not key and not path) or (key and hmac.compare_digest(sent_key, key.encode())):
        return OWNER
    if not path or not sent_key:
        return None
    names = await asyncio.to_thread(read_keys, path)
    return names.get(hashlib.sha256(sent_key).hexdigest())


def keys_file() -> str:
    """Return LLAMABERRY_KEYS_FILE, empty if there is none."""
    return os.environ.get("LLAMABERRY_KEYS_FILE", "").strip()


def check_keys_file() -> None:
    """Raise SetupError, as `read_keys` does, if there is a file of keys and it has an error."""
    if path := keys_file():
        read_keys(path)


def read_keys(path: str) -> dict[str, str]:
    """Return the names of the callers by the hashes of their keys.

    Raises:
        SetupError: the file cannot be read, or has an error; the message names the line.
    """
    try:
        status = os.stat(path)
        return _read(path, (status.st_mtime_ns, status.st_size, status.st_ino))
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"LLAMABERRY_KEYS_FILE {path} cannot be read: {error}") from error


@lru_cache(maxsize=1)
def _read(path: str, _version: tuple[int, int, int]) -> dict[str, str]:
    names: dict[str, str] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if not match:  # the line is not shown: it may hold a key itself
            problem = "is not a name (letters, digits, - and _), a space and a SHA-256 in 64 hexadecimal digits"
        elif match[1] == OWNER:
            problem = f"has the name {OWNER!r}, which is that of LLAMABERRY_API_KEY: choose another"
        elif match[1] in names.values() or match[2].lower() in names:
            problem = "repeats a name or a key of a line before it"
        else:
            names[match[2].lower()] = match[1]
            continue
        raise SetupError(f"LLAMABERRY_KEYS_FILE {path}, line {number}, {problem}")
    if not names:
        raise SetupError(f"LLAMABERRY_KEYS_FILE {path} has no key: add one, or unset the variable")
    return names


class FailedLogins:
    """Logs requests with a wrong key: at most one line per REPORT_S, with their number."""

    def __init__(self) -> None:
        self._number = 0
        self._reported_at = -REPORT_S

    def count(self) -> None:
        """Count one."""
        self._number += 1
        if time.monotonic() - self._reported_at >= REPORT_S:
            _logger.warning("requests without the right key: %d", self._number)
            self._number, self._reported_at = 0, time.monotonic()
