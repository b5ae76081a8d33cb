"""Structured output: the option that makes a reply fit a JSON schema, for models that are known to have it."""

from typing import Any

from langchain_core.language_models import BaseChatModel

from llamaberry.models.objects import Model

_PROVIDERS = ("groq", "openai")
"""Providers whose LangChain classes pass `response_format` on."""


def structured_output(provider: str, model: Model, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a call whose reply has to fit a schema; none if the model is not known to support that.

    `provider` is that of a named model. The local server makes a grammar of the schema. Providers take objects only.
    """
    if schema.get("type") != "object" or not isinstance(model, BaseChatModel):
        return {}
    if provider != "local":
        profile: Any = model.profile or {}
        if not profile.get("structured_output") or model._get_ls_params().get("ls_provider") not in _PROVIDERS:
            return {}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}
