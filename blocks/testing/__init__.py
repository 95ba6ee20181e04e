"""Testing: replicas of APIs on loopback, for tests of sources that need no network.

    route (a function) -> Api (guards, declared parameters) -> serving (faults, hooks, counts)

    calls.py     what reaches a replica, what it says, how it refuses
    api.py       routes and guards put together; auth.py, limits.py: guards
    paging.py    rows to pages
    faults.py    what goes wrong
    server.py    the replica at an address; wire.py: HTTP
    fixtures.py  for pytest: pipelines of a test's own, and a trial of a whole source

Everything but the last needs nothing that `blocks` does not. cookbook/testing.md is the guide.
"""

from __future__ import annotations

from blocks.testing.api import Api
from blocks.testing.auth import Tokens, basic, bearer, header_key, query_key
from blocks.testing.calls import Answer, Call, Refused
from blocks.testing.limits import Allowance
from blocks.testing.paging import connection, keyed, linked, numbered, offset, unwrap, wrap
from blocks.testing.server import Server, serving

__all__ = [
    "Allowance",
    "Answer",
    "Api",
    "Call",
    "Refused",
    "Server",
    "Tokens",
    "basic",
    "bearer",
    "connection",
    "header_key",
    "keyed",
    "linked",
    "numbered",
    "offset",
    "query_key",
    "serving",
    "unwrap",
    "wrap",
]
