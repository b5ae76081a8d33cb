"""What a client is built from: the provider, the model, and what the environment says about them."""

import os
from typing import NamedTuple

from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.models.local import server as local_server
from llamaberry.models.network import Route, find_route, is_loopback

DEFAULT_MODEL = "groq:openai/gpt-oss-120b"
LOCAL_TIMEOUT_FACTOR = 10
"""Multiplies `turn_timeout_s` for the local model: a busy machine may read a long prompt for minutes."""

MIN_SECRET_CHARS = 6
"""Shorter values of variables named KEY, TOKEN or SECRET are not redacted."""

_ADDRESSES = {
    "groq": ("https://api.groq.com", ("GROQ_API_BASE", "GROQ_BASE_URL")),
    "openai": ("https://api.openai.com/v1", ("OPENAI_API_BASE", "OPENAI_BASE_URL")),
}
"""The address of a provider, and the variables that set another one: the first that is set counts."""


class ClientSettings(NamedTuple):
    """How a client is built, and the key under which it is kept."""

    provider: str
    name: str
    temperature: float
    max_tokens: int
    timeout_s: float
    """Of a reply; for "local" of the silence in one."""
    environment: tuple[tuple[str, str], ...]
    """The provider's variables, so that a changed key takes effect at once; for "local" the address and the key."""
    route: Route
    """How the provider is reached; without an address if only its package knows it."""

    @property
    def model(self) -> str:
        """The model's full name, "provider:name"."""
        return f"{self.provider}:{self.name}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values to redact in errors."""
        suffixes = "" if self.provider == "local" else ("KEY", "TOKEN", "SECRET")
        values = (value.strip() for name, value in self.environment if name.endswith(suffixes))
        return tuple(value for value in values if len(value) >= MIN_SECRET_CHARS)


def client_settings(context: Context) -> ClientSettings:
    """Return the settings of a context's client; "auto" is resolved here.

    Raises:
        SetupError: a key or the local model is missing, or the model's name cannot be read.
    """
    model = context.model.strip()
    provider, name = _split_name(model)
    if provider == "local" and ":" not in model:
        name = _local_model_name(requested=model == "local")
    if not name:
        raise SetupError(f'model {model!r} names no model: write "{provider}:name", such as "{DEFAULT_MODEL}"')
    if provider == "groq":
        _check_groq_key(os.environ.get("GROQ_API_KEY", ""))
    timeout_s = context.turn_timeout_s
    if provider == "local":
        if name != local_server.gguf_path().stem:
            raise SetupError(f'model {model!r}: "local" takes no name; LLAMABERRY_LOCAL_GGUF=FILE runs another model')
        timeout_s *= LOCAL_TIMEOUT_FACTOR
        # A restarted server has another address, so each server has its own client.
        environment = local_server.running()
        route = find_route(environment[0][0]) if environment else Route("")
    else:
        prefix = provider[:4].upper()  # GROQ_API_KEY, OPENAI_BASE_URL, MISTRAL_API_KEY for mistralai
        environment = tuple((key, os.environ[key]) for key in sorted(os.environ) if key.startswith(prefix))
        route = _find_route(provider, environment)
    return ClientSettings(provider, name, context.temperature, context.max_tokens, timeout_s, environment, route)


def full_name(model: str) -> str:
    """Return a model's name as "provider:name"; "auto" is resolved, and the local model is "local"."""
    provider, name = _split_name(model)
    return "local" if provider == "local" else f"{provider}:{name}"


def _split_name(model: str) -> tuple[str, str]:
    """Return the provider and the name of a model; both "auto" and "local" may be the local one, without a name."""
    model = model.strip()
    if model == "auto":
        model = DEFAULT_MODEL if os.environ.get("GROQ_API_KEY", "").strip() else "local"
    provider, colon, name = model.partition(":")
    if not colon:
        return ("local", "") if model == "local" else ("groq", model)
    return provider.lower().replace("-", "_"), name


def _find_route(provider: str, environment: tuple[tuple[str, str], ...]) -> Route:
    """Return how a provider is reached."""
    default, names = _ADDRESSES.get(provider, ("", ()))
    suffixes = names or ("_BASE", "_BASE_URL", "_ENDPOINT")
    set_addresses = (pair for pair in environment if pair[1].strip() and pair[0].endswith(suffixes))
    variable, url = next(set_addresses, ("", default))
    route = find_route(url.strip(), variable)
    if provider == "openai" and (proxy := os.environ.get("OPENAI_PROXY")) and not is_loopback(route.host):
        route = route._replace(proxy=proxy, proxy_variable="OPENAI_PROXY")
    return route


def _check_groq_key(key: str) -> None:
    if not key.strip():
        raise SetupError(
            "GROQ_API_KEY is not set: get a key at https://console.groq.com/keys and export it, or run with "
            '--model local (in code: Context(model="local"))'
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SetupError("GROQ_API_KEY contains a space, a line break or a letter that no key has: copy it once more")


def _local_model_name(*, requested: bool) -> str:
    try:
        return local_server.require().stem
    except SetupError as error:
        if requested:
            raise
        raise SetupError(f"no model is set up: export GROQ_API_KEY=…, or use the local model: {error}") from None
