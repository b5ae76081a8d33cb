"""Send traces to a viewer or collector that speaks OTLP over HTTP, such as the one of `llamaberry traces`.

Needs the extra `traces`. It is imported when LLAMABERRY_TRACES asks for it.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import httpx
from langchain_core.callbacks import BaseCallbackHandler
from openinference.instrumentation import OITracer, TraceConfig
from openinference.instrumentation.langchain._tracer import OpenInferenceTracer  # the instrumentor changes LangChain
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

WAIT_S = 2.0
PAUSE_S = 30.0
"""How long nothing is sent after a failure: a viewer that is not there costs a run and its exit nothing more."""

PROJECT = "llamaberry"

_logger = logging.getLogger("llamaberry")


def tracer_to(address: str) -> BaseCallbackHandler:
    """Return a tracer that sends each run of LangChain and LangGraph as a span to `address`, in the background.

    What is left when Python exits is sent then, within WAIT_S seconds.
    """
    provider = TracerProvider(resource=Resource({"service.name": "llamaberry", "openinference.project.name": PROJECT}))
    provider.add_span_processor(BatchSpanProcessor(Exporter(address), schedule_delay_millis=1000))
    tracer: Any = OITracer(provider.get_tracer("llamaberry"), config=TraceConfig())
    return OpenInferenceTracer(tracer, separate_trace_from_runtime_context=True)


class Exporter(SpanExporter):
    """Posts a batch once. OpenTelemetry's own tries for longer, and sends headers that were meant for another host."""

    def __init__(self, address: str) -> None:
        name, _, password = address.partition("://")[2].rpartition("@")[0].partition(":")
        self.auth = (name, password) if name else None
        # Not in the address, which httpx logs.
        address = address.replace(f"{name}:{password}@" if password else f"{name}@", "", 1) if name else address
        self.url = address.rstrip("/").removesuffix("/v1/traces") + "/v1/traces"
        self.paused_until = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Post the spans, unless an earlier post has failed just now."""
        if time.monotonic() < self.paused_until:
            return SpanExportResult.FAILURE
        headers = {"content-type": "application/x-protobuf"}
        try:
            body = encode_spans(spans).SerializeToString()
            with (
                httpx.Client(auth=self.auth, timeout=WAIT_S, trust_env=False) as client,
                client.stream("POST", self.url, content=body, headers=headers) as response,
            ):
                response.raise_for_status()  # its body is nobody's, and a slow one is not waited for
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            if not self.paused_until:
                # The address may hold a password, and the message of a status repeats the address.
                why = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else error
                _logger.warning("llamaberry: LLAMABERRY_TRACES: traces do not arrive (%s): is the viewer running?", why)
            self.paused_until = time.monotonic() + PAUSE_S
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS
