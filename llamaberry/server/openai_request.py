"""A chat completion request of OpenAI's API, and the graph's input and context that it stands for."""

from typing import Any, Literal

from pydantic import BaseModel, ValidationInfo, field_validator

from llamaberry.graph.context import Context
from llamaberry.presets import PRESETS

MODELS = {"llamaberry" if name == "standard" else f"llamaberry-{name}": preset for name, preset in PRESETS.items()}
_SUPPORTED = {"n": (None, 1), "response_format": (None, "text"), "tool_choice": (None, "none", "auto")}
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""The roles that the graph sees, as every model knows them. Tools' messages are dropped: the graph calls no tools."""


class ChatMessage(BaseModel):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    """What a stream contains besides the answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The fields that have an effect. Others are ignored, except those that ask for another kind of answer."""

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: Any = None
    response_format: Any = None
    tool_choice: Any = None

    @field_validator(*_SUPPORTED)
    @classmethod
    def _check_supported(cls, value: Any, info: ValidationInfo) -> Any:
        kind = value.get("type") if isinstance(value, dict) else value
        if kind not in _SUPPORTED[info.field_name or ""]:
            raise ValueError(f"{kind!r} is not supported: leave it out")
        return value

    @property
    def field_names(self) -> dict[str, str]:
        """The request's field for each setting."""
        limit = "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"
        return {"temperature": "temperature", "max_tokens": limit}

    @property
    def context(self) -> Context:
        """The preset with the settings of the request; raises ValidationError if one is out of bounds."""
        settings = {setting: getattr(self, field) for setting, field in self.field_names.items()}
        changes = {setting: value for setting, value in settings.items() if value is not None}
        return Context(**MODELS[self.model].context.model_dump() | changes)

    @property
    def conversation(self) -> list[dict[str, Any]]:
        """The messages in the graph's form."""
        return [
            {"role": _ROLES[message.role], "content": message.content}
            for message in self.messages
            if message.role in _ROLES and message.content is not None
        ]
