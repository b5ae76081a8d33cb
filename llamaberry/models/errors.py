"""What a failed call means: in words with the remedy, whether it may pass, and how long the provider asks to wait."""

import time
from email.utils import parsedate_to_datetime

import httpx

from llamaberry.graph.errors import ModelError
from llamaberry.models.guard import redact

# Time-outs, locks, rate limits, a provider out of capacity or in trouble. What else is refused stays refused.
RETRYABLE_STATUS = {408, 409, 429, 498, *range(500, 600)}
_REMEDIES = {
    400: "the request was refused",
    401: "the key was refused: check {key}",
    403: "the key may not use this model: check {key}, and what its account may do",
    404: "there is no such model: check its name",
    413: "the request is over the account's limit: lower max_tokens (--max-tokens), or ask less at once",
    422: "the request could not be taken",
    429: "the rate limit is used up",
    498: "there is no capacity for now: try again later",
}


def to_model_error(
    error: Exception, provider: str, name: str, timeout_s: float, secrets: tuple[str, ...]
) -> ModelError:
    """Return what failed and what to do, in a line, without any of `secrets`. `timeout_s` is the call's limit."""
    model = f"{provider}:{name}"
    if isinstance(error, TimeoutError | httpx.TimeoutException) or isinstance(error.__cause__, httpx.TimeoutException):
        # A slow local model is as slow the next time.
        words = f"{model} gave no whole reply within {timeout_s:g} s: allow more with turn_timeout_s (--turn-timeout)"
        return ModelError(words, retryable=provider != "local")
    told = _provider_message(error, secrets)
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        # A stream that is cut or empty, an error event in it, broken JSON or none of a reply's shape.
        unheard = isinstance(error, httpx.TransportError) or isinstance(error.__cause__, httpx.TransportError)
        unread = isinstance(error, ValueError | TypeError | LookupError | AttributeError)
        retryable = unheard or unread or hasattr(error, "request")
        words = "cannot be reached, or broke off" if unheard else "sent what is no reply" if unread else "failed"
        return ModelError(f"{model} {words} ({type(error).__name__}: {told})", retryable=retryable)
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    remedy = _REMEDIES.get(status, "the provider is in trouble: try again later" if status >= 500 else "refused")
    wait = _retry_after(headers.get("retry-after", ""))
    if wait:
        remedy += f": it asks to wait {wait:g} s"
    return ModelError(
        f"{model} answered {status}: {remedy.format(key=f'{provider.upper()}_API_KEY')} ({told})",
        retryable=status in RETRYABLE_STATUS and headers.get("x-should-retry") != "false",
        retry_after_s=wait,
    )


def _provider_message(error: Exception, secrets: tuple[str, ...]) -> str:
    """The provider's own words, in one line of at most 300 characters."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else None
    told = "".join(sign for sign in " ".join(str(said or error).split()) if sign.isprintable()) or type(error).__name__
    told = redact(told, secrets)
    return told if len(told) <= 300 else f"{told[:299]}…"


def _retry_after(header: str) -> float:
    """Seconds that a `retry-after` header asks for: a number, or a date; 0 where it says neither."""
    try:
        return min(max(0.0, float(header)), 1e6)
    except ValueError:
        pass
    try:
        return max(0.0, round(parsedate_to_datetime(header).timestamp() - time.time(), 1))
    except ValueError:
        return 0.0
