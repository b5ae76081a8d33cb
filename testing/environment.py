"""The environment of a test: the developer's settings taken out, a tracer's put in."""

import os

import pytest


def clean(monkeypatch: pytest.MonkeyPatch, *, local: bool = False) -> None:
    """Take the developer's settings out of the environment; `local` leaves those of the local model."""
    names: tuple[str, ...] = ("GROQ_", "LANGSMITH_", "LANGCHAIN_", "OPENAI_", "OTEL_", "OPENINFERENCE_", "PHOENIX_")
    names += () if local else ("LLAMABERRY_",)
    for name in list(os.environ):
        if name.startswith(names) or (name.upper().endswith("_PROXY") and not local):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


def trace_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what a user of LangSmith sets."""
    settings = {"TRACING": "true", "API_KEY": "ls_key", "PROJECT": "tests", "ENDPOINT": url}
    for name, value in settings.items():
        monkeypatch.setenv(f"LANGSMITH_{name}", value)
