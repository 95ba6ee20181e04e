"""Amplitude: raw events by the hour in which they were uploaded, from the Export API.

Loads `events`, each once. An export is a zip of gzipped lines; it goes to disk, not to memory. A
day is asked for at a time, and halved if it is more than the 4 GB that an export may have. Hours
can be had two hours after they ended; one more is waited for, as an hour asked for too early would
look like one without events. A connection that is lost ends the run, and the next begins anew.

Change: the start; `base_url` is "https://analytics.eu.amplitude.com" for projects in the EU. The
keys are those of the project. What is in properties is up to whoever tracks, so it stays JSON. An
hour beyond 4 GB needs Amplitude's export to S3.

https://amplitude.com/docs/apis/analytics/export
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dlt
import httpx

from blocks.auth import Basic
from blocks.client import SameOrigin
from blocks.connections import Connections
from blocks.dlt import intervals, load
from blocks.downloads import download
from blocks.errors import StatusError
from blocks.formats import gunzip, ndjson, unzip
from blocks.kinds import Pattern
from blocks.network import prefetch

logger = logging.getLogger(__name__)

OBJECTS = ["data", "event_properties", "global_user_properties", "group_properties"]
OBJECTS += ["groups", "plan", "user_properties"]
TIMES = ["client_event_time", "client_upload_time", "event_time", "processed_time"]
TIMES += ["server_received_time", "server_upload_time", "user_creation_time"]
TYPES: dict[str, Any] = dict.fromkeys(OBJECTS, "json") | dict.fromkeys(TIMES, "timestamp")


@dlt.source
def amplitude(
    start: str = "20240101T00",
    base_url: str = "https://amplitude.com",
    api_key: str = dlt.secrets.value,
    secret_key: str = dlt.secrets.value,
) -> Any:
    # Streams, unlike `client`, and has credentials, unlike `storage` of `blocks.downloads`.
    api = httpx.AsyncClient(
        base_url=base_url,
        auth=Basic(api_key, secret_key),
        timeout=600,  # seconds until an export is made
        transport=SameOrigin(Connections(), base_url),
        trust_env=False,
    )

    @dlt.resource(
        write_disposition="append",
        columns={name: {"data_type": kind} for name, kind in TYPES.items()},
    )
    def events() -> Iterator[Any]:
        hours = Pattern("%Y%m%dT%H", step=timedelta(hours=1))
        done = intervals("events", start=start, kind=hours, lag=timedelta(hours=3))
        todo = done.todo("day")
        while todo:
            window = todo.pop(0)
            bounds = {"start": window.since, "end": window.through}
            request = api.build_request("GET", "/api/2/export", params=bounds)
            try:
                for _, lines in unzip(prefetch(download(api, request))):
                    yield from load(ndjson(gunzip(lines)))
            except StatusError as error:
                status, halves = error.response.status_code, window.halves()
                if status == 400 and halves:
                    todo[:0] = halves
                    continue
                if status != 404:
                    raise
                logger.info("no events from %s", window)
            done.add(window)

    return events
