"""`python -m blocks new`: a source of an API, its test and its project, out of a few answers."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

from blocks.auth import HeaderKey
from blocks.errors import ConfigError
from blocks.kinds import kind_for
from blocks.paginators import (
    Keyset,
    LinkHeader,
    NextToken,
    NextUrl,
    Offset,
    PageNumber,
    Paginator,
    SinglePage,
)
from blocks.scaffold.blueprint import (
    Allowance,
    Auth,
    AuthKind,
    Blueprint,
    Endpoint,
    Mark,
    Rows,
    endpoint,
)
from blocks.scaffold.files import vacant, write

__all__ = [
    "PAGINGS",
    "SIZES",
    "add_auth",
    "add_new",
    "allowance",
    "auth",
    "blueprint",
    "new",
    "pairs",
]

T = TypeVar("T")

# For each kind of paging: where the answer says what is next, and the parameter that takes it.
PAGINGS = {
    "link": ("", ""),
    "next-url": ("next", ""),
    "token": ("next_cursor", "cursor"),
    "page": ("", "page"),
    "offset": ("", "offset"),
    "keyset": ("", "starting_after"),
    "none": ("", ""),
}
SIZES = ("limit", "per_page", "page_size", "pageSize", "size", "take", "top", "$top", "maxResults")


def add_new(commands: Any) -> None:
    """Add the command to those of a parser."""
    parser = commands.add_parser(
        "new",
        help="write a source, its test and its project",
        description="Asks for what is not given, on a terminal; elsewhere the defaults count.",
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="of the source and its module, such as github_issues")
    add("--url", help="of the first page, parameters included")
    add_auth(parser, get_args(AuthKind))
    add("--token-url", metavar="URL", help="where client credentials get a token")
    add("--paging", choices=PAGINGS, help="how to come to the next page (page)")
    add("--next", metavar="PATH", help="where a body has the next URL or token, such as meta.next")
    add("--param", help="that takes the token, page number, offset or key")
    add("--records", metavar="PATH", help="where a body has the records (the body is the array)")
    add("--key", metavar="COLUMN", help="that tells records apart (id); '' for none")
    add("--cursor", metavar="COLUMN", help="that tells what changed, such as updated_at")
    add("--start", help="of the cursor: a time, a day or a number (1970-01-01T00:00:00Z)")
    add("--since", metavar="PARAM", help="parameter that asks for records from the cursor on")
    add("--limit", metavar="N/PER", help="calls allowed in so many seconds, such as 100/60")
    parser.set_defaults(run=new)


def add_auth(parser: argparse.ArgumentParser, kinds: Iterable[str]) -> None:
    """Add what says how credentials and other headers are sent."""
    add = parser.add_argument
    add("--auth", choices=[*kinds], help="how credentials are sent (bearer)")
    add("--auth-name", metavar="NAME", help="header (X-API-Key) or parameter (api_key) of a key")
    add("--header", action="append", metavar="'NAME: VALUE'", help="for all calls; no secrets")


def new(options: argparse.Namespace) -> tuple[str, int]:
    """Write what `options` and answers say into the working directory.

    What to do next, and the exit status.
    """
    ask = _asked if sys.stdin.isatty() else _default
    folder = Path()
    vacant(options.name, folder)
    return write(blueprint(options, ask), folder), 0


Ask = Callable[[str, str, Callable[[str], Any]], Any]


def blueprint(options: argparse.Namespace, ask: Ask) -> Blueprint:
    """What the options say; the rest is what `ask` answers.

    Of `ask` are wanted, of a question and its default, what the function makes of the answer, which
    raises `ConfigError` for one that will not do.
    """

    def choose(given: str | None, question: str, default: str, read: Callable[[str], T]) -> T:
        made: T = ask(question, default, read) if given is None else read(given)
        return made

    headers = pairs(options.header or [])
    place = choose(options.url, "URL of the first page", "", lambda url: endpoint(url, headers))
    credentials = auth(options, place, choose)
    paging = choose(options.paging, f"Paging ({', '.join(PAGINGS)})", "page", _one_of(PAGINGS))
    path, param = PAGINGS[paging]
    if path:
        path = choose(options.next, "Where the body says what is next", path, _some)
    if param:
        param = choose(options.param, "Parameter that takes it", param, _some)
    records = choose(options.records, "Where the records are (empty: the body)", "", str)
    key = choose(options.key, "Column that tells records apart (empty: none)", "id", str)
    cursor = choose(options.cursor, "Column that tells what changed (empty: none)", "", str)
    mark = None
    if cursor:
        start = choose(options.start, "Where it starts", "1970-01-01T00:00:00Z", _start)
        since = choose(options.since, "Parameter that asks from there on (empty: none)", "", str)
        mark = Mark(cursor, start, kind_for(start), since)
    limit = choose(options.limit, "Calls allowed, such as 100/60 (empty: not known)", "", allowance)
    return Blueprint(
        options.name,
        place if paging != "offset" else _sized(place),
        _paginator(paging, path, param, place, (records, key)),
        auth=credentials,
        rows=Rows(records, key or None, mark),
        allowance=limit,
    )


def auth(options: argparse.Namespace, place: Endpoint, choose: Callable[..., Any]) -> Auth:
    """How credentials are sent."""
    kinds = get_args(AuthKind)
    kind = choose(options.auth, f"Credentials ({', '.join(kinds)})", "bearer", _one_of(kinds))
    name = {"header-key": "X-API-Key", "query-key": "api_key"}.get(kind, "")
    if name:
        name = choose(options.auth_name, "Name of the header or parameter", name, _key_name(kind))
    token_url = ""
    if kind == "client-credentials":
        default = f"{place.base_url}/oauth/token"
        token_url = choose(options.token_url, "Where tokens are had", default, str)
        told = endpoint(token_url)
        if told.params:
            raise ConfigError("token_url: expected one without parameters")
    return Auth(kind, name, token_url)


def pairs(headers: list[str]) -> dict[str, str]:
    """Headers, each written as `Name: value`.

    >>> pairs(["Notion-Version: 2022-06-28"])
    {'Notion-Version': '2022-06-28'}
    """
    found = {}
    for text in headers:
        match = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):\s*([ -~]*[!-~])", text)
        if match is None:
            raise ConfigError("header: expected 'Name: value' in ASCII, got other text")
        found[match[1]] = match[2]
    return found


def allowance(text: str) -> Allowance | None:
    """What `text` allows: `100/60` is 100 calls in 60 seconds, `5` is 5 in one, "" says nothing.

    >>> allowance("100/60")
    Allowance(count=100, per=60.0, quotas=None)
    """
    if not text:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,8})(?:/([0-9]{1,8}(?:\.[0-9]{1,3})?))?", text)
    if found is None or not float(found[2] or 1):
        raise ConfigError(f"limit: expected calls and seconds such as 100/60, got {text!r}")
    return Allowance(int(found[1]), float(found[2] or 1))


def _paginator(
    paging: str, path: str, param: str, place: Endpoint, rows: tuple[str, str]
) -> Paginator:
    given = dict(place.params)
    records, key = rows
    start = 0 if given.get(param) == "0" else 1
    size = next((name for name in SIZES if name in given), "limit")
    limit = int(given[size]) if given.get(size, "").isdigit() else 100
    if paging == "keyset" and not key:
        raise ConfigError("paging: keyset goes on after the key of a record, got no key")
    paginators: dict[str, Callable[[], Paginator]] = {
        "link": LinkHeader,
        "next-url": lambda: NextUrl(path),
        "token": lambda: NextToken(path, param),
        "page": lambda: PageNumber(param, start=start, records=records),
        "offset": lambda: Offset(limit, offset_param=param, limit_param=size, records=records),
        "keyset": lambda: Keyset(records, [key] if re.search(r"[.\[\]]", key) else key, param),
        "none": SinglePage,
    }
    return paginators[paging]()


def _sized(place: Endpoint) -> Endpoint:
    """With a size of the page, as `Offset` asks for it on those after the first."""
    if any(name in SIZES for name, _ in place.params):
        return place
    return Endpoint(place.base_url, place.path, (*place.params, ("limit", "100")), place.headers)


def _asked(question: str, default: str, read: Callable[[str], T]) -> T:
    while True:
        try:
            return read(input(f"{question}{f' [{default}]' if default else ''}: ") or default)
        except ValueError as error:
            sys.stderr.write(f"{error}\n")


def _default(_: str, default: str, read: Callable[[str], T]) -> T:
    return read(default)


def _one_of(names: Any) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ConfigError(f"expected one of {', '.join(names)}, got {text!r}")
        return text

    return read


def _some(text: str) -> str:
    if not text:
        raise ConfigError("expected some text, got none")
    return text


def _key_name(kind: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if kind == "header-key":
            HeaderKey("checked", name=text)
        return _some(text)

    return read


def _start(text: str) -> str | int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else _some(text)
