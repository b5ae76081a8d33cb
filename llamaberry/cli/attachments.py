"""What a question of the command line brings with it: text files and images."""

import base64
import mimetypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llamaberry.folders import expand_user
from llamaberry.graph.errors import SetupError

MAX_IMAGE_BYTES = 20_000_000
"""Larger images are refused by the providers."""


def graph_input(question: str, files: Sequence[str] = (), images: Sequence[str] = ()) -> dict[str, Any]:
    """Return the graph's input: the question, below it each text file in a fence, and the images as content parts.

    `files` are paths, `images` are paths or http(s) URLs. A message's id is set here: the graph's state and a run that
    continues in memory know it by that.

    Raises:
        SetupError: a file cannot be read, is not text in UTF-8, or is not an image.
    """
    from langsmith import uuid7

    text = "\n\n".join([question, *(_fenced(name) for name in files)])
    if not images:
        return {"query": text}
    parts = [{"type": "text", "text": text}, *({"type": "image_url", "image_url": {"url": _url(i)}} for i in images)]
    return {"messages": [{"type": "human", "content": parts, "id": str(uuid7())}]}


def _fenced(name: str) -> str:
    try:
        text = _read(name, "--file").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SetupError(f"--file {name}: it is not text in UTF-8: save it as UTF-8, or pass --image") from error
    if "\0" in text:
        raise SetupError(f"--file {name}: it is not text: pass images with --image")
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{os.path.basename(name)}:\n\n{fence}\n{text.rstrip()}\n{fence}"


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
