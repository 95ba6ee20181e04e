"""Your first API: the books of an author at Open Library, a public API without a key.

This is the smallest source there is, explained line by line. It loads one table, `works`, with its
lists as tables of their own: `works__authors`, `works__subjects`, `works__covers`. Run it:

    pip install "dlt-blocks" "dlt[duckdb]"

    import dlt
    from first_api import open_library

    pipeline = dlt.pipeline("books", destination="duckdb", dataset_name="library")
    print(pipeline.run(open_library(contact="me@example.com")))
    with pipeline.sql_client() as database:
        print(database.execute_sql("SELECT key, title FROM works LIMIT 5"))

What the API says, for https://openlibrary.org/authors/OL23919A/works.json?limit=100:

    {"size": 312,
     "links": {"next": "/authors/OL23919A/works.json?limit=100&offset=100", ...},
     "entries": [{"key": "/works/OL82563W", "title": "...", "subjects": [...], ...}, ...]}

- The records are at "entries". That is `path` of `load`.
- The address of the next page is at "links.next", and missing on the last page. That is `NextUrl`.
- "key" is what tells one record from another. That is the primary key.
- Nothing says which records have changed, so each run reads all and takes the place of the run
  before: `write_disposition="replace"`. If a run fails, dlt loads nothing of it.
- Who says how to be reached may ask three times a second, others once. That is `Rate`, and the
  header. An answer 429 ("too many requests") is waited out, a broken one asked for again.

And what each line of the code does:

- `@dlt.source` makes a function that returns resources; its parameters are all that differs from
  one use to another. `base_url` is one of them, so that tests can have an API of their own.
- `client` is what sends: only to `base_url`, within the limit, again when an answer was lost.
- `@dlt.resource` makes a function that yields rows, and says what its table is like.
- `first` is the first request. `path` puts an id into a URL, whatever characters it has.
- `pages` sends it, and the next ones, as `NextUrl` finds them; `prefetch` runs that in the network
  thread, ahead of the line that uses it; `load` makes tables of the pages.

Change: the author, whose id is in the address of their page at openlibrary.org; `contact`, which is
to be yours. From here: github_issues.py has a token, and asks for what changed since the last run.

https://openlibrary.org/dev/docs/api/authors
https://openlibrary.org/developers/api
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt

from blocks.client import client
from blocks.dlt import load
from blocks.fetch import pages
from blocks.limits import Rate
from blocks.network import prefetch
from blocks.paginators import NextUrl
from blocks.requests import path


@dlt.source
def open_library(
    contact: str,
    author: str = "OL23919A",
    base_url: str = "https://openlibrary.org",
) -> Any:
    api = client(base_url, limit=Rate(3), headers={"User-Agent": f"first-api ({contact})"})

    @dlt.resource(primary_key="key", write_disposition="replace")
    def works() -> Iterator[Any]:
        works_of = path("/authors/{}/works.json", author)
        first = api.build_request("GET", works_of, params={"limit": 100})
        yield from load(prefetch(pages(api, first, NextUrl("links.next"))), path="entries")

    return works
