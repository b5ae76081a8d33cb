"""Traces at the command line: what is amiss is said once, and no exit waits long for a collector."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from langsmith import Client, tracing_context
from langsmith.utils import get_env_var, get_tracer_project, tracing_is_enabled
from urllib3.util import Retry

WAIT_S = 2.5
"""Seconds that an exit waits for LangSmith to take what was traced; a request under way may take as many again."""


@contextmanager
def traced(*, told: bool, runs: list[str]) -> Iterator[None]:
    """Trace what runs in this block to where the environment says; `told`: say where, and the ids of the root `runs`.

    LangSmith's client reads the rest of its own variables itself: endpoint, project, hiding, sampling.
    """
    key = get_env_var("API_KEY")
    on = tracing_is_enabled()
    client, session = None, _Session()
    if on and not key:
        _say("LANGSMITH_TRACING is true, but LANGSMITH_API_KEY is not set: nothing is sent to LangSmith")
    elif key and not on and (given := get_env_var("TRACING", default="")) != "false":
        _say(f'LANGSMITH_API_KEY is set, but LANGSMITH_TRACING is {given or "not set"!r}: only "true" traces')
    elif on:
        logging.getLogger("langsmith").setLevel(logging.CRITICAL)  # it says each failure many times over
        client = Client(
            session=session,
            retry_config=Retry(total=0),
            tracing_error_callback=_Once(session),
            hide_metadata=_without_dials if get_env_var("HIDE_INPUTS") == "true" else None,
        )
    try:
        with tracing_context(client=client, enabled=None if client else False):
            yield
    finally:
        if told:
            _tell(runs, sent=client is not None)
        if client:
            _flush(client, session)


def _flush(client: Client, session: "_Session") -> None:
    begun = time.monotonic()
    client.flush(timeout=WAIT_S)
    session.over = True
    if time.monotonic() - begun >= WAIT_S:
        _say(f"the trace may be incomplete: LangSmith did not take it within {WAIT_S} s")
    client.close(timeout=0)


def _without_dials(metadata: dict[str, Any]) -> dict[str, Any]:
    """A system prompt of the user's own is an input; in the metadata it serves `llamaberry resume`."""
    return {} if get_env_var("HIDE_METADATA") == "true" else {k: v for k, v in metadata.items() if k != "dials"}


class _Session(requests.Session):
    """Bounds each request, and makes none once it is over: the client would try again for a minute."""

    over = False

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        if self.over:
            raise requests.ConnectionError("the command has ended")
        return super().request(*args, **kwargs | {"timeout": WAIT_S})


class _Once:
    """Says the first error of many, and none that is ours."""

    def __init__(self, session: _Session) -> None:
        self.session = session
        self.said = False

    def __call__(self, error: Exception) -> None:
        if not self.said and not self.session.over:
            self.said = True
            _say(f"the trace did not reach LangSmith: {type(error).__name__}: {str(error).splitlines()[0][:200]}")


def _tell(runs: list[str], *, sent: bool) -> None:
    if sent:
        _say(f"trace: LangSmith project {get_tracer_project()!r}, run {', '.join(runs) or 'none'}")
    if viewer := os.environ.get("LLAMABERRY_TRACES"):
        _say(f"trace: {viewer.rpartition('@')[2]}")  # without a name and password
    if not sent and not viewer:
        _say("nothing is traced: set LANGSMITH_TRACING=true and LANGSMITH_API_KEY, or see `llamaberry traces`")


def _say(line: str) -> None:
    print(f"llamaberry: {line}", file=sys.stderr, flush=True)  # noqa: T201
