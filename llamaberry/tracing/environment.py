"""LLAMABERRY_TRACES traces every LangChain and LangGraph run of the process, a host agent's included."""

import logging
import os
from contextvars import ContextVar
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

_logger = logging.getLogger("llamaberry")


def trace_to_environment() -> None:
    """Send the runs of this process to the OTLP collector that LLAMABERRY_TRACES names; without it, do nothing.

    Calling it again has no effect.
    """
    if _address():
        _register()


def _address() -> str:
    return os.environ.get("LLAMABERRY_TRACES", "").strip()


@cache
def _register() -> None:
    # LangChain expects a ContextVar, but only calls its `get`: OpenTelemetry is loaded when the first run asks for it.
    register_configure_hook(cast("ContextVar[Any]", SimpleNamespace(get=_current_tracer)), inheritable=True)


def _current_tracer() -> BaseCallbackHandler | None:
    return _load_tracer(address) if (address := _address()) else None


@lru_cache(maxsize=1)
def _load_tracer(address: str) -> BaseCallbackHandler | None:
    try:
        from llamaberry.tracing.otlp import tracer_to
    except ImportError as error:
        _logger.warning('llamaberry: LLAMABERRY_TRACES needs: pip install "llamaberry[traces]" (%s)', error)
        return None
    return tracer_to(address)
