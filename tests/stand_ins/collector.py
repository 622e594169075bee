"""A collector of OpenTelemetry's: takes spans over HTTP as protobuf, and gives them back as text.

    python -m tests.stand_ins.collector --port 0

Serves POST /v1/traces, and for tests GET /_spans (JSON) and GET /_raw (the bytes as they came).
"""

import argparse
import gzip
import json
import sys

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.stand_ins.serving import serve

BODIES: list[bytes] = []


def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    status, kind, said = "404 -", "text/plain", b""
    if path == "/v1/traces" and environ["REQUEST_METHOD"] == "POST":
        if environ.get("HTTP_CONTENT_ENCODING") == "gzip":
            body = gzip.decompress(body)
        BODIES.append(body)
        status, kind = "200 -", "application/x-protobuf"
        said = ExportTraceServiceResponse().SerializeToString()
    elif path == "/_spans":
        status, kind, said = "200 -", "application/json", json.dumps(list(spans())).encode()
    elif path == "/_raw":
        status, said = "200 -", b"\n".join(BODIES)
    start_response(status, [("Content-Type", kind)])
    return [said]


def spans():
    for body in BODIES:
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    yield MessageToDict(span)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    return serve(application, parser.parse_args().port, "The collector")


if __name__ == "__main__":
    sys.exit(main())
