"""What OpenAI's clients are told when something goes wrong: their form of an error, and the command line's words."""

import logging
import math
from collections.abc import Mapping

from pydantic import ValidationError
from starlette.responses import JSONResponse

from llamaberry.graph.errors import ModelError, SetupError, describe_validation_error

_ASKED_WRONG = (400, 413, 422)  # a provider's answer that is about the question: another one may pass
_logger = logging.getLogger("llamaberry")


def refused(
    status: int,
    message: str,
    *,
    code: str,
    kind: str = "invalid_request_error",
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return an error in OpenAI's form; `kind` is its "type", `param` the field that it is about."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return JSONResponse({"error": error}, status, headers)


def mistaken(error: ValidationError, names: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the first mistake in a request. `names`: what the client called the dials; without, no dial is meant."""
    names = names or {}
    place = [str(part) for part in error.errors(include_url=False)[0]["loc"][:3]]
    param = ".".join(names.get(part, part) for part in place) or None
    told = describe_validation_error(error, names)
    return refused(400, told if names else f"{param or 'the body'}: {told}", code="invalid_request", param=param)


def failed(error: Exception) -> JSONResponse:
    """Return what went wrong in a run.

    The graph has tried again where that could help: a client's own attempts, each of a whole run, would multiply.
    """
    headers = {"x-should-retry": "false"}
    if isinstance(error, SetupError):
        return refused(503, str(error), kind="server_error", code="not_set_up", headers=headers)
    if not isinstance(error, ModelError):
        _logger.error("the OpenAI door failed", exc_info=error)
        return refused(500, "the server failed: see its log", kind="server_error", code="internal", headers=headers)
    if error.retry_after_s:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    status = getattr(error.__cause__, "status_code", None)
    if status == 429:
        return refused(429, str(error), kind="rate_limit_error", code="rate_limit_exceeded", headers=headers)
    if status in _ASKED_WRONG:
        return refused(400, str(error), code="model_failed", headers=headers)
    return refused(502, str(error), kind="server_error", code="model_failed", headers=headers)
