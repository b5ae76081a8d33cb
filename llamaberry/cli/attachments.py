"""What a question of the command line brings with it: text files and images."""

import base64
import io
import mimetypes
import os
import select
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llamaberry.folders import expand_user
from llamaberry.graph.errors import SetupError

MAX_IMAGE_BYTES = 20_000_000
"""Larger images are refused by the providers."""
PIPE_WAIT_S = 0.2


def graph_input(
    question: str, files: Sequence[str] = (), images: Sequence[str] = (), *, piped: str = ""
) -> dict[str, Any]:
    """Return the graph's input: the question, below it each text in a fence, and the images as content parts.

    `piped` is a text from standard input, `files` are paths, `images` are paths or http(s) URLs. A message's id is set
    here: the graph's state and a run that continues in memory know it by that.

    Raises:
        SetupError: a file cannot be read, is not text in UTF-8, or is not an image.
    """
    from langsmith import uuid7

    texts = [("standard input", piped)] if piped.strip() else []
    texts += [(os.path.basename(name), _read_text(name)) for name in files]
    text = "\n\n".join([question, *(_fenced(name, content) for name, content in texts)])
    if not images:
        return {"query": text}
    parts = [{"type": "text", "text": text}, *({"type": "image_url", "image_url": {"url": _url(i)}} for i in images)]
    return {"messages": [{"type": "human", "content": parts, "id": str(uuid7())}]}


def read_pipe() -> str:
    """Return what was piped or redirected to standard input; nothing if it is a terminal or a device.

    An open pipe without a text is not waited for: the process that started this one may keep it open to the end.

    Raises:
        SetupError: it is not text.
    """
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
        if stat.S_ISFIFO(mode) and not select.select([sys.stdin], [], [], PIPE_WAIT_S)[0]:
            return ""
    except (OSError, ValueError):  # closed, or on Windows a pipe
        return ""
    return read_text() if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) else ""


def read_text(*, line: bool = False) -> str:
    """Return what is left of standard input, or its next `line`, without a byte-order mark.

    Raises:
        SetupError: it is not text.
    """
    if isinstance(sys.stdin, io.TextIOWrapper) and sys.stdin.errors != "strict":  # not possible after the first read
        sys.stdin.reconfigure(errors="strict")
    try:
        text = sys.stdin.readline() if line else sys.stdin.read()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SetupError("standard input is not text in UTF-8: save it as UTF-8, and ask again")
    return text.removeprefix("\ufeff")


def _fenced(name: str, text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{name}:\n\n{fence}\n{text.rstrip()}\n{fence}"


def _read_text(name: str) -> str:
    try:
        text = _read(name, "--file").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SetupError(f"--file {name}: it is not text in UTF-8: save it as UTF-8, or pass --image") from error
    if "\0" in text:
        raise SetupError(f"--file {name}: it is not text: pass images with --image")
    return text


def _url(name: str) -> str:
    """Return the URL of an image: its own, or that of a file's content."""
    if urlsplit(name).scheme in ("http", "https", "data"):
        return name
    data = _read(name, "--image")
    kind = mimetypes.guess_type(name)[0] or ""
    if not kind.startswith("image/"):
        raise SetupError(f"--image {name}: its name does not end like an image's (.png, .jpg, .webp, .gif)")
    if len(data) > MAX_IMAGE_BYTES:
        raise SetupError(
            f"--image {name}: it has {len(data):,} bytes, the limit is {MAX_IMAGE_BYTES:,}: make it smaller"
        )
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _read(name: str, option: str) -> bytes:
    try:
        return expand_user(Path(name), option).read_bytes()
    except OSError as error:
        raise SetupError(f"{option} {name}: it cannot be read ({error.strerror})") from error
