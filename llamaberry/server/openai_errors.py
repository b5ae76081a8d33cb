"""Errors in OpenAI's form, with the messages of the command line."""

import logging
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError
from starlette.responses import JSONResponse

from llamaberry.graph.errors import LlamaberryError, ModelError, describe_validation_error

_logger = logging.getLogger("llamaberry")
_BAD_REQUEST_STATUS = (400, 413, 422)  # the provider rejected this request; another one may succeed


class InvalidRequestError(ValueError):
    """A request that cannot be used. `param` is the field, such as "messages.0.content"; None is the whole body."""

    def __init__(self, param: str | None, message: str) -> None:
        super().__init__(f"{param or 'the body'}: {message}")
        self.param = param


class ApiError(NamedTuple):
    """An error as OpenAI's clients read it; `param` is the field of the request that it is about."""

    status: int
    message: str
    code: str
    param: str | None = None
    headers: Mapping[str, str] = {}

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object that says so."""
        status = self.status
        kind = "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """Return the response."""
        # The graph has already retried: each retry of the client would repeat the whole run.
        return JSONResponse(self.body, self.status, {"x-should-retry": "false", **self.headers})


def to_api_error(error: Exception) -> ApiError:
    """Return the error of a request that failed with this exception; if it is a bug, only the log has the details."""
    if isinstance(error, InvalidRequestError):
        return ApiError(400, str(error), "invalid_request", error.param)
    if isinstance(error, ValidationError):
        return _validation_error(error)
    if isinstance(error, ModelError):
        return _model_error(error)
    if isinstance(error, LlamaberryError):
        return ApiError(503, str(error), "not_set_up")
    _logger.error("the OpenAI-compatible API failed", exc_info=error)
    return ApiError(500, "the server failed: see its log", "internal")


def _validation_error(error: ValidationError) -> ApiError:
    """Return the first error in the fields of a request."""
    problem = error.errors(include_url=False)[0]
    param = ".".join(str(part) for part in problem["loc"][:3]) or None
    value = f" {problem['input']}" if problem["type"] in ("greater_than_equal", "less_than_equal") else ""
    return ApiError(
        400, f"{param or 'the body'}{value}: {describe_validation_error(error, {})}", "invalid_request", param
    )


def _model_error(error: ModelError) -> ApiError:
    headers = {"retry-after": str(math.ceil(error.retry_after_s))} if error.retry_after_s else {}
    status = getattr(error.__cause__, "status_code", None)
    if status == 429:
        return ApiError(429, str(error), "rate_limit_exceeded", headers=headers)
    return ApiError(400 if status in _BAD_REQUEST_STATUS else 502, str(error), "model_failed", headers=headers)
