"""Errors: one tree, each saying what was expected, what came, and where.

    BlocksError
     ├─ ConfigError            an argument cannot work; said at construction (also a `ValueError`)
     ├─ ResponseError          the API answered, but not with what was expected
     │    ├─ AuthError         401 or 403, or no token could be had
     │    │    └─ Denied            nor ever will be, with these credentials
     │    ├─ StatusError       any other status that is not success
     │    ├─ BodyError         the body is not the JSON, or not the shape, that was expected
     │    ├─ PagingError       the next page cannot be followed
     │    │    ├─ ForeignOrigin     it is at another origin than the page before
     │    │    ├─ PagingLoop        its request repeats one already sent
     │    │    └─ Overflow          there is more than the API, or a cap, lets be paged through
     │    └─ JobError          a job at the API did not come to a good end
     │         └─ JobTimeout        it took longer than it was given
     ├─ RetryError             attempts or total time used up; the last failure is the cause
     ├─ Incomplete             windows of a range were not had, and stay gaps
     ├─ NormalizeError         rows cannot become tables
     └─ CursorError            a cursor cannot read the rows it is to observe

`response` holds the `httpx.Response` an error is about, or `None` if there was none (a request
refused before it was sent). Messages name method, host, path and status: no query, header or body.
httpx's own errors are left as they are.
"""

from __future__ import annotations

import httpx

__all__ = [
    "AuthError",
    "BlocksError",
    "BodyError",
    "ConfigError",
    "CursorError",
    "Denied",
    "ForeignOrigin",
    "Incomplete",
    "JobError",
    "JobTimeout",
    "NormalizeError",
    "Overflow",
    "PagingError",
    "PagingLoop",
    "ResponseError",
    "RetryError",
    "StatusError",
    "where",
]


def where(subject: httpx.Request | httpx.Response) -> str:
    """Method, host and path of a request, or of the request a response answers, safe to log.

    >>> where(httpx.Request("GET", "https://me:secret@api.example.com/repos/x?token=secret"))
    'GET api.example.com/repos/x'
    >>> where(httpx.Response(200))
    'an unknown request'
    """
    if isinstance(subject, httpx.Response):
        try:
            subject = subject.request
        except RuntimeError:  # httpx's word for a response built without a request
            return "an unknown request"
    # The raw path stays percent-encoded: a decoded %0A would break the log line.
    path = subject.url.raw_path.partition(b"?")[0]
    return f"{subject.method} {(subject.url.netloc + path).decode('ascii')}"


class BlocksError(Exception):
    """Base of every error raised by blocks; where it happened is added to `message`.

    >>> request = httpx.Request("GET", "https://api.example.com/items?key=secret")
    >>> error = StatusError("expected success", httpx.Response(500, request=request))
    >>> print(error)
    expected success (GET api.example.com/items, status 500)
    >>> error.response.status_code
    500
    """

    response: httpx.Response | None

    def __init__(self, message: str, response: httpx.Response | None = None) -> None:
        if response is not None:
            message = f"{message} ({where(response)}, status {response.status_code})"
        super().__init__(message)
        self.response = response

    def __reduce__(self) -> tuple[object, ...]:
        attributes = vars(self)
        if self.response is not None:
            attributes = {**attributes, "response": _without_credentials(self.response)}
        return _restore, (type(self), *self.args), attributes


class ConfigError(BlocksError, ValueError):
    """An argument that cannot work, noticed before anything is sent."""


class ResponseError(BlocksError):
    """The API answered, but not with what was expected."""


class AuthError(ResponseError):
    """The API refused the credentials (401, 403), or no token could be had."""


class Denied(AuthError):  # noqa: N818 - says what happened
    """No token is to be had with these credentials, now or later: they are not tried again."""


class StatusError(ResponseError):
    """A status that is not success; `response` is always there."""

    response: httpx.Response

    def __init__(self, message: str, response: httpx.Response) -> None:
        super().__init__(message, response)


class BodyError(ResponseError):
    """The body is not the JSON, or not the shape, that was expected."""


class PagingError(ResponseError):
    """The next page cannot be followed."""


class ForeignOrigin(PagingError):  # noqa: N818 - says what happened
    """A request would leave the origin its credentials belong to, or the public internet.

    An origin is scheme, host and port; the latter is what links from others are held to.
    """


class PagingLoop(PagingError):  # noqa: N818 - says what happened
    """The request of the next page repeats one already sent."""


class Overflow(PagingError):  # noqa: N818 - says what happened
    """A listing has more rows or pages than can be had of it: ask for less at a time."""


class JobError(ResponseError):
    """A job at the API did not come to a good end."""


class JobTimeout(JobError):  # noqa: N818 - says what happened
    """A job took longer than it was given; `response` is the last word of the API, if any."""


class RetryError(BlocksError):
    """Attempts or total time are used up; an exception that was the last failure is the cause."""


class Incomplete(BlocksError):  # noqa: N818 - says what happened
    """Windows of a range were not had; they stay gaps."""


class NormalizeError(BlocksError):
    """Rows cannot become tables."""


class CursorError(BlocksError):
    """A cursor cannot read the rows it is to observe."""


def _restore(kind: type[BlocksError], *args: object) -> BlocksError:
    # Past __init__, which would add the place a second time.
    return kind.__new__(kind, *args)


def _without_credentials(response: httpx.Response) -> httpx.Response:
    # httpx pickles a response together with its request, Authorization header and query included.
    try:
        body = response.content
    except httpx.ResponseNotRead:
        body = b""
    # Content is decoded already, and httpx measures it anew; links may repeat the query sent.
    dropped = {"content-encoding", "content-length", "transfer-encoding"}
    dropped |= {"set-cookie", "link", "location", "content-location"}
    headers = [item for item in response.headers.multi_items() if item[0] not in dropped]
    bare = httpx.Response(response.status_code, headers=headers, content=body)
    try:
        url = response.request.url
    except RuntimeError:
        return bare
    bare.request = httpx.Request(
        response.request.method, url.copy_with(userinfo=b"", query=None, fragment=None)
    )
    return bare
