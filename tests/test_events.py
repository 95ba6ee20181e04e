"""What happens is told to those who listen, and costs those who do not nothing."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from blocks import events
from blocks.network import prefetch

SENT = events.Sent("GET api.example.com/items")


@pytest.fixture
def seen() -> Iterator[list[events.Event]]:
    """All events of the test."""
    found = list[events.Event]()
    stop = events.listen(found.append)
    yield found
    stop()


def test_all_who_listen_are_told(seen: list[events.Event]) -> None:
    """Until they no longer listen."""
    others = list[events.Event]()
    stop = events.listen(others.append)
    events.publish(SENT)
    stop()
    stop()
    events.publish(SENT)
    assert others == [SENT]
    assert seen == [SENT, SENT]


def test_nobody_listens_at_first() -> None:
    """So nothing need be made."""
    assert not events.heard()
    stop = events.listen(print)
    assert events.heard()
    stop()
    assert not events.heard()


def test_a_listener_that_fails_harms_nobody(
    seen: list[events.Event], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, the others are told, and the work goes on."""

    def broken(event: events.Event) -> None:
        raise ValueError("mine")

    stop = events.listen(broken)
    events.scoped(seen.append).run(events.publish, SENT)
    stop()
    assert seen == [SENT, SENT]
    assert "broken" in caplog.text
    assert "ValueError: mine" in caplog.text


def test_any_thread_is_heard(seen: list[events.Event]) -> None:
    """A listener for the process has what happens in the network thread and elsewhere."""
    thread = threading.Thread(target=events.publish, args=[SENT])
    thread.start()
    thread.join()
    assert seen == [SENT]


def test_a_scope_hears_what_its_pages_do() -> None:
    """Across the network thread: two listings at once, each counted for itself."""

    async def listing(name: str, pages: int) -> AsyncIterator[int]:
        for number in range(1, pages + 1):
            events.publish(events.Page(name, number, 0))
            yield number

    mine, others = list[events.Event](), list[events.Event]()
    one, other = prefetch(listing("GET a/1", 3)), prefetch(listing("GET a/2", 2))
    scopes: list[tuple[contextvars.Context, Iterator[int]]] = [
        (events.scoped(mine.append), one),
        (events.scoped(others.append), other),
    ]
    for context, pages in scopes:
        while context.run(next, pages, None) is not None:
            assert not events.heard()
    assert mine == [events.Page("GET a/1", number, 0) for number in (1, 2, 3)]
    assert others == [events.Page("GET a/2", number, 0) for number in (1, 2)]


def test_counts() -> None:
    """Plain numbers by plain names, seconds in thousandths."""
    counts, place = events.Counts(), "GET api.example.com/items"
    for event in (
        *(events.Sent(place), events.Sent(place)),
        events.Answered(place, 200, 5000, 0.12345),
        events.Failed(place, "ReadError", 1.5),
        events.Waited("Rate(1)", "its pace", 2.0),
        events.Retried(place, 1, "502", 0.5),
        events.Retried(place, 2, "ReadError", 0.5),
        events.Page(place, 1, 5000),
        events.Skipped(place, "Status(404, 'skip')"),
    ):
        counts(event)
    assert counts.read() == {
        "bytes": 5000,
        "failures": 1,
        "pages": 1,
        "requests": 2,
        "retries": 2,
        "retries: 502": 1,
        "retries: ReadError": 1,
        "seconds answering": 0.123,
        "seconds failing": 1.5,
        "seconds waiting": 2.0,
        "skips": 1,
        "skips: Status(404, 'skip')": 1,
        "waits": 1,
    }
    assert all(type(number) in {int, float} for number in counts.read().values())


def test_events_can_be_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A line each, at INFO."""
    caplog.set_level(logging.INFO, "blocks")
    stop = events.listen(events.log)
    events.publish(SENT)
    stop()
    assert caplog.messages == ["Sent(place='GET api.example.com/items')"]


def test_events_are_values() -> None:
    """They compare, and cannot be changed by one listener for the next."""
    assert events.Sent("GET a/b") == events.Sent("GET a/b")
    with pytest.raises(AttributeError):
        SENT.place = "elsewhere"  # type: ignore[misc]
