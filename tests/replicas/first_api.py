"""A replica of Open Library, as far as the works of an author go.

https://openlibrary.org/dev/docs/api/authors: `limit` and `offset`, up to 1,000 a page, `size`,
`entries`, and a relative `links.next` on all pages but the last.
https://openlibrary.org/developers/api: three requests a second for who is identified.
"""

from __future__ import annotations

from typing import Any

from blocks.testing import Allowance, Api, Call, Refused, offset

Row = dict[str, Any]


def library_api(works: list[Row], author: str = "OL1A") -> Api:
    """The library with the works of one author."""

    def identified(call: Call) -> None:
        if "@" not in call.headers["user-agent"]:
            raise Refused(403, "say how to be reached")

    # Half a second: what was sent a third of a second apart may arrive closer together.
    api = Api(identified, Allowance(3, per=0.5))

    @api.get("/authors/{id}/works.json", query="limit offset")
    def list_works(call: Call) -> Row:
        if call.params["id"] != author:
            raise Refused(404, "notfound")
        size = call.query.whole("limit", 50, least=1, most=1000)
        page = offset(works, call.query.whole("offset", 0), size)
        links = {"self": f"{call.path}?limit={size}", "author": f"/authors/{author}"}
        if page.more:
            links["next"] = f"{call.path}?limit={size}&offset={page.next}"
        return {"links": links, "size": page.total, "entries": page.rows}

    return api
