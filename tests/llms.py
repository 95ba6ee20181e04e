"""The page for language models: the whole interface and how to use it, made from the code.

`python -m tests.llms` writes `cookbook/llms.txt`; `tests/test_cookbook.py` fails when it is stale.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.test_api import Source, plain, public_modules, signature

COOKBOOK = Path(__file__).parent.parent / "cookbook"
EXAMPLES = ("github_issues.py", "shopify.py", "pokeapi.py")

# What blocks are made of, and commands: named, not described.
PLUMBING = {
    f"blocks.{name}"
    for name in (
        *(
            "adaptive",
            "addresses",
            "bodies",
            "calendars",
            "exchanges",
            "flaws",
            "grants",
            "guards",
            "headers",
        ),
        *(
            "instants",
            "links",
            "loadfiles",
            "logs",
            "parts",
            "scaffold",
            "secrets",
            "turns",
            "waiting",
        ),
    )
}
# What every source has: shown with types.
TYPED = {f"blocks.{name}" for name in ("client", "dlt", "fanout", "fetch", "network")}
# How transports, auth flows, limits and paginators are called by those they are given to.
CALLED = {
    *("aclose", "answer", "async_auth_flow", "auth_flow", "back", "encoded", "floor", "follows"),
    *("fresh", "handle", "handle_async_request", "keyed", "obtain", "parts", "points"),
    *("position", "read", "refuse", "rest", "rows", "sign", "step", "sync_auth_flow", "to"),
    *("unique", "unkeyed", "wait"),
}

RULES = """\
# blocks

> Async primitives for API sources for dlt (auth, paginators, limits, retries, cursors; on httpx and
> anyio), and a normalizer from JSON pages to Arrow tables. `pip install dlt-blocks`; Python 3.11+.

Made from the code by `python -m tests.llms`. README.md beside this file has a tutorial and an index
of recipes by need.

## How to compose a source

As in github_issues.py, below:

1. `client` (blocks.client): one for each API and credential; `base_url` is a parameter of the
   source, so that tests have an API of their own.
2. `limit=Rate(count, per=seconds, burst=n)` as the vendor documents; share one object.
3. `first = api.build_request(...)`; ids go into URLs by `blocks.requests.path("/a/{}/b", id)`.
4. A paginator (blocks.paginators) makes the next request of a response. Say which; end it with
   `Until(paginator, Flag("has_more"))` and the like (blocks.stops) where the API tells the end.
   Totals known: `gather(api, first, Until(PageNumber(), TotalPages("pages")), at_once=8)`.
5. `prefetch` brings async pages into the plain generator of a dlt resource; `load` makes tables:
   `path` leads to the records. Lists of rows that you changed are taken in the place of pages.
6. Incremental: `seen = cursor(column, start=...)` of blocks.dlt, made inside the resource and given
   to `load`; into the request goes what the API's parameter means: `seen.since` (>=), `after` (>),
   `until` (<), `through` (<=). Rows that never change: `where=seen.within`, then `seen.complete()`.
   Windows: `intervals` and `windows`; one cursor for each parent: `partitions`.
7. Children: a `@dlt.transformer(data_from=orders)` with `fan_out(parents(table, "id"), fetch)`, and
   `load((page, {"order_id": id}) for id, page in prefetch(found))`.
8. Deletes: `columns=flag()` with `tombstones`, or `Keys`, `known` and `vanished`.
9. Errors that say 200: `client(..., transport=Judged(Connections(), Value("ok", False)))`.
   A POST that only reads: `retry=partial(Retry, reads=lambda request: True)`.
10. GraphQL: `query`, `Relay`, `Errors`; lists inside of records: `complete`, with `more`.
11. Reports made later: `Job` and `run`; files: `download` and blocks.formats.

Do not:

- write a loop with sleeps, retries or `Retry-After`: client has them; nor catch httpx's errors;
- follow redirects or links to other hosts by yourself, put secrets into URLs, or print them;
- guess paging or fields: read the vendor's page, cite it in the docstring;
- call `page.json()` to load unchanged records: pass the response to `load`;
- swallow errors or `skip` statuses unless the vendor says what they mean;
- use `prefetch` inside async code (`async for` there), or `yield` inside a task group;
- keep state anywhere but in `cursor`, `intervals`, `partitions` or `dlt.current.resource_state()`;
- call `dlt.sources.incremental`, or `replace` a table that is read incrementally.

Test each source against a replica (blocks.testing): `Api`, guards, routes; `with serving(api) as
server`; `server.fail(503)`; the fixtures `trial`, `pipeline`, `rows` of `blocks.testing.fixtures`
(`pytest_plugins`). `blocks.testing.faults` has `cut`, `garbled`, `html`, `reset`, `late`, `drip`.
`python -m blocks probe URL` looks at an API, `python -m blocks new NAME --url URL` writes a source.

## Interface

Types are httpx's where not ours; `pa` is pyarrow. Transports, auth flows and paginators are passed
on rather than called, so how they are called is left out here.
"""


def first_line(thing: Any) -> str:
    """What a docstring says first."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def called(name: str, thing: Any, typed: bool) -> str:
    """A callable with its signature on one line: with types, or with names and defaults alone."""
    asynchronous = inspect.iscoroutinefunction(thing) or inspect.isasyncgenfunction(thing)
    if typed:
        text = " ".join(line.strip() for line in signature(thing)).removesuffix(" -> None")
        text = text.replace("( ", "(").replace(",)", ")").replace(", )", ")")
    else:
        found = inspect.signature(thing)
        bare = [
            each.replace(annotation=each.empty, default=shown(each.default))
            for each in found.parameters.values()
        ]
        text = str(found.replace(parameters=bare, return_annotation=found.empty))
    text = text.replace("(self, ", "(").replace("(self)", "()")
    return ("async " if asynchronous else "") + name + text


def shown(default: Any) -> Any:
    """A default as it is printed; of functions that have no public name, dots."""
    if isinstance(default, str):
        return default
    hidden = inspect.isroutine(default) and default.__name__[0] in "_<"
    return Source("...") if hidden else plain(default)


def entries(name: str, thing: Any, typed: bool) -> Iterator[str]:
    """The lines of a function or class."""
    if inspect.isroutine(thing):
        yield f"- {called(name, thing, typed)}: {first_line(thing)}"
        return
    own = "__init__" in vars(thing) and not getattr(thing, "_is_protocol", False)
    yield f"- {called(name, thing, typed) if own else name}: {first_line(thing)}"
    attributes = []
    for attribute, value in sorted(vars(thing).items()):
        if attribute.startswith("_") or attribute in CALLED:
            continue
        if isinstance(value, property):
            attributes.append(attribute)
        elif inspect.isroutine(value):
            attributes.append(called(attribute, getattr(thing, attribute), typed))
    if attributes:
        yield "  has " + "; ".join(attributes)


def interface() -> Iterator[str]:
    """All public modules: what is in them, and the names of those that users seldom meet."""
    plumbing = []
    for name in public_modules():
        module = importlib.import_module(name)
        if name in PLUMBING:
            plumbing.append(f"- {name}: {', '.join(module.__all__)}")
            continue
        yield f"\n### {name}\n"
        others = []
        for public in module.__all__:
            thing = getattr(module, public)
            if inspect.isroutine(thing) or (inspect.isclass(thing) and thing is not Any):
                yield from entries(public, thing, name in TYPED)
            else:
                others.append(public)
        if others:
            yield "- also " + ", ".join(others)
    yield from ("\n### What these are made of\n", *plumbing)


def text() -> str:
    """The whole page."""
    examples = [
        f"\n### {name}\n\n```python\n{(COOKBOOK / name).read_text(encoding='utf-8')}```"
        for name in EXAMPLES
    ]
    return RULES + "\n".join([*interface(), "\n## Three whole sources", *examples]) + "\n"


if __name__ == "__main__":
    (COOKBOOK / "llms.txt").write_text(text(), encoding="utf-8")
