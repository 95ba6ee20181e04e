"""Links: the `Link` header of RFC 8288, and where a URL leads by RFC 3986.

`parse` is section 3 of RFC 8288 with the leniency of its appendix B (empty list elements, no value
or no quotes where some belong) but one: the malformed is an error, as it may hide the next page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

__all__ = ["Link", "base", "origin", "parse", "rebase", "reference", "resolve"]


@dataclass(frozen=True, slots=True)
class Link:
    """Where a link leads, as written; its relation types in lower case; the `anchor` it is about.

    Without an anchor it is about the page that carries it.
    """

    target: str
    rels: tuple[str, ...]
    anchor: str | None = None


def parse(values: list[str]) -> list[Link]:
    """Links of all `Link` header lines, in order; raises `ValueError` when one is malformed.

    >>> for link in parse(['</items?page=2>; rel="next last"', '</x>; anchor="#y"; rel=author']):
    ...     print(link)
    Link(target='/items?page=2', rels=('next', 'last'), anchor=None)
    Link(target='/x', rels=('author',), anchor='#y')
    """
    return [link for value in values for link in _links(value)]


def origin(url: httpx.URL) -> str:
    """Scheme, host and port, spelled one way, so that equal origins are equal texts.

    >>> origin(httpx.URL("HTTPS://API.Example.com./items"))
    'https://api.example.com:443'
    """
    # httpx has brought the host to its ASCII form (IDNA) already.
    host = url.raw_host.decode("ascii").lower().removesuffix(".")
    port = {"http": 80, "https": 443}.get(url.scheme) if url.port is None else url.port
    return f"{url.scheme}://{host}:{port}"


def resolve(base: httpx.URL, reference: httpx.URL) -> httpx.URL:
    """Where `reference`, found at `base`, leads (RFC 3986, section 5.2), less its fragment.

    >>> resolve(httpx.URL("https://api.example.com/v1//items?page=1"), httpx.URL("?page=2"))
    URL('https://api.example.com/v1//items?page=2')
    """
    # Not httpx.URL.join: its urljoin drops empty segments ("//") of the base.
    if reference.scheme and "#" not in str(reference):
        return reference
    if reference.scheme or reference.netloc:
        return reference.copy_with(scheme=reference.scheme or base.scheme, fragment=None)
    path = base.raw_path.partition(b"?")[0]
    target = str(reference).partition("#")[0].encode("ascii")
    if not target:
        target = base.raw_path
    elif target.startswith(b"?"):
        target = path + target
    elif not target.startswith(b"/"):
        target = path[: path.rindex(b"/") + 1] + target
    # httpx removes dot segments, and with a last one the slash before it, which has to stay.
    target = re.sub(rb"\A([^?]*/\.\.?)(?=\?|\Z)", rb"\1/", target)
    return base.copy_with(raw_path=target, fragment=None)


def reference(text: str) -> httpx.URL:
    r"""`text` as a URL, or a part of one, that all parsers read as httpx does.

    Raises `ValueError`, which does not quote it, for backslashes, control characters and spaces
    around it, for user info, and for schemes other than http and https.

    >>> reference("http:\\evil.example.com")
    Traceback (most recent call last):
    ValueError: a backslash, control or outer space
    """
    if _AMBIGUOUS.search(text):
        raise ValueError("a backslash, control or outer space")
    url = httpx.URL(text)
    if url.scheme not in ("", "http", "https"):
        raise ValueError(f"the scheme {url.scheme!r}")
    if url.userinfo:
        raise ValueError("user info")
    return url


def base(response: httpx.Response) -> httpx.URL:
    """What references in `response` are relative to: the URL it came from, redirects followed.

    >>> base(httpx.Response(200, request=httpx.Request("GET", "https://api.example.com/items")))
    URL('https://api.example.com/items')
    """
    url = response.extensions.get(_BASE)
    return url if isinstance(url, httpx.URL) else response.request.url


def rebase(response: httpx.Response, url: httpx.URL) -> None:
    """Make `url` the `base` of `response`, unless whoever followed a redirect below has done so."""
    response.extensions.setdefault(_BASE, url)


_BASE = "blocks.base"  # httpx's place for what transports have to say about a response
# What URL parsers disagree on: browsers read a backslash as a slash and drop tabs and line ends.
_AMBIGUOUS = re.compile(r"^\s|\s$|[\x00-\x1f\x7f\\]")

# Possessive and matched at one position each: a header of any length is read in linear time.
_TARGET = re.compile(r"[\t ,]*+(?:<([^>]*+)>[\t ]*+|\Z)")
_PARAMETER = re.compile(
    r";[\t ]*+([^\t =;,]*+)[\t ]*+"
    r'(?:=[\t ]*+(?:"((?:[^"\\]|\\.)*+)"|(?!")([^;,]*+))[\t ]*+)?'
)


def _links(value: str) -> Iterator[Link]:
    at = 0
    while True:
        found = _TARGET.match(value, at)
        if found is None:
            raise ValueError(f"expected <...> at character {at} of a Link header")
        at = found.end()
        if found[1] is None:  # only commas and spaces were left
            return
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(value, at):
            name, quoted, token = parameter.groups("")
            # Of equal names the first counts (sections 3.2 and 3.3).
            parameters.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or token.strip())
            at = parameter.end()
        if value[at : at + 1] not in ("", ","):
            raise ValueError(
                f"expected a whole parameter, then ';' or ',', at character {at} of a Link header"
            )
        rels = parameters.get("rel", "").lower().split()
        yield Link(found[1], tuple(rels), parameters.get("anchor"))
