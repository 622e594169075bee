"""OpenTelemetry: a span for each request, outbound call and job, that names no address and no secret."""

import os
import subprocess
import sys

import pytest
import requests

from console import spans
from tests.deployed import connect, deployed, wait_until
from tests.stand_ins.process import ROOT, running

SECRET = "a-token-that-is-in-an-address"


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """The spans of a day, and the bytes in which they came."""
    endpoint = {"OTEL_BSP_SCHEDULE_DELAY": "200"}
    with running("tests.stand_ins.collector") as collector:
        endpoint["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.origin
        with deployed(tmp_path_factory.mktemp("spans"), "--workers", "2", **endpoint) as made:
            requests.get(f"{made.origin}/s/{SECRET}/?code={SECRET}", timeout=10)
            requests.request("SECRETMETHOD", made.origin + "/healthz", timeout=10)
            connect(made, ["a", "b"])
            made.start_worker()

            def found() -> list[dict]:
                return requests.get(collector.origin + "/_spans", timeout=10).json()

            wait_until(lambda: sum(span["name"] == "job renew" for span in found()) == 2)
            yield found(), requests.get(collector.origin + "/_raw", timeout=10).content, made


def attributes(span: dict) -> dict:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in span.get("attributes", [])}


def test_a_request_is_named_by_its_route(collected):
    (span,) = (span for span in collected[0] if "token" in span["name"])
    assert span["name"] == "GET /^s/(?P<token>[^/]+)/$"
    assert span["kind"] == "SPAN_KIND_SERVER"
    assert attributes(span)["http.response.status_code"] == "404"
    assert len(attributes(span)["ref"]) == 8
    assert "other /healthz" in {span["name"] for span in collected[0]}


def test_an_outbound_call_names_the_host_alone_and_stands_below_its_job(collected):
    jobs = {span["spanId"]: span for span in collected[0] if span["name"] == "job renew"}
    calls = [span for span in collected[0] if span["kind"] == "SPAN_KIND_CLIENT"]
    assert [span["name"] for span in calls] == ["POST rotating.test"] * 2
    assert {span["parentSpanId"] for span in calls} == set(jobs)
    for span in calls:
        assert attributes(span) == {"server.address": "rotating.test", "http.response.status_code": "200"}
    assert {attributes(span)["outcome"] for span in jobs.values()} == {"done"}


def test_no_span_holds_what_stood_in_an_address_or_a_token(collected):
    _, raw, made = collected
    assert b"rotating.test" in raw
    assert SECRET.encode() not in raw
    assert b"SECRETMETHOD" not in raw
    for grant in made.rotating.state()["grants"].values():
        for token in (grant["refresh"], *grant["access"]):
            assert token.encode() not in raw


def test_what_an_exception_says_is_in_no_span(monkeypatch):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(spans, "_tracer", lambda: provider.get_tracer("test"))
    with pytest.raises(RuntimeError), spans.span("job"):
        raise RuntimeError(SECRET)
    (span,) = kept.get_finished_spans()
    assert (span.status.description, span.events) == ("RuntimeError", ())
    assert SECRET not in span.to_json()


def test_nothing_of_it_is_loaded_where_it_is_not_wanted():
    code = """
import sys, django
django.setup()
from django.test import Client
print(Client(HTTP_HOST="console.test").get("/connectors/schema.json").status_code)
# The client of Redis loads parts of the SDK by itself.
print({"opentelemetry.sdk.trace", "opentelemetry.exporter", "prometheus_client"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "console.settings"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "200\nset()\n", done.stdout + done.stderr
