"""`python -m blocks probe`: what an API shows of itself in four requests at most, as code."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import anyio
import httpx

from blocks.errors import ConfigError
from blocks.json import Path as Place
from blocks.scaffold.blueprint import Auth, AuthKind, Blueprint, Endpoint, Rows, endpoint
from blocks.scaffold.bodies import Page, arrays, shown
from blocks.scaffold.expressions import expression
from blocks.scaffold.files import vacant, write
from blocks.scaffold.findings import Finding, report
from blocks.scaffold.new import add_auth, auth, pairs
from blocks.scaffold.paging import paging
from blocks.scaffold.rates import rate
from blocks.scaffold.source import imported, imports_of
from blocks.scaffold.tables import changes, identity, listing
from blocks.scaffold.visits import Visits, reason
from blocks.secrets import mentions

__all__ = ["Probe", "add_probe", "probe", "probed"]


def add_probe(commands: Any) -> None:
    """Add the command to those of a parser."""
    parser = commands.add_parser(
        "probe",
        help="find out how an API pages, and what its records have",
        description="Sends at most 4 GET requests, to one origin, and says what it is not sure of.",
    )
    parser.add_argument("url", metavar="URL", help="of the first page, parameters included")
    # Client credentials would need more requests, and other ones.
    add_auth(parser, [kind for kind in get_args(AuthKind) if kind != "client-credentials"])
    parser.add_argument(
        "--token-env",
        metavar="VARIABLE",
        help="environment variable with the credentials; user:password for basic",
    )
    parser.add_argument("--records", metavar="PATH", help="where a body has the records")
    parser.add_argument("--write", metavar="NAME", help="write a source, as `new` does")
    parser.set_defaults(run=probe)


def probe(options: argparse.Namespace) -> tuple[str, int]:
    """What is found out about the API, and what was written of it; the exit status."""
    place = endpoint(options.url, pairs(options.header or []))
    if options.auth is None:
        options.auth = "bearer" if options.token_env else "none"
    credentials = auth(options, place, _given)
    secret = _secret(options.token_env, credentials)
    if options.write:
        vacant(options.write, Path())
    found = anyio.run(probed, place, credentials, secret, options.records)
    text = found.text()
    # Names out of an answer are in the text, and nothing of it is in a file that is not here.
    if len(secret) >= _TELLING and mentions(text, [secret, secret.partition(":")[2]]):
        raise ConfigError("expected no credentials in names of the API's, got some: not shown")
    if not options.write:
        return text, 0
    try:
        plan = found.blueprint(options.write, place, credentials)
    except ConfigError as error:
        return f"{text}\n\nNot written: {error}", 1
    return f"{text}\n\n{write(plan, Path())}", 0


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found out, and in how many requests."""

    records: Finding
    paging: Finding
    key: Finding
    cursor: Finding
    rate: Finding
    requests: int

    def text(self) -> str:
        """All of it for people, and what is sure of it as code."""
        findings = (self.records, self.paging, self.key, self.cursor, self.rate)
        names = ("path", "paginator", "primary_key", "updated", "limit")
        lines = [
            f"{name} = {found.code}"
            for name, found in zip(names, findings, strict=True)
            if found.sure
        ]
        used = imported(imports_of(self.paging.value, self.cursor.value, self.rate.value))
        code = "\n".join([*used, *([""] if used else []), *lines])
        head = f"{self.requests} request{'s' if self.requests > 1 else ''}"
        return "\n\n".join([head, report(findings), *([code] if lines else [])])

    def blueprint(self, name: str, place: Endpoint, auth: Auth) -> Blueprint:
        """A source of what is sure; raises `ConfigError` where its records would not be all."""
        for found in (self.records, self.paging):
            if not found.sure:
                message = f"expected to be sure of its {found.topic}"
                raise ConfigError(f"{message}: say it to `python -m blocks new {name}`")
        # Without a key changed records cannot be merged: all are read, and replace the table.
        mark = self.cursor.value if self.key.sure else None
        rows = Rows(self.records.value, self.key.value, mark)
        return Blueprint(name, place, self.paging.value, auth, rows, self.rate.value)


async def probed(place: Endpoint, auth: Auth, secret: str, records: Place | None) -> Probe:
    """What is found out in a few requests; raises `BlocksError` if the first fails."""
    visits = Visits(place, auth, secret)
    try:
        try:
            page = Page(await visits.first())
        except httpx.HTTPError as error:
            raise ConfigError(f"url: expected an answer, got none: {reason(error)}") from None
        if records is None:
            found = listing(page)
            longest = max(arrays(page.document), key=lambda each: len(each[1]), default=((), []))
            page = page.at(found.value if found.sure else shown(longest[0]))
        else:
            page = page.at(records)
            found = _stated(page, records)
        known = identity([page]).value if found.sure else None
        way, second = await paging(visits, page, known, counts=found.sure)
    finally:
        await visits.close()
    pages = [page] if second is None else [page, second]
    unknown = ("not looked for, as it is not sure where the records are",)
    columns = identity(pages), changes(pages)
    if not found.sure:
        columns = (
            Finding("key", why=unknown, sure=False),
            Finding("cursor", why=unknown, sure=False),
        )
    return Probe(found, way, *columns, rate(visits.answers), len(visits.answers))


def _stated(page: Page, records: Place) -> Finding:
    """What `--records` says, as far as it is so."""
    code = expression(records)
    if not page.rows:
        why = f"there are no records at {code} of page 1"
        return Finding("records", why=(why,), sure=False, advice="another --records PATH")
    return Finding("records", records, (f"as you say: {len(page.rows)} on page 1",), code)


def _secret(variable: str | None, auth: Auth) -> str:
    if auth.kind == "none":
        return ""
    if variable is None:
        raise ConfigError(f"auth: {auth.kind} needs --token-env VARIABLE")
    if not (secret := os.environ.get(variable, "")):
        raise ConfigError(f"token-env: expected credentials in {variable!r}, got nothing")
    return secret


def _given(given: str | None, _: str, default: str, read: Callable[[str], Any]) -> Any:
    return read(default if given is None else given)


# A word of a few letters is found in any text.
_TELLING = 8
