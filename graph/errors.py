"""The errors that a caller may want to tell apart. Every message names the value and the remedy."""

from collections.abc import Mapping
from textwrap import shorten
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the errors themselves need no package
    from pydantic import ValidationError


class LlamaberryError(RuntimeError):
    """The base class. It is a RuntimeError because LangGraph's server shows clients only the messages of those."""


class SetupError(LlamaberryError):
    """Something to fix before a model can be called: a key, a model's name, a package, a download."""


class ModelError(LlamaberryError):
    """The model was called and gave no usable reply; the provider's exception is the `__cause__`.

    `retryable`: whether the same call may succeed later. `retry_after_s`: the seconds that the provider asked to wait.
    """

    def __init__(self, message: str, *, retryable: bool = False, retry_after_s: float = 0) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


def describe_validation_error(error: "ValidationError", names: Mapping[str, str]) -> str:
    """Return the first problem of an input, in words.

    `names` maps fields of a Context to the names that the user knows; a message about one starts with it and its value.
    """
    problem = error.errors(include_url=False, include_context=False)[0]
    field = str(problem["loc"][0]) if problem["loc"] else ""
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "it should").replace("String", "it")
    return f"{names[field]} {shorten(str(problem['input']), 80)}: {message}" if field in names else message
