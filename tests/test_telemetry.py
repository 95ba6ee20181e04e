"""The recipe with OpenTelemetry traces every attempt and nothing secret."""

from __future__ import annotations

import dlt
import pytest

from tests.loopback import JSON, answer, serving

telemetry = pytest.importorskip("cookbook.telemetry", exc_type=ImportError)
SECRET = "c4n4ry"


def test_each_attempt_is_a_span_without_the_query() -> None:
    """A 503, its repetition and the next page: three spans, and the key in none of them."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    following = (*JSON, ("Link", '</more>; rel="next"'))
    script = {
        "/items": [
            answer(status="503 Busy", headers=(("Retry-After", "0"),)),
            answer(b'[{"id": 1}]', headers=following),
        ],
        "/more": [answer(b'[{"id": 2}]')],
    }
    with serving(script) as server:
        source = telemetry.items(base_url=server.url, key=SECRET)
        pipeline = dlt.pipeline("telemetry", destination="duckdb", dev_mode=True)
        pipeline.extract(source)
        url = server.url
    spans = exporter.get_finished_spans()
    urls = [str((span.attributes or {})["http.url"]) for span in spans]
    assert urls == [f"{url}/items"] * 2 + [f"{url}/more"]
    assert SECRET not in "".join(span.to_json() for span in spans)
    assert SECRET in server.requests[0].decode()
