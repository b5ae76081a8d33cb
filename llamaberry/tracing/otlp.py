"""Send traces by OTLP over HTTP, for instance to `llamaberry traces`; needs the extra `traces`."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import httpx
from langchain_core.callbacks import BaseCallbackHandler
from openinference.instrumentation import OITracer, TraceConfig
from openinference.instrumentation.langchain._tracer import OpenInferenceTracer  # the instrumentor patches LangChain
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

TIMEOUT_S = 2.0
PAUSE_S = 30.0
"""How long nothing is sent after a failure, so that an unreachable viewer delays a run and its exit only once."""

PROJECT = "llamaberry"

_logger = logging.getLogger("llamaberry")


def tracer_to(address: str) -> BaseCallbackHandler:
    """Return a tracer that sends each LangChain and LangGraph run as a span to `address`, in the background.

    Python's exit waits up to TIMEOUT_S seconds for the last spans.
    """
    provider = TracerProvider(resource=Resource({"service.name": "llamaberry", "openinference.project.name": PROJECT}))
    provider.add_span_processor(BatchSpanProcessor(Exporter(address), schedule_delay_millis=1000))
    tracer: Any = OITracer(provider.get_tracer("llamaberry"), config=TraceConfig())
    return OpenInferenceTracer(tracer, separate_trace_from_runtime_context=True)


class Exporter(SpanExporter):
    """Posts each batch once. OpenTelemetry's exporter retries, and sends headers that are meant for another host."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/").removesuffix("/v1/traces") + "/v1/traces"
        self.paused_until = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Post the spans, unless a post has failed within the last PAUSE_S seconds."""
        if time.monotonic() < self.paused_until:
            return SpanExportResult.FAILURE
        try:
            url = httpx.URL(self.address)
            auth = (url.username, url.password) if url.username else None
            url = url.copy_with(userinfo=b"")  # httpx logs the URL, so it must not hold the password
            body = encode_spans(spans).SerializeToString()
            with (
                httpx.Client(auth=auth, timeout=TIMEOUT_S, trust_env=False) as client,
                client.stream(
                    "POST", url, content=body, headers={"content-type": "application/x-protobuf"}
                ) as response,
            ):
                response.raise_for_status()  # do not read the body: it is unused, and may be slow
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            if not self.paused_until:
                # The message of an HTTPStatusError repeats the URL.
                cause = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else error
                _logger.warning("llamaberry: LLAMABERRY_TRACES: sending failed (%s): is the viewer running?", cause)
            self.paused_until = time.monotonic() + PAUSE_S
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS
