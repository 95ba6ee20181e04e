"""Fields: which there are, asked for a few at a time, put together again, under readable names.

APIs with custom fields list them in metadata (HubSpot's properties, Salesforce's describe, the
fields of Pipedrive and Jira). `chunks` makes requests short enough for all of them, `merge` makes
rows of the answers again, `rename` gives `customfield_10010` the name that people know it by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload
from urllib.parse import quote

from blocks.errors import ConfigError, NormalizeError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["chunks", "distinct", "merge", "rename"]

V = TypeVar("V")


def chunks(
    names: Sequence[str],
    *,
    most: int | None = None,
    length: int | None = None,
    always: Sequence[str] = (),
) -> Iterator[list[str]]:
    """`names` in lists of `most` at most, and of `length` characters in a URL, in order.

    Each begins with `always`, what the parts are merged by, which counts. The length is that of the
    names with commas between them, percent-encoded. A name given twice is asked for once.

    >>> list(chunks(["a", "b", "c"], most=3, always=["id"]))
    [['id', 'a', 'b'], ['id', 'c']]
    >>> list(chunks(["amount", "stage"], length=10))
    [['amount'], ['stage']]
    """
    if most is None and length is None:
        raise ConfigError("chunks: expected most, length or both")
    first = list(dict.fromkeys(always))
    held = first
    for name in dict.fromkeys(names):
        if name in first:
            continue
        if len(held) > len(first) and not _fits([*held, name], most, length):
            yield held
            held = first
        held = [*held, name]
        if not _fits(held, most, length):
            raise ConfigError(f"chunks: expected room for {held}, got most={most}, length={length}")
    if held:
        yield held


def _fits(names: list[str], most: int | None, length: int | None) -> bool:
    if most is not None and len(names) > most:
        return False
    return length is None or len(quote(",".join(names), safe="")) <= length


@overload
def merge(
    parts: Sequence[list[dict[str, Any]]], key: str | Sequence[str]
) -> list[dict[str, Any]]: ...


@overload
def merge(parts: Sequence[pa.Table], key: str | Sequence[str]) -> pa.Table: ...


def merge(parts: Sequence[Any], key: str | Sequence[str]) -> Any:
    """The rows of all `parts` as one list or table: each has some fields of the very same records.

    Lists of rows make a list, Arrow tables a table, in the order of the first part. `key` names the
    fields, one or several, that tell a record. Of what several parts have, objects in rows are
    merged in turn; all else must be the same everywhere, or the record has changed in between.
    Raises `NormalizeError` if it is not, or if a part lacks records, or has others or one twice.

    >>> left, right = [{"id": 1, "a": 2}, {"id": 2, "a": 4}], [{"id": 2, "b": 5}, {"id": 1, "b": 3}]
    >>> merge([left, right], "id")
    [{'id': 1, 'a': 2, 'b': 3}, {'id': 2, 'a': 4, 'b': 5}]
    """
    names = [key] if isinstance(key, str) else list(key)
    if not parts or not names:
        raise ConfigError("merge: expected at least one part and one field as the key")
    if all(isinstance(part, list) for part in parts):
        return _merged_rows(parts, names)
    return _merged_tables(parts, names)


def rename(row: Mapping[str, V], names: Mapping[str, str]) -> dict[str, V]:
    """`row` with its keys renamed as `names` say, in place; others stay as they are.

    That keeps what is new since the names were asked for. Raises `NormalizeError` if two keys come
    to the same name (`distinct` sees to that).

    >>> rename({"id": 7, "customfield_10010": 3}, {"customfield_10010": "Story Points"})
    {'id': 7, 'Story Points': 3}
    """
    renamed = {names.get(key, key): value for key, value in row.items()}
    if len(renamed) < len(row):
        counts = Counter(names.get(key, key) for key in row)
        twice = next(name for name, count in counts.items() if count > 1)
        both = [key for key in row if names.get(key, key) == twice]
        raise NormalizeError(f"expected a name for each of {', '.join(both)}, got {twice!r} twice")
    return renamed


def distinct(names: Mapping[str, str], taken: Collection[str] = ()) -> dict[str, str]:
    """`names` by their keys, with the key added to those that several share or that are `taken`.

    People give two fields one name, and to a warehouse "Deal size" and "deal_size" are one: names
    are compared by their letters and digits alone. A name without any gives way to the key.

    >>> distinct({"f1": "Region", "f2": "region", "f3": "Size"}, taken=["id"])
    {'f1': 'Region f1', 'f2': 'region f2', 'f3': 'Size'}
    """
    counts = Counter(map(_letters, [*names.values(), *taken]))
    found = {}
    for key, name in names.items():
        alone = counts[_letters(name)] == 1
        found[key] = (name if alone else f"{name} {key}") if _letters(name) else key
    return found


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _merged_rows(parts: Sequence[list[dict[str, Any]]], names: list[str]) -> list[dict[str, Any]]:
    found = _index([tuple(_value(row, name) for name in names) for row in parts[0]], names, 1)
    rows = list(parts[0])
    for number, part in enumerate(parts[1:], 2):
        places = _index([tuple(_value(row, name) for name in names) for row in part], names, number)
        _check_same(found, places, names, number)
        rows = [_both(row, part[places[key]], key) for row, key in zip(rows, found, strict=True)]
    return rows


def _value(row: dict[str, Any], name: str) -> Any:
    if name not in row:
        raise NormalizeError(f"expected {name!r} in each row, got one with {', '.join(row)}")
    return row[name]


def _both(left: dict[str, Any], right: dict[str, Any], key: object) -> dict[str, Any]:
    merged = dict(left)
    for name, value in right.items():
        if name not in merged:
            merged[name] = value
        elif isinstance(value, dict) and isinstance(merged[name], dict):
            merged[name] = _both(merged[name], value, key)
        elif merged[name] != value:
            raise NormalizeError(_changed(name, key))
    return merged


def _merged_tables(parts: Sequence[pa.Table], names: list[str]) -> pa.Table:
    merged = parts[0]
    found = _index(_keys(merged, names), names, 1)
    for number, part in enumerate(parts[1:], 2):
        places = _index(_keys(part, names), names, number)
        _check_same(found, places, names, number)
        ordered = part.take([places[key] for key in found]) if part.num_rows else part
        for name in part.column_names:
            column = ordered.column(name)
            if name not in merged.column_names:
                merged = merged.append_column(part.schema.field(name), column)
            elif not merged.column(name).equals(column):
                pairs = zip(merged.column(name).to_pylist(), column.to_pylist(), found, strict=True)
                for left, right, key in pairs:
                    if left != right:
                        raise NormalizeError(_changed(name, key))
    return merged


def _keys(table: pa.Table, names: list[str]) -> list[tuple[Any, ...]]:
    for name in names:
        if name not in table.column_names:
            got = ", ".join(table.column_names)
            raise NormalizeError(f"expected column {name!r} in each part, got {got}")
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def _index(
    keys: list[tuple[Any, ...]], names: list[str], number: int
) -> dict[tuple[Any, ...], int]:
    places: dict[tuple[Any, ...], int] = {}
    for place, key in enumerate(keys):
        if places.setdefault(key, place) != place:
            got = f"got {_shown(key)} twice in part {number}"
            raise NormalizeError(f"expected each {', '.join(names)} once, {got}")
    return places


def _check_same(
    found: Collection[tuple[Any, ...]],
    places: Collection[tuple[Any, ...]],
    names: list[str],
    number: int,
) -> None:
    missing = [key for key in found if key not in places]
    more = [key for key in places if key not in found]
    if missing or more:
        got = f"part {number} lacks {len(missing)} and has {len(more)} others"
        example = _shown((missing or more)[0])
        message = f"expected the same {', '.join(names)} in each part"
        raise NormalizeError(f"{message}, but {got}, such as {example}")


def _changed(name: str, key: object) -> str:
    return f"expected one value of {name!r} for {_shown(key)}, got several: changed in between"


def _shown(key: object) -> str:
    values = cast("tuple[object, ...]", key)
    return repr(values[0] if len(values) == 1 else values)
