"""Slack's Web API: channels, messages and threads.

https://docs.slack.dev/apis/web-api/pagination: `response_metadata.next_cursor`, "" at the end.
https://docs.slack.dev/reference/methods/conversations.history: newest first, without replies;
`oldest` is exclusive unless `inclusive`; the first message of a thread has `latest_reply`.
https://docs.slack.dev/reference/methods/conversations.replies: the first message, whatever `oldest`
is, and then the replies, oldest first.
Errors have status 200, `ok: false` and an `error`; only the limits of
https://docs.slack.dev/apis/web-api/rate-limits are a 429 with `Retry-After`.
"""

from __future__ import annotations

from typing import Any

from blocks.testing import Allowance, Answer, Api, Call, Refused, bearer, offset, unwrap, wrap
from blocks.testing.api import Guard

Row = dict[str, Any]
CODES = {401: "invalid_auth", 404: "unknown_method", 429: "ratelimited"}


class Slack:
    """A workspace: its channels, their messages and replies by `ts`; `size` on a page at most."""

    def __init__(self, channels: list[str], *, size: int = 200) -> None:
        self.channels = channels
        self.messages: dict[str, dict[str, Row]] = {channel: {} for channel in channels}
        self._size = size
        token = bearer("xoxb-t0ken")
        self.api = Api(token, Allowance(20), problem=_problem)
        for method, names, answer in (
            ("users.conversations", "types", self._conversations),
            ("conversations.history", "channel oldest latest inclusive", self._history),
            ("conversations.replies", "channel oldest latest inclusive ts", self._replies),
        ):
            guards: list[Guard] = [token, Allowance(20 if "users" in method else 50)]
            self.api.get(f"/api/{method}", query=f"limit cursor {names}", guards=guards)(answer)

    def say(self, channel: str, ts: str, text: str, thread: str | None = None) -> None:
        """A new message, or one more in a thread."""
        message: Row = {"type": "message", "ts": ts, "text": text, "user": "U1"}
        if thread is not None:
            first = self.messages[channel][thread]
            first |= {"thread_ts": thread, "reply_count": first.get("reply_count", 0) + 1}
            first |= {"latest_reply": ts}
            message["thread_ts"] = thread
        self.messages[channel][ts] = message

    def _conversations(self, call: Call) -> Row:
        rows = [{"id": channel, "name": channel.lower()} for channel in self.channels]
        return self._paged(call, "channels", rows)

    def _history(self, call: Call) -> Row:
        found = [row for row in self._since(call) if row.get("thread_ts", row["ts"]) == row["ts"]]
        return self._paged(call, "messages", found[::-1])

    def _replies(self, call: Call) -> Row:
        thread = call.query["ts"]
        if thread not in self.messages[call.query["channel"]]:
            raise Refused(200, "thread_not_found")
        first = self.messages[call.query["channel"]][thread]
        found = [row for row in self._since(call) if row.get("thread_ts") == thread]
        return self._paged(call, "messages", [first, *(row for row in found if row is not first)])

    def _since(self, call: Call) -> list[Row]:
        if call.query["channel"] not in self.channels:
            raise Refused(200, "channel_not_found")
        oldest = float(call.query.get("oldest", 0))
        same = call.query.get("inclusive") == "true"
        rows = self.messages[call.query["channel"]]
        return [
            rows[ts] for ts in sorted(rows) if float(ts) > oldest or (same and float(ts) == oldest)
        ]

    def _paged(self, call: Call, name: str, rows: list[Row]) -> Row:
        size = min(self._size, call.query.whole("limit", 100, least=1, most=999))
        page = offset(rows, unwrap(call.query.get("cursor"), 0), size)
        meta = {"next_cursor": wrap(page.next) or ""}
        return {"ok": True, name: page.rows, "has_more": page.more, "response_metadata": meta}


def _problem(refused: Refused) -> Answer:
    error = CODES.get(refused.status, refused.message)
    status = refused.status if refused.status == 429 or refused.status >= 500 else 200
    return Answer({"ok": False, "error": error}, status, refused.headers)
