"""Traces at the command line: what is amiss is said once, and no exit waits long for a collector."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langsmith import Client, tracing_context
from langsmith.utils import LangSmithError, get_env_var, get_tracer_project, tracing_is_enabled
from urllib3.util import Retry

from llamaberry.console import print_error

WAIT_S = 2.5
"""The most seconds that the command line waits at its end for LangSmith to take what was traced."""

late = False
"""Whether LangSmith's client was given up: its threads wait for an answer, and Python would wait for them."""

failures = 0
"""How often something did not reach LangSmith."""


@contextmanager
def tracing_session(*, told: bool, runs: list[str]) -> Iterator[Client | None]:
    """Trace what runs in this block to where the environment says; `told`: say where, and the ids of the root `runs`.

    What it gives is LangSmith's client, where there is one to send to.

    LangSmith's client reads the rest of its own variables itself: endpoint, project, hiding, sampling.
    """
    client = _client()
    try:
        with tracing_context(client=client, enabled=None if client else False):
            yield client
    finally:
        if told:
            _tell(runs, sent=client is not None)
        if client:
            _flush(client)


def _client() -> Client | None:
    key, on = get_env_var("API_KEY"), tracing_is_enabled()
    if on and not key:
        print_error("LANGSMITH_TRACING is true, but LANGSMITH_API_KEY is not set: nothing is sent to LangSmith")
    elif key and not on and (given := get_env_var("TRACING", default="")) != "false":
        print_error(f'LANGSMITH_API_KEY is set, but LANGSMITH_TRACING is {given or "not set"!r}: only "true" traces')
    if not on or not key:
        return None
    logging.getLogger("langsmith").setLevel(logging.CRITICAL)  # it says each failure many times over
    hide = _without_settings if get_env_var("HIDE_INPUTS") == "true" else None
    try:
        return Client(retry_config=Retry(total=0), tracing_error_callback=failed, hide_metadata=hide)
    except (LangSmithError, ValueError) as error:
        print_error(f"nothing is sent to LangSmith: a variable of its own is wrong: {error}")
        return None


def _without_settings(metadata: dict[str, Any]) -> dict[str, Any]:
    """A system prompt of the user's own is an input; in the metadata it serves `llamaberry resume`."""
    return {} if get_env_var("HIDE_METADATA") == "true" else {k: v for k, v in metadata.items() if k != "settings"}


def _flush(client: Client) -> None:
    global late
    begun = time.monotonic()
    client.flush(timeout=WAIT_S)
    if time.monotonic() - begun >= WAIT_S:
        late = True
        if not failures:
            print_error(f"the trace may be incomplete: LangSmith did not take it within {WAIT_S} s")
    else:
        client.close(timeout=0)


def failed(error: BaseException, what: str = "trace") -> None:
    """Count what did not reach LangSmith, and say the first of it."""
    global failures
    failures += 1
    if failures == 1:
        said = str(error).partition("\n")[0][:200]
        print_error(f"the {what} did not reach LangSmith: {type(error).__name__}: {said}")


def _tell(runs: list[str], *, sent: bool) -> None:
    if sent:
        sampled = get_env_var("TRACING_SAMPLING_RATE")
        chance = f" (of which {sampled} is sampled)" if sampled else ""
        print_error(f"trace: LangSmith project {get_tracer_project()!r}, run {', '.join(runs) or 'none'}{chance}")
    viewer = os.environ.get("LLAMABERRY_TRACES", "").strip()
    if viewer:
        scheme, _, rest = viewer.rpartition("://")
        print_error(f"trace: {scheme}://{rest.rpartition('@')[2]}")  # without a name and password
    if not sent and not viewer:
        print_error("nothing is traced: set LANGSMITH_TRACING=true and LANGSMITH_API_KEY, or see `llamaberry traces`")
