"""Amplitude's Export API, as https://amplitude.com/docs/apis/analytics/export documents it.

`start` and `end` are hours, both included, of 365 days at most; the answer is a zip of gzipped
lines, a file for each hour or more. Without events it is a 404, beyond 4 GB (here so many events)
a 400. An hour is there two hours after it has ended. Keys go by Basic.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

from blocks.testing import Answer, Api, Call, Refused, basic

Row = dict[str, Any]
HOUR = timedelta(hours=1)


class Amplitude:
    """Events by the hour of their upload; an export has `most` of them."""

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.events: dict[datetime, list[Row]] = {}
        self.api = Api(basic("key", "not-a-secret"))
        self.api.get("/api/2/export", query="start end")(self._export)

    def add(self, hour: datetime, name: str, **properties: Any) -> Row:
        """A new event."""
        rows = self.events.setdefault(hour, [])
        row = {"uuid": f"{hour:%Y%m%dT%H}-{len(rows)}", "event_type": name, "user_id": None}
        row |= {"server_upload_time": f"{hour:%Y-%m-%d %H}:59:59.123000"}
        rows.append({**row, "event_properties": properties, "user_properties": {}})
        return rows[-1]

    def _export(self, call: Call) -> Answer:
        try:
            start, end = (_hour(call.query[name]) for name in ("start", "end"))
        except ValueError:
            raise Refused(400, "expected hours as YYYYMMDDTHH") from None
        if not timedelta() <= end - start < timedelta(days=365):
            raise Refused(400, "expected at most 365 days, in order")
        there = min(end, datetime.now(UTC) - 3 * HOUR)
        found = {hour: rows for hour, rows in self.events.items() if start <= hour <= there}
        if not found:
            raise Refused(404, "Raw data files were not found.")
        if sum(map(len, found.values())) > self.most:
            raise Refused(400, "Export is too large")
        with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
            for hour, rows in found.items():
                lines = "".join(json.dumps(row) + "\n" for row in rows)
                name = f"187520/187520_{hour:%Y-%m-%d_%H}#0.json.gz"
                archive.writestr(name, gzip.compress(lines.encode()))
        return Answer(file.getvalue(), headers={"Content-Type": "application/zip"})


def _hour(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H").replace(tzinfo=UTC)
