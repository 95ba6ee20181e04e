"""The same faults for dlt's own `rest_api` source, as far as it can be asked to read these worlds.

It runs in real time, except that its waits are counted instead of waited for, and that timeouts and
the server's silences are shortened alike. What it makes of a fault may be A or B, whichever; failed
is what is neither: records lost, doubled or changed without an error, errors of no known type, a
secret shown or sent elsewhere, requests before the time told, or without end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dlt.sources.helpers.requests import Client
from dlt.sources.rest_api import rest_api_source

from tests.faults.cases import CANARY, Api, Case
from tests.faults.drivers import Driver, Outcome
from tests.faults.server import serving_thread
from tests.faults.world import Row, nanoseconds, row

__all__ = ["KINDS", "Peer"]

KINDS = {1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 25}

_SHORTER = 0.002
_TIMEOUT = 60 * _SHORTER

_PAGINATORS: dict[str, Any] = {
    "link": {"type": "header_link"},
    "url": {"type": "json_link", "next_url_path": "next"},
    "token": {"type": "cursor", "cursor_path": "meta.next", "cursor_param": "cursor"},
    "page": {"type": "page_number", "base_page": 1, "total_path": None},
    "pages": {"type": "page_number", "base_page": 1, "total_path": "meta.pages"},
    "gather": {"type": "page_number", "base_page": 1, "total_path": "meta.pages"},
    "offset": {"type": "offset", "limit_param": "n", "total_path": "meta.total"},
}


class Peer(Driver):
    """By dlt's `rest_api` source, all of it each time, into memory."""

    strict = False

    @staticmethod
    def able(case: Case) -> bool:
        """Whether it has a paginator and credentials for this case.

        It knows no cookies; keys in a query it shows in each line of urllib3's log at DEBUG, which
        would hide what this is about.
        """
        case.warm = False
        known = case.credentials in {"basic", "bearer", "header", "oauth"}
        return known and case.world.style_name in _PAGINATORS and not case.read

    def typed(self, error: BaseException) -> bool:
        """Whether `error` is one of dlt, or of the client it uses."""
        return type(error).__module__.split(".")[0] in {"dlt", "requests", "urllib3"}

    def run(self, *, clean: bool) -> Outcome:
        """Read once."""
        case = self.case
        with _counted() as clock:
            api = Api(case, clock, clean=clean)
            outcome = Outcome([], {}, None, api)
            tls = case.tls(clean) if case.tls else None
            with serving_thread(api, tls, _SHORTER) as server:
                api.url = f"{'https' if case.tls else 'http'}://127.0.0.1:{server.port}"
                session = Client(raise_for_status=False, request_timeout=_TIMEOUT).session
                session.trust_env = False  # it would put the machine's authorities before ours
                if case.authority is not None:
                    session.verify = str(self.folder / "authority.pem")
                    case.authority().cert_pem.write_to_path(session.verify)
                try:
                    outcome.rows.extend(map(_row, _source(case, api.url, session)))
                except Exception as error:  # noqa: BLE001 - judged
                    outcome.error = error
        self.keep(outcome)
        return outcome


def _source(case: Case, url: str, session: Any) -> Any:
    world = case.world
    paginator = dict(_PAGINATORS[world.style_name])
    if world.style_name == "offset":
        paginator["limit"] = world.size
    config: Any = {
        "client": {
            "base_url": url,
            "auth": _auth(case, url),
            "paginator": paginator,
            "session": session,
        },
        "resources": [
            {
                "name": "items",
                "endpoint": {
                    "path": "items",
                    "params": {"n": world.size},
                    "data_selector": world.style.path or "$",
                },
            }
        ],
    }
    return rest_api_source(config).resources["items"]


def _auth(case: Case, url: str) -> Any:
    if case.credentials == "bearer":
        return {"type": "bearer", "token": CANARY}
    if case.credentials == "basic":
        return {"type": "http_basic", "username": CANARY, "password": CANARY}
    if case.credentials == "oauth":
        return {
            "type": "oauth2_client_credentials",
            "access_token_url": f"{url}/token",
            "client_id": "me",
            "client_secret": CANARY,
        }
    return {"type": "api_key", "name": "X-Api-Key", "api_key": CANARY, "location": "header"}


def _row(found: Any) -> Row:
    try:
        if nanoseconds(found["updated_at"]) >= 0:
            return row(found)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    return (repr(found)[:40],)


@contextmanager
def _counted() -> Iterator[Any]:
    """A clock that also counts what `time.sleep` was asked for and did not do."""
    slept = 0.0
    sleep = time.sleep

    def skip(seconds: Any) -> None:
        nonlocal slept
        slept += seconds

    time.sleep = skip
    try:
        yield lambda: time.monotonic() + slept
    finally:
        time.sleep = sleep
