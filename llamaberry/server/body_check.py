"""What a body may hold, on every route: so much that it stops the server for a moment at most, and settings that exist.

LangGraph drops unknown settings in silence, and counts nothing.
"""

import asyncio
import difflib
import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError, describe_validation_error
from llamaberry.graph.state import MAX_MESSAGES
from llamaberry.models.limits import check_limits
from llamaberry.server.openai_errors import ApiError

MAX_VALUES = 20_000
"""Values of a JSON body, nested ones included. A value costs memory and time in each step that reads the input."""
MAX_LIST = MAX_MESSAGES
"""Elements of one list, such as the messages of an input, before LangChain makes objects of them."""
MAX_SETTINGS = 100
"""Keys of a context or a configurable."""
PIECE_BYTES = 250_000
GRAPH = "llamaberry"

_FIELDS = list(Context.model_fields)


async def check_body(path: str, body: bytes) -> ApiError | None:
    """Return the error of a JSON body; None if it has none. Between pieces of a large one, other requests are served.

    The APIs below /v1 check their own fields, and the store may hold any list.
    """
    number = 0
    for more in count_values(body):
        if (number := number + more) > MAX_VALUES:
            return ApiError(413, f"the body has more than {MAX_VALUES:,} values, the limit of this server", "too_large")
        await asyncio.sleep(0)
    if f"{path}/".startswith("/v1/") or not body.strip():
        return None
    try:
        request = from_json(body)
    except ValueError as error:
        return ApiError(400, f"the body is not JSON: {error}", "invalid_request")
    await asyncio.sleep(0)
    if not path.startswith("/store/") and (length := _longest_list(request)) > MAX_LIST:
        return ApiError(413, f"a list in the body has {length:,} elements: the limit is {MAX_LIST:,}", "too_large")
    return _check_runs(request)


def count_values(body: bytes) -> Iterator[int]:
    """Yield about how many values each piece of a JSON text has, from its delimiters outside of strings."""
    start, in_string = 0, 0
    while start < len(body):
        piece = body[start : start + PIECE_BYTES]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # it would end in the middle of an escape
            piece = body[start : start + PIECE_BYTES + 1]
        start += len(piece)
        texts = piece.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        outside = b"".join(texts[in_string::2])
        in_string = (in_string + len(texts) - 1) % 2
        yield sum(map(outside.count, (b",", b"[", b"{")))


def _longest_list(value: Any) -> int:
    longest, stack = 0, [value]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            longest = max(longest, len(value))
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        stack += [child for child in children if isinstance(child, dict | list)]
    return longest


def _check_runs(request: Any) -> ApiError | None:
    """Return the error of the first wrong setting in a request for a run, an assistant or a cron job, or several.

    MCP, A2A and thread commands have theirs in `params`.
    """
    for item in request if isinstance(request, list) else [request]:
        for place in (item, item.get("params")) if isinstance(item, dict) else ():
            if isinstance(place, dict) and _is_for_this_graph(place):
                config = place.get("config")
                configurable = config.get("configurable") if isinstance(config, dict) else None
                error = _check_settings("context", place.get("context"), strict=True) or _check_settings(
                    "config.configurable", configurable, strict=False
                )
                if error:
                    return error
    return None


def _is_for_this_graph(request: dict[str, Any]) -> bool:
    """Return whether a request may be for this graph: an operator may serve others, with settings of their own."""
    name = request.get("graph_id") or request.get("assistant_id")
    try:
        uuid.UUID(str(name))
    except ValueError:
        if name:
            return bool(name == GRAPH)
    served = os.environ.get("LANGSERVE_GRAPHS")
    return not served or set(json.loads(served)) <= {GRAPH}


def _check_settings(param: str, settings: Any, *, strict: bool) -> ApiError | None:
    """Return the error of a caller's settings.

    A `configurable` also has LangGraph's own keys and those of a parent graph: only what looks like a misspelt setting
    is refused there.
    """
    if not isinstance(settings, dict):
        return None
    if len(settings) > MAX_SETTINGS:
        return _invalid(param, f"it has {len(settings):,} keys: the limit is {MAX_SETTINGS}")
    for name in settings.keys() - _FIELDS:
        similar = difflib.get_close_matches(name[:100], _FIELDS, 1, 0.8)
        if strict or similar:
            hint = f"did you mean {similar[0]}?" if similar else f"the settings are {', '.join(_FIELDS)}"
            return _invalid(f"{param}.{name[:100]}", f"there is no such setting; {hint}")
    try:
        check_limits(Context.model_validate({name: settings[name] for name in settings.keys() & _FIELDS}))
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        value = repr(settings[field])[:100]
        return _invalid(f"{param}.{field}", f"{value} is refused: {describe_validation_error(error, {})}")
    except SetupError as error:
        return _invalid(param, str(error))
    return None


def _invalid(param: str, message: str) -> ApiError:
    return ApiError(400, f"{param}: {message}", "invalid_settings", param)
