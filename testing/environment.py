"""The environment variables of a test."""

import os

import pytest


def reset_environment(monkeypatch: pytest.MonkeyPatch, *, local: bool = False) -> None:
    """Remove the developer's settings; `local` keeps those of the local model and the network."""
    names: tuple[str, ...] = ("GROQ_", "LANGSMITH_", "LANGCHAIN_", "OPENAI_", "OTEL_", "OPENINFERENCE_", "PHOENIX_")
    names += () if local else ("LLAMABERRY_", "SSL_CERT_")
    for name in list(os.environ):
        if name.startswith(names) or (name.upper().endswith("_PROXY") and not local):
            monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # a user's Python buffers its output
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


def trace_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set LangSmith's variables, with this address."""
    settings = {"TRACING": "true", "API_KEY": "ls_key", "PROJECT": "tests", "ENDPOINT": url}
    for name, value in settings.items():
        monkeypatch.setenv(f"LANGSMITH_{name}", value)
