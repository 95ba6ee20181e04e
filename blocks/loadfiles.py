"""Load files: what dlt writes for a database to take as a whole, read at their two ends."""

from __future__ import annotations

import re
from collections import deque
from itertools import islice

import pyarrow.parquet as pq
from dlt.common.json import json
from dlt.common.storages import FileStorage

__all__ = ["ends"]


def ends(path: str, file_format: str, column: str) -> list[str] | None:
    """The texts in `column` of the first and last row of a file; `None` if they cannot be read.

    One if both are the same, none for a file without rows. Formats are Parquet, JSON lines and
    dlt's inserts, the last two also gzipped; of any other nothing can be read.
    """
    found: list[str | None]
    match file_format:
        case "parquet":
            with pq.ParquetFile(path) as file:
                if column not in file.schema_arrow.names:
                    return None
                ids = file.read(columns=[column]).column(column)
            found = [*ids[:1].to_pylist(), *ids[-1:].to_pylist()]
        case "jsonl":
            _, rows = _lines(path, heading=0)
            found = [json.loads(row).get(column) for row in rows]
        case "insert_values":
            heading, rows = _lines(path, heading=2)
            found = [_literal(heading[0], row, column) for row in rows]
        case _:
            return None
    texts = {text for text in found if text is not None}
    return None if None in found else sorted(texts)


def _lines(path: str, heading: int) -> tuple[list[str], list[str]]:
    """The first lines of a text, and the first and last of the others."""
    with FileStorage.open_zipsafe_ro(path, "r", encoding="utf-8") as lines:
        return [*islice(lines, heading)], [*islice(lines, 1), *deque(lines, maxlen=1)]


def _literal(heading: str, row: str, column: str) -> str | None:
    """The value of `column` in a row of dlt's inserts, if it is a plain text in quotes.

    >>> _literal('INSERT INTO {}("id","_dlt_id")', "(E'it''s, (x)',E'a/b'),", "_dlt_id")
    'a/b'
    """
    names = heading[heading.find("(") + 1 : heading.rfind(")")].split(",")
    columns = [name.strip('"`[]') for name in names]
    # A quote inside of a text is written twice, in every dialect.
    fields = re.findall(r"(?:'(?:[^']|'')*'|[^,'])+", row.strip().rstrip(",;")[1:-1])
    if len(fields) != len(columns) or column not in columns:
        return None
    found = re.fullmatch(r"[A-Z]?'([^'\\]*)'", fields[columns.index(column)])
    return found and found[1]
