"""LangSmith on the command line: each problem is reported once, and the exit does not wait long for a trace."""

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
"""How long the command line waits at its exit for LangSmith to receive the trace."""

flush_timed_out = False
"""Whether LangSmith's client still waits for a response: Python's exit would wait for its threads."""

failures = 0
"""The number of failed requests to LangSmith."""


@contextmanager
def tracing_session(*, report: bool, runs: list[str]) -> Iterator[Client | None]:
    """Trace the runs of this block as the environment says, and yield LangSmith's client, or None if it is off.

    `report`: print the project and the ids of the root `runs` at the end. LangSmith's client itself reads its other
    variables: endpoint, project, hiding, sampling.
    """
    client = _client()
    try:
        with tracing_context(client=client, enabled=None if client else False):
            yield client
    finally:
        if report:
            _report_trace(runs, sent=client is not None)
        if client:
            _flush(client)


def _client() -> Client | None:
    key, on = get_env_var("API_KEY"), tracing_is_enabled()
    if on and not key:
        print_error("LANGSMITH_TRACING is true, but LANGSMITH_API_KEY is not set: nothing is sent to LangSmith")
    elif key and not on and (value := get_env_var("TRACING", default="")) != "false":
        print_error(f'LANGSMITH_API_KEY is set, but LANGSMITH_TRACING is {value or "not set"!r}: only "true" traces')
    if not on or not key:
        return None
    logging.getLogger("langsmith").setLevel(logging.CRITICAL)  # it logs each failure many times
    hide_settings = get_env_var("HIDE_INPUTS") == "true" and get_env_var("HIDE_METADATA") != "true"
    hide = _without_settings if hide_settings else None  # None: as HIDE_METADATA says
    try:
        return Client(retry_config=Retry(total=0), tracing_error_callback=report_failure, hide_metadata=hide)
    except (LangSmithError, ValueError) as error:
        print_error(f"nothing is sent to LangSmith: a variable of its own is wrong: {error}")
        return None


def _without_settings(metadata: dict[str, Any]) -> dict[str, Any]:
    """Drop the settings, which hold the user's system prompt: it counts as an input."""
    return {key: value for key, value in metadata.items() if key not in ("settings", "dials")}


def _flush(client: Client) -> None:
    global flush_timed_out
    started_at = time.monotonic()
    client.flush(timeout=WAIT_S)
    if time.monotonic() - started_at >= WAIT_S:
        flush_timed_out = True
        if not failures:
            print_error(f"the trace may be incomplete: LangSmith did not take it within {WAIT_S} s")
    else:
        client.close(timeout=0)


def report_failure(error: BaseException, what: str = "trace") -> None:
    """Count a failed request to LangSmith, and print the first one."""
    global failures
    failures += 1
    if failures == 1:
        message = str(error).partition("\n")[0][:200]
        print_error(f"the {what} did not reach LangSmith: {type(error).__name__}: {message}")


def _report_trace(runs: list[str], *, sent: bool) -> None:
    if sent:
        rate = get_env_var("TRACING_SAMPLING_RATE")
        sampling = f" (sampling rate {rate})" if rate else ""
        print_error(f"trace: LangSmith project {get_tracer_project()!r}, run {', '.join(runs) or 'none'}{sampling}")
    viewer = os.environ.get("LLAMABERRY_TRACES", "").strip()
    if viewer:
        scheme, _, rest = viewer.rpartition("://")
        print_error(f"trace: {scheme}://{rest.rpartition('@')[2]}")  # without user name and password
    if not sent and not viewer:
        print_error("nothing is traced: set LANGSMITH_TRACING=true and LANGSMITH_API_KEY, or see `llamaberry traces`")
