"""No server gets another's credentials, and none sends us where it cannot go itself."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.downloads import download, storage
from blocks.errors import ForeignOrigin, RetryError
from tests.authority import Received
from tests.faults.clock import run as run_virtually
from tests.faults.server import Reply
from tests.faults.server import serving as serving_here
from tests.hostile.origins import matrix, names
from tests.loopback import answer, serving

SECRET = "c4n4ry"


def test_no_cell_leaks() -> None:
    """No credential at another host, no other host connected to, no error of no known type."""
    lines = [*matrix(1 if os.environ.get("BLOCKS_THOROUGH") else 7)]
    assert [leak for line in lines for leak in line.leaks] == []
    assert sum(line.cells for line in lines) > 1320


def test_without_the_guard_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the matrix means nothing: httpx's own client goes to the other host."""

    def bare(base_url: str, **options: object) -> httpx.AsyncClient:
        given = {"transport": Connections(), **options}
        return httpx.AsyncClient(base_url=base_url, trust_env=False, **given)  # type: ignore[arg-type]

    monkeypatch.setattr("tests.hostile.origins.client", bare)
    monkeypatch.setattr("tests.hostile.origins.storage", lambda **options: bare("", **options))
    leaks = {line.kind: len(line.leaks) for line in matrix(26)}
    for way in ("302 followed", "307 followed", "job", "file", "token endpoint", "storage"):
        assert leaks[f"origins: {way}"] > 0


async def fetch(files: httpx.AsyncClient, url: str) -> bytes:
    """The file at `url`."""
    async with files:
        request = files.build_request("GET", url)
        return b"".join([chunk async for chunk in download(files, request, attempts=2)])


def test_a_name_that_turns_inside_is_not_followed() -> None:
    """Public when somebody looks, loopback when it is connected to: the latter counts."""
    told = iter(["93.184.215.14"])

    async def main() -> tuple[str, int]:
        async with serving_here(lambda _: Reply((answer(b"1"),))) as server:
            found = await asyncio.get_running_loop().getaddrinfo("files.test", server.port)
            with pytest.raises(ForeignOrigin, match="public internet"):
                await fetch(storage(), f"http://files.test:{server.port}/x")
            return str(found[0][4][0]), server.opened

    assert run_virtually(main, lambda host: next(told, names(host))) == ("93.184.215.14", 0)


def test_no_address_inside_is_tried_beside_a_public_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a name with several addresses, one that is not there is no reason to take an inner one."""
    asked: list[object] = []

    class Nowhere(socket.socket):
        """A socket that leads nowhere, wherever."""

        def connect(self, address: object) -> None:
            asked.append(address)
            raise ConnectionRefusedError

    async def main() -> int:
        loop = asyncio.get_running_loop()

        async def several(host: str, port: int, **options: object) -> object:
            tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            inner = [(socket.AF_INET, *tcp, (each, port)) for each in ("127.0.0.1", "10.0.0.1")]
            return [(socket.AF_INET, *tcp, ("93.184.215.14", port)), *inner]

        monkeypatch.setattr(loop, "getaddrinfo", several)
        async with serving_here(lambda _: Reply((answer(b"1"),))) as server:
            with pytest.raises((ForeignOrigin, RetryError)):
                await fetch(storage(), f"http://files.test:{server.port}/x")
            return server.opened

    monkeypatch.setattr("socket.socket", Nowhere)
    assert run_virtually(main) == 0
    assert {address[0] for address in asked if isinstance(address, tuple)} == {"93.184.215.14"}


@pytest.mark.anyio
async def test_files_inside_are_for_who_says_so() -> None:
    """With a transport that goes anywhere."""
    async with serving_here(lambda _: Reply((answer(b"1"),))) as server:
        assert await fetch(storage(transport=Connections()), f"{server.url}/x") == b"1"


def test_repr_says_so() -> None:
    """As it was made."""
    assert repr(Connections(5, public=True)) == "Connections(5, public=True)"


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for loopback in the file that others read."""
    file = tmp_path / ".netrc"
    file.write_text("machine 127.0.0.1 login other password other\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("netrc")
def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and `.netrc` are not heeded: what was given goes to whom it was given for."""

    async def main(url: str) -> None:
        async with client(url, auth=Bearer(SECRET)) as api:
            await api.get("/items")
        await fetch(storage(transport=Connections()), f"{url}/items")

    script = {"/items": [answer()]}
    with serving(script) as server, serving(script) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        asyncio.run(main(server.url))
        sent = [Received(request).headers.get("authorization") for request in server.requests]
        assert sent == [f"Bearer {SECRET}", None]
        assert proxy.connections == 0


def test_authorities_of_the_environment_are_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SSL_CERT_FILE` gives nobody our credentials."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)

    async def main(url: str) -> None:
        async with client(url, auth=Bearer(SECRET)) as api:
            await api.get("/items")

    with serving({"/items": [answer()]}, tls=tls) as server:
        with pytest.raises(httpx.ConnectError):
            asyncio.run(main(server.url))
        assert server.requests == []
