"""What requests of OpenAI's APIs have in common, and a chat completion request."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, field_validator
from pydantic_core import from_json

from llamaberry.graph.context import Context
from llamaberry.models.limits import max_tokens_allowed
from llamaberry.presets import PRESETS
from llamaberry.server.openai_errors import InvalidRequestError
from llamaberry.server.openai_messages import Message, check_size, to_graph
from llamaberry.server.openai_structured import RequestWithTools, format_schema
from llamaberry.server.run import Run

MODELS = {"llamaberry" if name == "standard" else f"llamaberry-{name}": preset for name, preset in PRESETS.items()}
MAX_STOPS = 16
IGNORED = (
    *("tools", "functions", "logit_bias", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "seed"),
    *("top_p", "reasoning", "reasoning_effort", "verbosity", "modalities", "audio", "web_search_options", "prediction"),
    *("include", "max_tool_calls", "truncation"),
)
"""The fields that would change an answer elsewhere, and have no effect: a header names those in a request."""

Temperature = Annotated[float, Field(ge=0, le=2)]
_LOWEST, _HIGHEST = Context.model_fields["max_tokens"].metadata

TokenLimit = Annotated[int, Field(ge=1), AfterValidator(lambda tokens: max(_LOWEST.ge, min(tokens, _HIGHEST.le)))]
"""A number of tokens within the bounds of a Context: connection tests ask for one token, others for all."""


def parse(body: bytes, messages: str) -> dict[str, Any]:
    """Return the JSON object of a request; `messages` is its field with the conversation.

    Raises:
        InvalidRequestError: the body is no JSON object, or the conversation is too large, which validating the rest
            would take too long to find.
    """
    try:
        request = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequestError(None, f"it is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidRequestError(None, "it should be a JSON object")
    check_size(request.get(messages), messages)
    return request


def ignored_fields(request: Mapping[str, Any]) -> list[str]:
    """Return the fields of a request that have no effect."""
    called = request.get("tool_choice") not in (None, "none", "auto")
    return [name for name in IGNORED if request.get(name) and not (called and name == "tools")]


def check_choice(value: Any, choices: tuple[Any, ...]) -> Any:
    """Return a value, which may be an object with a `type`, if it is one of the choices."""
    kind = value.get("type") if isinstance(value, dict) else value
    if kind not in choices:
        raise ValueError(f"{kind!r} is not supported: leave it out")
    return value


class StreamOptions(BaseModel):
    """What a stream contains besides the answer."""

    include_usage: bool = False


class ChatRequest(RequestWithTools):
    """The fields that have an effect. Others are ignored, except those that ask for another kind of answer."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    stop: list[str] | None = Field(default=None, max_length=MAX_STOPS)
    n: Any = None
    response_format: Any = None

    @field_validator("stop", mode="before")
    @classmethod
    def _to_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("n")
    @classmethod
    def _check_number(cls, value: Any) -> Any:
        return check_choice(value, (None, 1))

    @field_validator("response_format")
    @classmethod
    def _check_format(cls, value: Any) -> Any:
        format_schema(value)
        return value

    def run(self, run_id: UUID) -> Run:
        """Return the run for this request; raises InvalidRequestError for a conversation that cannot be used."""
        schema = self.tool.parameters if self.tool else format_schema(self.response_format)
        settings = {
            "temperature": self.temperature,
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "answer_schema": schema,
        }
        conversation = to_graph(
            [(f"messages.{number}.content", message) for number, message in enumerate(self.messages)], "messages"
        )
        model = "llamaberry-quick" if is_task(conversation) else self.model
        return Run(conversation, make_context(model, settings), run_id, [stop for stop in self.stop or [] if stop])


def is_task(conversation: list[dict[str, Any]]) -> bool:
    """Return whether the conversation is a task that Open WebUI sets the chat's model on its own: a title, tags,
    follow-up questions, search queries, an emoji, the choice of a tool. Its own templates are recognized.
    """
    texts = [str(message["content"]).lstrip() for message in conversation]
    return [message["role"] for message in conversation].count("user") == 1 and any(
        (text.startswith("### Task:") and "<chat_history>" in text)
        or text.startswith("Your task is to reflect the speaker's likely facial expression")
        or (text.startswith("Available Tools: ") and "Your task is to choose and return the correct tool" in text)
        for text in texts
    )


def make_context(model: str, settings: Mapping[str, Any]) -> Context:
    """Return the context of a model with these settings, within the tokens of a run; None leaves one as it is."""
    changes = {name: value for name, value in settings.items() if value is not None}
    context = Context(**MODELS[model].context.model_dump() | changes)
    return context.model_copy(update={"max_tokens": min(context.max_tokens, max_tokens_allowed(context))})
