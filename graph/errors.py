"""The errors a caller may want to tell apart; every message names the value and the remedy."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the errors themselves need no package
    from pydantic import ValidationError


class LlamaberryError(RuntimeError):
    """The root of what Llamaberry raises by itself. LangGraph's server passes on the words of a RuntimeError only."""


class SetupError(LlamaberryError):
    """Something to put right before a model can be called: a key, a model's name, a package, a download."""


class ModelError(LlamaberryError):
    """The model was called and gave no usable reply; the provider's own exception is the `__cause__`.

    `retryable`: whether the same call may succeed when it is made again. `retry_after_s`: how many seconds the provider
    asked to wait before that.
    """

    def __init__(self, message: str, *, retryable: bool = False, retry_after_s: float = 0) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


def describe_validation_error(error: "ValidationError", names: Mapping[str, str]) -> str:
    """Return the first thing that is wrong with an input, in words.

    `names` says how the user wrote the fields of a Context; such a field is told with its value.
    """
    mistake = error.errors(include_url=False, include_context=False)[0]
    field = str(mistake["loc"][0]) if mistake["loc"] else ""
    told = mistake["msg"].removeprefix("Value error, ").replace("Input should", "it should").replace("String", "it")
    return f"{names[field]} {mistake['input']}: {told}" if field in names else told
