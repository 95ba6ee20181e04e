"""Nobody asks before the time that was told; no refresh token is lost."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from blocks.headers import retry_after
from tests.hostile.discipline import crowded, kills, storms, turns

THOROUGH = bool(os.environ.get("BLOCKS_THOROUGH"))


@pytest.mark.timeout(1800)
def test_storms_are_waited_for() -> None:
    """Of many workers none comes early, and they do not come back all at once."""
    line = storms(1000 if THOROUGH else 24)
    assert line.leaks == []


def test_the_impatient_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the storms mean nothing: who does not wait for what was told comes early."""

    class Impatient(httpx.AsyncBaseTransport):
        """Hides what was told."""

        def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
            self._transport = transport

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await self._transport.handle_async_request(request)
            for name in ("retry-after", "x-ratelimit-reset"):
                response.headers.pop(name, None)
            return response

        async def aclose(self) -> None:
            await self._transport.aclose()

    def client(url: str, *, limit: object, retry: Any) -> httpx.AsyncClient:
        transport = Impatient(httpx.AsyncHTTPTransport())
        return httpx.AsyncClient(base_url=url, transport=retry(transport), trust_env=False)

    monkeypatch.setattr("tests.hostile.discipline.client", client)
    assert any("before the time told" in leak for leak in storms(2).leaks)


@pytest.mark.timeout(1800)
def test_turns_are_as_many_as_agreed() -> None:
    """On both kinds of loop, whoever comes, goes and gives up, and all get theirs in time."""
    line = turns(10**6 if THOROUGH else 4000)
    assert line.leaks == []


def test_a_turn_too_many_is_seen() -> None:
    """Of a burst and of what is earned after it."""
    assert crowded([0.0, 0.0, 1.0, 2.0], pace=1.0, burst=2) == 0
    assert crowded([0.0, 0.0, 0.0, 1.0], pace=1.0, burst=2) == 2
    assert crowded([0.0, 5.0, 5.5, 6.0], pace=1.0, burst=1) == 2


def test_a_killed_process_leaves_a_good_refresh_token() -> None:
    """Wherever it is killed, the next one goes on from the file."""
    line = kills(200 if THOROUGH else 4)
    assert line.leaks == []


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
@pytest.mark.parametrize("hour", range(24))
def test_no_zone_changes_a_wait(zone: str, hour: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do the hours that daylight saving skips or repeats: dates on the wire are UTC."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for day in (8, 9):
            headers = {
                "Date": f"Sun, {day:02} Mar 2026 {hour:02}:30:00 GMT",
                "Retry-After": f"Sun, {day:02} Mar 2026 {hour:02}:59:00 GMT",
            }
            response = httpx.Response(429, headers=headers)
            assert retry_after(response, datetime.now(UTC)) == 29 * 60
    finally:
        monkeypatch.undo()
        time.tzset()
