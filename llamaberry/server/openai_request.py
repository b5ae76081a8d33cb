"""What OpenAI's clients ask, as what the graph takes: a preset with its dials, and a conversation."""

from typing import Any, Literal

from pydantic import BaseModel, ValidationInfo, field_validator

from llamaberry.graph.context import Context
from llamaberry.presets import PRESETS

MODELS = {"llamaberry" if name == "standard" else f"llamaberry-{name}": dials for name, dials in PRESETS.items()}
_OFFERED = {"n": (None, 1), "response_format": (None, "text"), "tool_choice": (None, "none", "auto")}


class Said(BaseModel):
    """A message of the conversation. What tools were asked and said is left out: the graph thinks, and calls none."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    """What a stream tells beside the answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The fields of a request that count here. Others are ignored, but for those that would get another answer."""

    model: str
    messages: list[Said]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: Any = None
    response_format: Any = None
    tool_choice: Any = None

    @field_validator(*_OFFERED)
    @classmethod
    def _is_offered(cls, value: Any, info: ValidationInfo) -> Any:
        kind = value.get("type") if isinstance(value, dict) else value
        if kind not in _OFFERED[info.field_name or ""]:
            raise ValueError(f"{kind!r} is not to be had here: leave it out")
        return value

    @property
    def names(self) -> dict[str, str]:
        """What the client calls the dials."""
        limit = "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"
        return {"temperature": "temperature", "max_tokens": limit}

    @property
    def context(self) -> Context:
        """The preset, with the dials that the request turns. Raises ValidationError where one is out of its bounds."""
        dials = {dial: getattr(self, name) for dial, name in self.names.items()}
        given = {dial: value for dial, value in dials.items() if value is not None}
        return Context(**MODELS[self.model].model_dump() | given)

    @property
    def conversation(self) -> list[dict[str, Any]]:
        """The messages as the graph takes them. Not every model knows the role "developer"."""
        roles = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
        return [
            {"role": roles[said.role], "content": said.content}
            for said in self.messages
            if said.role in roles and said.content is not None
        ]
