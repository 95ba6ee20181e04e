"""Tables: where in an answer the records are, what tells them apart, and what tells of changes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from blocks.kinds import Dates, Epoch, Kind, Times
from blocks.scaffold.blueprint import Mark
from blocks.scaffold.bodies import Page, Steps, arrays, bare, fields, shown
from blocks.scaffold.expressions import called, expression
from blocks.scaffold.findings import Finding
from blocks.scaffold.source import cursor_arguments

__all__ = ["changes", "identity", "listing"]

_START = "1970-01-01T00:00:00Z"
_LISTS = {
    *("content", "data", "documents", "elements", "entries", "hits", "items", "list", "objects"),
    *("records", "resources", "response", "result", "results", "rows", "value", "values"),
}
_OTHERS = {"error", "errors", "included", "messages", "warnings"}
_UPDATED = {
    *("changed", "changedat", "datemodified", "dateupdated", "lastchanged", "lastmodified"),
    *("lastmodifieddate", "lastmodifiedat", "lastupdated", "lastupdatedat", "lastupdatetime"),
    *("modified", "modifiedat", "modifiedon", "modifieddate", "modifiedtime", "systemmodstamp"),
    *("updated", "updatedat", "updateddate", "updatedon", "updatedtime", "updatetime"),
    *("updatedate", "updatedtimestamp"),
}
_CHANGE = re.compile(r"updat|modif|chang|edit")
_CREATION = re.compile(r"creat|insert|added|occur|timestamp|^time$|^date$|^at$")


def listing(page: Page) -> Finding:
    """Where the records of `page` are."""
    found = arrays(page.document)
    failed = isinstance(page.document, dict) and [
        name
        for name in page.document
        if (bare(name) in {"error", "errors"} and page.document[name])
        or (bare(name) in {"ok", "success"} and page.document[name] is False)
    ]
    if failed:
        why = f"{expression(failed[0][:100])} says that the call failed"
        return Finding("records", why=(why,), sure=False, advice="a call that succeeds")
    options = [steps for steps, _ in found if not steps or bare(steps[-1]) not in _OTHERS]
    if not options:
        why = "there is no array with objects in it" + _empty(page)
        return Finding("records", why=(why,), sure=False, advice="a URL with some records")
    sizes = {repr(steps): len(rows) for steps, rows in found}
    last = page.response.request.url.path.rstrip("/").rpartition("/")[2]
    named = [each for each in options if each and bare(each[-1]) in {*_LISTS, bare(last)}]
    chosen = options[0] if len(options) == 1 else named[0] if len(named) == 1 else None
    told = [f"{_code(each)}: {sizes[repr(each)]} objects" for each in options]
    longest = max(sizes[repr(each)] for each in options)
    if chosen is None or sizes[repr(chosen)] < longest:
        why = f"there are {len(options)} arrays of objects, and more than the longest may be meant"
        shownall = tuple(told[:10])
        return Finding("records", why=(why,), sure=False, options=shownall, advice="--records PATH")
    only = "the only array of objects" if len(options) == 1 else "the longest, and called like one"
    why = f"{only} on page 1: {sizes[repr(chosen)]} of them"
    return Finding("records", shown(chosen), (why,), code=_code(chosen))


def identity(pages: list[Page]) -> Finding:
    """The column that tells the records of `pages` apart."""
    rows = [row for page in pages for row in page.rows]
    if len(rows) < 2:
        why = f"{len(rows)} record{'s' if len(rows) != 1 else ''} cannot show what differs"
        return Finding("key", why=(why,), sure=False, advice="a URL with more records")
    unique = [name for name in list(rows[0])[:200] if len(name) <= 100 and _unique(rows, name)]
    table = bare(pages[0].response.request.url.path.rstrip("/").rpartition("/")[2]).rstrip("s")
    tiers = (
        [name for name in unique if bare(name) == "id"],
        [name for name in unique if bare(name) in {"uuid", "guid", "gid", f"{table}id", "key"}],
        [name for name in unique if re.search(r"[a-z](_id|Id|ID)$", name)],
    )
    found = next((tier for tier in tiers if tier), [])
    if len(found) == 1:
        place = f"{len(pages)} page{'s' if len(pages) > 1 else ''}"
        why = f"in each of {len(rows)} records on {place}, no value twice"
        return Finding("key", found[0], (why,), code=expression(found[0]))
    why = "no column is called like a key, with a value in each record and none twice"
    if found:
        why = "several are called like a key, with a value in each record and none twice"
    options = tuple(expression(name) for name in (found or unique)[:10])
    return Finding("key", why=(why,), sure=False, options=options, advice="--key COLUMN of `new`")


def changes(pages: list[Page]) -> Finding:
    """The column that tells when a record of `pages` was changed, and how that is written."""
    rows = [row for page in pages for row in page.rows]
    found: dict[str, tuple[Steps, str | Kind, int]] = {}
    for steps in dict.fromkeys(steps for row in rows[:20] for steps, _ in fields(row)):
        values = [value for row in rows if (value := _value(row, steps)) is not None]
        if values and (kind := _kind(values, str(steps[-1]))) is not None:
            found[repr(steps)] = (steps, kind, len(values))
    changed = [each for each in found.values() if _CHANGE.search(bare(each[0][-1]))]
    exact = [each for each in changed if bare(each[0][-1]) in _UPDATED]
    chosen = exact if len(exact) == 1 else changed if len(changed) == 1 else []
    created = [each for each in found.values() if _CREATION.search(bare(each[0][-1]))]
    if not chosen:
        options = tuple(_code(steps) for steps, _, _ in (changed or created)[:10])
        why = "no column with times is called like one of changes"
        advice = "--cursor COLUMN of `new`"
        if changed:
            why = "several columns with times are called like one of changes"
        elif created:
            why += "; these tell of new records, and miss what is changed later"
        return Finding("cursor", why=(why,), sure=False, options=options, advice=advice)
    steps, kind, count = chosen[0]
    name = _code(steps)
    if count < len(rows):
        why = f"{name} has a value in {count} of {len(rows)} records"
        return Finding("cursor", why=(why,), sure=False, options=(name,), advice="the API's guide")
    if isinstance(kind, str):
        advice = f'kind=Times(zone="...") of cursor({name}, ...), if you know the zone'
        return Finding(
            "cursor", why=(f"{name} {kind}",), sure=False, options=(name,), advice=advice
        )
    mark = Mark(shown(steps), _START[:10] if isinstance(kind, Dates) else _START, kind)
    form = {Times: "RFC 3339", Dates: "a day"}.get(type(kind), expression(kind))
    why = f"a time in each of {count} records, as {form}; called like one of changes"
    more = "which parameter asks for later ones is in the API's guide: --since PARAM of `new`"
    return Finding("cursor", mark, (why, more), called(0, "cursor(", cursor_arguments(mark)))


def _code(steps: Steps) -> str:
    return expression(shown(steps))


def _empty(page: Page) -> str:
    empty = page.document == [] or (
        isinstance(page.document, dict) and [] in list(page.document.values())[:100]
    )
    return ", though an empty one" if empty else ""


def _unique(rows: list[dict[str, Any]], name: str) -> bool:
    values = [row.get(name) for row in rows]
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
        return False
    return "" not in values and len(set(values)) == len(rows)


def _value(row: Any, steps: Steps) -> Any:
    for step in steps:
        row = row.get(step) if isinstance(row, dict) else None
    return row


def _kind(values: Iterable[Any], name: str) -> Kind | str | None:
    """How times are written; text says why that is not sure; `None` if they are no times."""
    forms = {_form(value, name) for value in values}
    if None in forms:
        return None
    if len(forms) > 1:
        return "has times in more than one form"
    return _FORMS[forms.pop() or ""]


_FORMS: dict[str, Kind | str] = {
    "time": Times(),
    "day": Dates(),
    "local": "has times without an offset, which may be of any zone",
    "s": Epoch("s"),
    "ms": Epoch("ms"),
    "us": Epoch("us"),
}


def _form(value: Any, name: str) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        # From 2001 to 2096, in columns that are called like times: counts are numbers, too.
        like = _CHANGE.search(bare(name)) or _CREATION.search(bare(name))
        units = {"s": 1, "ms": 1000, "us": 1_000_000}
        found = [unit for unit, size in units.items() if 10**9 <= value // size < 4 * 10**9]
        return found[0] if like and found else None
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        return None
    try:
        time = datetime.fromisoformat(value.upper())
    except ValueError:
        return None
    if len(value) == 10:
        return "day" if value[4] == "-" else None
    return "local" if time.tzinfo is None else "time"
