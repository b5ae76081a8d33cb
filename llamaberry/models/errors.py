"""A failed model call as a ModelError: the cause and the remedy in one line, and whether a retry may help."""

import time
from email.utils import parsedate_to_datetime

from llamaberry.graph.errors import ModelError
from llamaberry.models import connection_errors
from llamaberry.models.guard import redact
from llamaberry.models.network import Route

RETRYABLE_STATUS = {408, 409, 429, 498, *range(500, 600)}
"""Timeouts, locks, rate limits, and a provider without capacity or in trouble. Other refusals are final."""

_REPLY_CODES = {
    "tool_use_failed": "its reply calls a tool that nobody offered",
    "json_validate_failed": "its reply is not the JSON that it should be",
    "output_parse_failed": "its reply cannot be read",
}
"""The codes of a 4xx answer that blames the sampled reply, not the request: the next sample may be better."""
_USED_UP_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
"""The codes of a 429 that a wait does not cure."""
FIXABLE_STATUS = {401, 403, 404}
"""The key or the model's name is wrong: the user has to correct it."""
NO_ROUTE = Route("")

_MAX_MESSAGE_CHARS = 300  # of the provider's own message
_REMEDIES = {
    400: "the request was refused",
    401: "the key was refused: check {key}",
    403: "the key may not use this model: check {key}, and what its account may do",
    404: "there is no such model: check its name",
    413: "the request is over the account's limit: lower max_tokens (--max-tokens), or send less at once",
    422: "the request could not be processed",
    429: "the rate limit is used up",
    498: "there is no capacity for now: try again later",
}


def status_of(error: ModelError) -> int | None:
    """Return the HTTP status of the provider's answer; None if it gave none."""
    status = getattr(error.__cause__, "status_code", None)
    return status if isinstance(status, int) else None


def to_model_error(
    error: Exception,
    model: str,
    timeout_s: float,
    secrets: tuple[str, ...],
    route: Route = NO_ROUTE,
    *,
    is_object: bool = False,
) -> ModelError:
    """Return a ModelError for what the SDK of `model` ("provider:name") raised; `secrets` are redacted.

    `route` is how the provider is reached. `is_object`: the model is an object of the caller's, with its own key.
    """
    provider = model.partition(":")[0]
    details = _provider_message(error, secrets)
    if is_object and not isinstance(error, TimeoutError) and connection_errors.is_read_timeout(error):
        return ModelError(f"{model} gave no complete reply within the timeout of its object", retryable=True)
    if unreachable := _unreachable(error, model, timeout_s, route):
        return unreachable
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        # An empty stream, broken JSON, or JSON that has not the shape of a reply; or a message that cannot be sent, for
        # example with a kind of file that the provider's package does not know.
        malformed = isinstance(error, ValueError | TypeError | LookupError | AttributeError)
        sdk_error = hasattr(error, "request")  # such as an error event in a stream
        message = f"{model} {'gave no readable reply' if malformed else 'failed'} ({type(error).__name__}: {details})"
        return ModelError(message, retryable=malformed or sdk_error)
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    code = _code(error)
    if code in _REPLY_CODES:
        message = f"{model} answered {status}: {_REPLY_CODES[code]}: try again, or another model ({details})"
        return ModelError(message, retryable=True)
    remedy = _REMEDIES.get(status, "the provider is in trouble: try again later" if status >= 500 else "refused")
    remedy = remedy.format(key="that of its object" if is_object else f"{provider.upper()}_API_KEY")
    if code in _USED_UP_CODES:
        remedy = "the account has nothing left: check its plan and billing"
    retry_after_s = _retry_after(headers.get("retry-after", ""))
    if retry_after_s:
        remedy += f": it asks to wait {retry_after_s:g} s"
    return ModelError(
        f"{model} answered {status}: {remedy} ({details})",
        retryable=status in RETRYABLE_STATUS
        and code not in _USED_UP_CODES
        and headers.get("x-should-retry") != "false",
        retry_after_s=retry_after_s,
    )


def _code(error: Exception) -> str:
    """Return the code in the provider's answer; "" if it has none."""
    body = getattr(error, "body", None)
    details = body.get("error", body) if isinstance(body, dict) else None
    return str(details.get("code") or details.get("type") or "") if isinstance(details, dict) else ""


def _unreachable(error: Exception, model: str, timeout_s: float, route: Route) -> ModelError | None:
    """Return the error of a call without a reply: a timeout, or a connection that failed. None if there was a reply."""
    if isinstance(error, TimeoutError) or connection_errors.is_read_timeout(error):
        if model.startswith("local:"):  # a model that is stuck would be as stuck the next time
            message = f"{model} wrote nothing for {timeout_s:g} s: allow more with turn_timeout_s (--turn-timeout)"
            return ModelError(f"{message}, or use a machine that is less busy")
        message = f"{model} gave no complete reply within {timeout_s:g} s"
        return ModelError(f"{message}: allow more with turn_timeout_s (--turn-timeout)", retryable=True)
    if failure := connection_errors.explain(error, route):
        verb = "broke off" if failure.connected else "cannot be reached"
        return ModelError(f"{model} {verb}: {failure.message}", retryable=failure.retryable)
    status = getattr(error, "status_code", None)
    text = f"{error} {getattr(error, 'body', '')}"
    if isinstance(status, int) and (cause := connection_errors.describe_status(status, text, route)):
        return ModelError(f"{model} cannot be reached: {cause}")
    return None


def _provider_message(error: Exception, secrets: tuple[str, ...]) -> str:
    """Return the provider's own message in one line, redacted and cut to _MAX_MESSAGE_CHARS."""
    body = getattr(error, "body", None)
    details = body.get("error", body) if isinstance(body, dict) else None
    text = " ".join(str((isinstance(details, dict) and details.get("message")) or error).split())
    text = redact("".join(char for char in text if char.isprintable()) or type(error).__name__, secrets)
    return text if len(text) <= _MAX_MESSAGE_CHARS else f"{text[: _MAX_MESSAGE_CHARS - 1]}…"


def _retry_after(header: str) -> float:
    """Return the seconds that a `retry-after` header (a number or a date) asks for; 0 if it cannot be read."""
    try:
        return min(max(0.0, float(header)), 1e6)
    except ValueError:
        pass
    try:
        return max(0.0, round(parsedate_to_datetime(header).timestamp() - time.time(), 1))
    except ValueError:
        return 0.0
