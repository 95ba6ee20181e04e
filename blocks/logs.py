"""Logs: what others write about our requests, without what is secret in them."""

from __future__ import annotations

import logging

import httpx

__all__ = ["hide_queries"]


def hide_queries() -> None:
    """Keep queries and users of URLs out of the logs of httpx, from now on in this process.

    httpx logs the URL of every request at INFO. Some APIs have their key in the query, and a signed
    link is a credential as a whole. httpcore, where it is the transport, logs the headers of
    answers at DEBUG: cookies, and links in which a server repeats the key it was sent.
    """
    logging.getLogger("httpx").addFilter(_hide_urls)
    logging.getLogger("httpcore.http11").addFilter(_is_harmless)


def _is_harmless(record: logging.LogRecord) -> bool:
    return "receive_response_headers.complete" not in record.getMessage()


def _hide_urls(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(
            arg.copy_with(userinfo=b"", query=None) if isinstance(arg, httpx.URL) else arg
            for arg in record.args
        )
    return True
