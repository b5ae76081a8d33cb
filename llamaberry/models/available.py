"""What can be used here, without network access: the local model, Groq's models, other providers, what "auto" means."""

import importlib.util
import os
from typing import NamedTuple

from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.models.local import server as local_server
from llamaberry.models.settings import client_settings

GROQ_MODELS = (
    "openai/gpt-oss-120b",
    "openai/gpt-oss-20b",
    "qwen/qwen3-32b",
    "llama-3.3-70b-versatile",
    "llama-3.1-8b-instant",
    "meta-llama/llama-4-scout-17b-16e-instruct",
)
"""Models of Groq's that write text and are not deprecated; console.groq.com/docs/models has all of them."""

_PROVIDERS = {
    "anthropic": ("langchain_anthropic", "ANTHROPIC_API_KEY"),
    "cohere": ("langchain_cohere", "COHERE_API_KEY"),
    "deepseek": ("langchain_deepseek", "DEEPSEEK_API_KEY"),
    "fireworks": ("langchain_fireworks", "FIREWORKS_API_KEY"),
    "google_genai": ("langchain_google_genai", "GOOGLE_API_KEY"),
    "mistralai": ("langchain_mistralai", "MISTRAL_API_KEY"),
    "nvidia": ("langchain_nvidia_ai_endpoints", "NVIDIA_API_KEY"),
    "ollama": ("langchain_ollama", None),
    "openai": ("langchain_openai", "OPENAI_API_KEY"),
    "openrouter": ("langchain_openrouter", "OPENROUTER_API_KEY"),
    "perplexity": ("langchain_perplexity", "PPLX_API_KEY"),
    "together": ("langchain_together", "TOGETHER_API_KEY"),
    "xai": ("langchain_xai", "XAI_API_KEY"),
}
"""Providers beside Groq: the package, and the variable of the key; None for a provider without one."""


class Price(NamedTuple):
    """The list price of a model, in US dollars per million tokens."""

    model: str
    input_usd: float
    output_usd: float


class Provider(NamedTuple):
    """A provider whose package is installed."""

    name: str
    key_variable: str | None
    key_is_set: bool


class Available(NamedTuple):
    """What can be used here; a `…_problem` says what is missing, and how to get it."""

    auto: str | None
    """The model of "auto"."""
    auto_problem: str | None
    local: str | None
    """The file of the local model, if it can be run."""
    local_problem: str | None
    groq_key_is_set: bool
    groq: list[Price]
    providers: list[Provider]


def available() -> Available:
    """Return what can be used here."""
    auto, auto_problem = None, None
    try:
        auto = client_settings(Context()).model
    except SetupError as error:
        auto_problem = str(error)
    local, local_problem = None, None
    try:
        local = str(local_server.require())
    except SetupError as error:
        local_problem = str(error)
    return Available(auto, auto_problem, local, local_problem, _is_set("GROQ_API_KEY"), _groq_prices(), _providers())


def _is_set(variable: str | None) -> bool:
    return variable is None or bool(os.environ.get(variable, "").strip())


def _groq_prices() -> list[Price]:
    from genai_prices import Usage, calc_price

    prices = []
    for model in GROQ_MODELS:
        price = calc_price(Usage(input_tokens=1_000_000, output_tokens=1_000_000), model, provider_id="groq")
        prices.append(Price(f"groq:{model}", float(price.input_price), float(price.output_price)))
    return prices


def _providers() -> list[Provider]:
    return [
        Provider(name, variable, _is_set(variable))
        for name, (package, variable) in _PROVIDERS.items()
        if importlib.util.find_spec(package)
    ]
