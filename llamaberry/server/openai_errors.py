"""Errors in OpenAI's form, with the messages of the command line."""

import math
from collections.abc import Mapping

from pydantic import ValidationError
from starlette.responses import JSONResponse

from llamaberry.graph.errors import LlamaberryError, ModelError, describe_validation_error

_BAD_REQUEST_STATUS = (400, 413, 422)  # the provider rejected this request; another one may succeed


def error_response(
    status: int, message: str, *, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an error in OpenAI's form; `param` is the field of the request that it is about."""
    kind = "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    # The graph has already retried: each retry of the client would repeat the whole run.
    return JSONResponse({"error": error}, status, {"x-should-retry": "false", **(headers or {})})


def validation_error_response(error: ValidationError, names: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the first error in a request; if its Context is invalid, `names` maps the settings to its fields."""
    names = names or {}
    location = [str(part) for part in error.errors(include_url=False)[0]["loc"][:3]]
    param = ".".join(names.get(part, part) for part in location) or None
    message = describe_validation_error(error, names)
    message = message if names else f"{param or 'the body'}: {message}"
    return error_response(400, message, code="invalid_request", param=param)


def run_error_response(error: LlamaberryError) -> JSONResponse:
    """Return the error of a run that failed."""
    if not isinstance(error, ModelError):
        return error_response(503, str(error), code="not_set_up")
    headers = {"retry-after": str(math.ceil(error.retry_after_s))} if error.retry_after_s else {}
    status = getattr(error.__cause__, "status_code", None)
    if status == 429:
        return error_response(429, str(error), code="rate_limit_exceeded", headers=headers)
    return error_response(
        400 if status in _BAD_REQUEST_STATUS else 502, str(error), code="model_failed", headers=headers
    )
