"""Spans for OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT is set: a request, an outbound call, a job.

Made by hand. Automatic instrumentation puts whole addresses into spans, and in ours stand the tokens of
setup links and authorization codes. Nothing of the library is loaded where no endpoint is set.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

_one_at_a_time = Lock()


class _Nothing:
    """The span where nobody wants any."""

    def name(self, name: str, **attributes: str | int) -> None:
        pass


class _Span(_Nothing):
    def __init__(self, span):
        self._span = span

    def name(self, name: str, **attributes: str | int) -> None:
        """What it was, where that is known only at its end."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)


_nothing = _Nothing()


@contextmanager
def span(name: str, kind: str = "INTERNAL", **attributes: str | int) -> Iterator[_Nothing]:
    """`kind` is one of OpenTelemetry's: SERVER, CLIENT, CONSUMER, INTERNAL. No value may be a secret."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        yield _nothing
        return
    with _one_at_a_time:
        tracer = _tracer()
    from opentelemetry.trace import SpanKind, StatusCode

    # An exception's own words may repeat anything.
    quiet = {"record_exception": False, "set_status_on_exception": False}
    with tracer.start_as_current_span(name, kind=SpanKind[kind], attributes=attributes, **quiet) as made:
        try:
            yield _Span(made)
        except BaseException as error:
            made.set_status(StatusCode.ERROR, type(error).__name__)
            raise


@cache
def _tracer():
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    service = os.environ.get("OTEL_SERVICE_NAME", "partner-console")
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    # Sends in the background, and what is left when the process ends.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("console")
