"""The recipe with OpenTelemetry traces every attempt and nothing secret."""

from __future__ import annotations

from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks import testing
from blocks.testing.trials import Trial
from tests.loopback import JSON, answer, serving

pytest_plugins = ["blocks.testing.fixtures"]

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


def items_api(rows: list[dict[str, Any]]) -> testing.Api:
    """Rows by Link header, two on a page, with a key in the query."""
    api = testing.Api(testing.query_key("api_key", SECRET))

    @api.get("/items", query="page")
    def listed(call: testing.Call) -> testing.Answer:
        page = testing.numbered(rows, call.query.whole("page", 1), 2)
        return testing.Answer(page.rows, headers=testing.linked(call, page))

    return api


def test_trial(trial: Trial) -> None:
    """All items are loaded, and in a second run what there is then."""
    rows: list[dict[str, Any]] = [{"id": number} for number in range(7)]
    with testing.serving(items_api(rows)) as server:
        trial(
            server,
            lambda: telemetry.items(base_url=server.url, key=SECRET),
            lambda: {"items": rows},
            lambda: rows.append({"id": 9}),
        )


def test_wrong_key(pipeline: dlt.Pipeline) -> None:
    """It is refused once, and the message has it not."""
    with testing.serving(items_api([])) as server:
        with pytest.raises(PipelineStepFailed, match="refusal of the credentials") as caught:
            pipeline.run(telemetry.items(base_url=server.url, key="other-key"))
        assert server.statuses == {401: 1}
    assert "other-key" not in str(caught.value)
