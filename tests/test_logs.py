"""What httpx logs of our requests holds no secret."""

from __future__ import annotations

import logging

import httpx
import pytest

from blocks.logs import hide_queries

SECRET = "c4n4ry"


def test_urls_are_logged_without_query_and_user(caplog: pytest.LogCaptureFixture) -> None:
    """Host and path stay; asked for twice, it is done once."""
    caplog.set_level(logging.INFO, logger="httpx")
    hide_queries()
    hide_queries()
    logger = logging.getLogger("httpx")
    logger.info("%s %s", "GET", httpx.URL(f"https://me:{SECRET}@api.example.com/x?key={SECRET}"))
    logger.info("%(count)d left", {"count": 3})
    assert caplog.messages == ["GET https://api.example.com/x", "3 left"]
