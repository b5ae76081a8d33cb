"""Model objects: LangChain chat models that a caller passes to `build_graph`, in place of the names in a Context."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable
from pydantic import SecretStr

from llamaberry.graph.context import STEPS, Context
from llamaberry.models.guard import Guard
from llamaberry.models.network import Route
from llamaberry.models.settings import MIN_SECRET_CHARS

Model = Runnable[LanguageModelInput, AIMessage]
"""A LangChain chat model, or what its `bind`, `with_config`, `with_retry` or `with_fallbacks` returns."""

_SECRET_NAMES = ("auth", "cookie", "key", "password", "secret", "token")
_LIMIT_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")


class ModelObject(NamedTuple):
    """A model object, and what can be known about it before a call."""

    runnable: Model
    name: str
    """Of its first chat model."""
    providers: Mapping[str, str]
    """The class names of its chat models, each with the provider; "" if the class names none."""
    max_tokens: int | None
    """The highest limit of a reply that it sets."""
    secrets: tuple[str, ...]

    def settings(self, context: Context) -> "ObjectSettings":
        """Return the settings of a call."""
        limit = self.max_tokens or context.max_tokens
        return ObjectSettings(self, self.name, limit, context.turn_timeout_s, self.secrets)


class ObjectSettings(NamedTuple):
    """What a call needs to know about a model object; for a named model, ClientSettings has the same attributes."""

    object: ModelObject
    model: str
    max_tokens: int
    """Bounds the length of a reply. It is not sent to the provider: the limit of the object counts."""
    timeout_s: float
    secrets: tuple[str, ...]
    provider: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    route: Route = Route("")


class ObjectGuard(Guard):
    """A Guard that also records which of an object's chat models replies: a fallback, for example."""

    ignore_chat_model = False

    def __init__(self, max_chars: int, settings: ObjectSettings) -> None:
        super().__init__(max_chars, settings.secrets)
        self.model = settings.model
        self._providers = settings.object.providers
        self._names: dict[UUID, str] = {}
        self._failed: list[tuple[BaseException, str]] = []

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Note the model's name, and forget the tokens of one that failed before it."""
        class_name = ((serialized or {}).get("id") or [""])[-1]
        params = kwargs.get("metadata") or {}
        # A model that is chosen at run time (`configurable_fields`) is not among those that were inspected.
        provider = self._providers.get(class_name, params.get("ls_provider", ""))
        self._names[run_id] = _full_name(provider, params.get("ls_model_name"), class_name)
        self.chunks.clear()
        self.size = 0

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Take the name of the model that replied."""
        super().on_llm_end(response, **kwargs)
        self.model = self._names.get(kwargs["run_id"]) or self.model

    def on_llm_error(self, error: BaseException, *, response: LLMResult | None = None, **kwargs: Any) -> None:
        """Redact the error, and note which model raised it."""
        super().on_llm_error(error, response=response, **kwargs)
        if name := self._names.get(kwargs["run_id"]):
            self._failed.append((error, name))

    def failed_model(self, error: BaseException) -> str:
        """Return the name of the model that raised this error."""
        return next((name for failed, name in self._failed if failed is error), self.model)


def inspect_models(model: Model | Mapping[str, Model] | None) -> dict[str, ModelObject]:
    """Return the model object of each step that has one: `model` is for all steps, or a mapping has one for some.

    Raises:
        ValueError: the mapping has an unknown step.
        TypeError: a model is not an object of LangChain's.
    """
    models = model if isinstance(model, Mapping) else {} if model is None else dict.fromkeys(STEPS, model)
    if unknown := [str(step) for step in models if step not in STEPS]:
        raise ValueError(f"model has no such step: {', '.join(unknown)} ({', '.join(STEPS)})")
    return {step: _inspect(step, runnable) for step, runnable in models.items()}


def warn_about_ignored_names(context: Context, objects: Mapping[str, ModelObject]) -> None:
    """Warn of a model's name in the settings that an object takes the place of."""
    own = {"refine_turn": "refine_model", "verify": "verify_model", "synthesize": "synthesis_model"}
    ignored = [field for step, field in own.items() if step in objects and getattr(context, field)]
    if len(objects) == len(STEPS) and context.model != "auto":
        ignored.insert(0, "model")
    for field in ignored:
        warnings.warn(
            f"{field}={getattr(context, field)!r} in the Context is ignored: build_graph(model=…) has a model object "
            "for this step",
            stacklevel=2,
        )


def _inspect(step: str, runnable: object) -> ModelObject:
    if isinstance(runnable, str):
        raise TypeError(
            f"model for {step} is the name {runnable!r}: names are settings, such as Context(model={runnable!r}); "
            "build_graph takes chat model objects"
        )
    if not isinstance(runnable, Runnable):
        raise TypeError(f"model for {step} is a {type(runnable).__name__}: pass a LangChain chat model")
    values = list(_walk("", runnable, set()))
    chat_models = [value for _, value in values if isinstance(value, BaseChatModel)]
    providers = {type(model).__name__: _provider(model) for model in chat_models}
    limits = [value for name, value in values if name in _LIMIT_NAMES and isinstance(value, int)]
    name = _static_name(chat_models[0]) if chat_models else runnable.get_name()
    secrets = tuple({secret for name, value in values if len(secret := _secret(name, value)) >= MIN_SECRET_CHARS})
    return ModelObject(runnable, name, providers, max(limits, default=None), secrets)


def _walk(name: str, value: object, seen: set[int]) -> Iterator[tuple[str, object]]:
    """Yield a runnable, the runnables in it and all their fields, by name."""
    if isinstance(value, Runnable | Mapping | list | tuple):
        if id(value) in seen:
            return
        seen.add(id(value))
    if isinstance(value, list | tuple):
        for item in value:
            yield from _walk(name, item, seen)
        return
    yield name, value
    fields = value if isinstance(value, Mapping) else vars(value) if isinstance(value, Runnable) else {}
    for key, item in fields.items():
        yield from _walk(str(key), item, seen)


def _secret(name: str, value: object) -> str:
    """Return the secret in a field; "" if it has none. Of "Bearer …" it is the last word."""
    if isinstance(value, SecretStr):
        return value.get_secret_value().strip()
    if isinstance(value, str) and any(word in name.lower() for word in _SECRET_NAMES):
        return "".join(value.split()[-1:])
    return ""


def _provider(model: BaseChatModel) -> str:
    """Return the provider that a class names for traces; "" for the classes, such as fakes, that name none."""
    if type(model)._get_ls_params is BaseChatModel._get_ls_params:
        return ""
    return model._get_ls_params().get("ls_provider", "")


def _static_name(model: BaseChatModel) -> str:
    return _full_name(_provider(model), model._get_ls_params().get("ls_model_name"), type(model).__name__)


def _full_name(provider: str, name: str | None, class_name: str) -> str:
    """Return "provider:name" as for a named model, as far as it is known, or the name of the class."""
    if not name:
        return class_name
    return f"{provider}:{name}" if provider else name
