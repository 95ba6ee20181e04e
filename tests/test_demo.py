"""The demo's API, and the demo as a person runs it."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from blocks.demo.records import REPOSITORY, generate
from blocks.demo.run import Steps, Ticker, run
from blocks.demo.server import Api, Server, Settings, serving
from blocks.events import Page, Retried, Sent

ISSUES = f"/repos/{REPOSITORY}/issues"
ASCENDING = {"state": "all", "sort": "updated", "direction": "asc", "per_page": "100"}


class Clock:
    """Monotonic seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of 250 issues in a process of its own."""
    with serving(Settings(records=250, burst=1_000)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    """A client that shows the server's token."""
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
        yield client


def in_process(api: Api, token: str) -> Callable[..., httpx.Response]:
    """GET from `api` without a network."""

    async def ask(path: str, **params: str | int) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api.test", headers=headers
        ) as client:
            return await client.get(path, params=params)

    return lambda path, **params: asyncio.run(ask(path, **params))


def everything(client: httpx.Client, **params: str) -> list[dict[str, Any]]:
    """All records, by following the links."""
    response = client.get(ISSUES, params=ASCENDING | params)
    records: list[dict[str, Any]] = response.raise_for_status().json()
    while "next" in response.links:
        response = client.get(response.links["next"]["url"])
        records += response.raise_for_status().json()
    return records


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic eDp5"])
def test_no_records_without_the_token(server: Server, authorization: str | None) -> None:
    """A request without the right bearer token is answered 401, on both kinds of path."""
    headers = {"Authorization": authorization} if authorization else {}
    for path in (ISSUES, "/admin/counts"):
        response = httpx.get(server.url + path, headers=headers, trust_env=False)
        assert response.status_code == 401
        assert response.json() == {"message": "Bad credentials"}


def test_the_token_of_the_api_is_not_that_of_the_admin(client: httpx.Client) -> None:
    """A source cannot change the records it loads."""
    assert client.post("/admin/changes").status_code == 401


def test_links_lead_to_every_record_once(client: httpx.Client) -> None:
    """Following `next` gives all records, oldest update first."""
    records = everything(client)
    assert {record["id"] for record in records} == {record["id"] for record in generate(250, 1)}
    assert len(records) == 250
    assert records == sorted(records, key=lambda record: record["updated_at"])


def test_links_name_the_neighbours(client: httpx.Client) -> None:
    """The middle page of three names all four relations and keeps the other parameters."""
    links = client.get(ISSUES, params=ASCENDING | {"page": "2"}).links
    pages = {rel: dict(httpx.URL(link["url"]).params) for rel, link in links.items()}
    wanted = {"prev": "1", "next": "3", "last": "3", "first": "1"}
    assert pages == {rel: ASCENDING | {"page": page} for rel, page in wanted.items()}


def test_a_page_has_at_most_100_records(client: httpx.Client) -> None:
    """Like GitHub, the server gives 100 when asked for more, and 30 when not asked."""
    assert len(client.get(ISSUES, params={"state": "all", "per_page": "500"}).json()) == 100
    assert len(client.get(ISSUES, params={"state": "all"}).json()) == 30


def test_since_is_inclusive(client: httpx.Client) -> None:
    """`since` gives what was updated at that second or later, whatever its zone."""
    records = everything(client)
    since = records[120]["updated_at"]
    wanted = [record for record in records if record["updated_at"] >= since]
    assert everything(client, since=since) == wanted
    assert everything(client, since=since.replace("Z", "+00:00")) == wanted


def test_state_and_order_are_honoured(client: httpx.Client) -> None:
    """`state` filters, open ones by default; the default order is newest first."""
    assert {record["state"] for record in everything(client, state="closed")} == {"closed"}
    newest = client.get(ISSUES).json()
    assert {record["state"] for record in newest} == {"open"}
    assert newest == sorted(newest, key=lambda record: record["created_at"], reverse=True)


def test_gzip_only_when_accepted(client: httpx.Client) -> None:
    """The same page arrives smaller in gzip, and plain for a client that does not accept it."""
    with client.stream("GET", ISSUES, headers={"Accept-Encoding": "gzip"}) as packed:
        body = b"".join(packed.iter_raw())
    plain = client.get(ISSUES, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(body) == plain.content
    assert len(body) < len(plain.content) / 2


@pytest.mark.parametrize(
    "params",
    [
        {"per_page": "0"},
        {"page": "0"},
        {"page": "x"},
        {"since": "yesterday"},
        {"since": "2024-01-01T00:00:00"},
        {"state": "both"},
        {"sort": "size"},
        {"direction": "up"},
    ],
)
def test_nonsense_is_refused(client: httpx.Client, params: dict[str, str]) -> None:
    """A parameter that cannot be honoured is a 422, not a guess."""
    assert client.get(ISSUES, params=params).status_code == 422


def test_unknown_paths(client: httpx.Client) -> None:
    """Another repository is a 404."""
    assert client.get("/repos/acme/gears/issues").status_code == 404


def test_limit_tells_when_to_come_back() -> None:
    """Past the burst the answer is 429 with Retry-After; after that wait it is 200 again."""
    clock = Clock()
    settings = Settings(records=1, burst=3, rate=0.25)
    get = in_process(Api(settings, "http://api.test", clock=clock), settings.token)
    assert [get(ISSUES).status_code for _ in range(3)] == [200, 200, 200]
    refused = get(ISSUES)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "4")
    clock.now += 4
    assert [get(ISSUES).status_code for _ in range(2)] == [200, 429]


def test_refused_requests_are_counted_and_cost_nothing() -> None:
    """Counts tell pages from refusals, in requests and in seconds; asking for them is free."""
    settings = Settings(records=1, burst=1, rate=0.5)
    api = Api(settings, "http://api.test", clock=Clock())
    get = in_process(api, settings.token)
    page, *_ = [get(ISSUES) for _ in range(3)]
    counts = in_process(api, settings.admin_token)("/admin/counts").json()
    assert (counts["pages"], counts["refused"], counts["told_seconds"]) == (1, 2, 4)
    assert (counts["json_bytes"], counts["issues"]) == (len(page.content), 1)


def test_changes_are_what_since_finds() -> None:
    """After a change exactly the touched records, and ties, are newer than all there was."""
    with serving(Settings(records=250, burst=1_000)) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
            before = everything(client)
            changes = server.change()
            found = everything(client, since=before[-1]["updated_at"])
            rows = server.counts()
    touched = {*changes.created, *changes.updated}
    ties = {row["id"] for row in before if row["updated_at"] == before[-1]["updated_at"]}
    assert {record["id"] for record in found} == touched | ties
    assert rows["issues"] == 250 + len(changes.created)
    emptied = [record for record in found if record["id"] in changes.emptied]
    assert [record["labels"] + record["assignees"] for record in emptied] == [[]] * 5
    assert {record["assignee"] for record in emptied} == {None}


def test_the_server_ends_with_its_block() -> None:
    """No process and no open port stay behind."""
    with serving(Settings(records=1)) as server:
        httpx.get(server.url, trust_env=False)
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url, trust_env=False)


def test_tokens_do_not_print(server: Server) -> None:
    """Neither the settings nor the running server show a token in their repr."""
    settings = Settings()
    for secret in (settings.token, settings.admin_token, server.token, server.admin_token):
        assert secret not in repr(settings) + repr(server)


def demo(*arguments: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m blocks demo` with these arguments, run to its end."""
    command = [sys.executable, "-m", "blocks", "demo", *arguments]
    around = {name: value for name, value in os.environ.items() if name != "RUNTIME__LOG_LEVEL"}
    places = {"TMPDIR": str(directory)} if directory else {}
    return subprocess.run(
        command, env=around | places, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The output of a demo of 300 records, and the folder it kept."""
    folder = tmp_path_factory.mktemp("demo")
    done = demo("--records", "300", "--keep", str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, folder


def test_demo_tells_what_it_does(finished: tuple[str, Path]) -> None:
    """Progress comes before the summary, and the summary has both runs."""
    output, _ = finished
    lines = [line.strip() for line in output.splitlines()]
    steps = ["extract ...", "normalize ...", "load ..."]
    assert [line for line in lines if line in steps] == steps * 2
    cells = [line.rsplit(maxsplit=2) for line in lines]
    report = {title: values for title, *values in (row for row in cells if row)}
    assert report["issues fetched"][0] == "300"
    assert 10 < int(report["issues fetched"][1]) < 30
    assert report["rows in issues"] == ["300", "305"]
    assert report["pages served"] == ["3", "1"]
    assert "0 rows are left of the emptied lists." in output


def test_demo_keeps_the_tables(finished: tuple[str, Path]) -> None:
    """With --keep the DuckDB file is there afterwards, under the name that was printed."""
    output, folder = finished
    path = folder / "demo.duckdb"
    assert output.splitlines()[-1].endswith(str(path))
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute("SELECT count(*), count(DISTINCT id) FROM github.issues")
        assert rows.fetchall() == [(305, 305)]


def test_demo_leaves_nothing_unless_told(tmp_path: Path) -> None:
    """Without --keep the demo works in a temporary directory and removes it."""
    assert demo("--records", "30", directory=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_demo_refuses_what_cannot_work(finished: tuple[str, Path]) -> None:
    """No records, or the tables of an earlier demo, are usage errors, said at once."""
    _, folder = finished
    for arguments, message in (
        (("--records", "0"), "--records must be at least 1"),
        (("--keep", str(folder)), "holds an earlier demo"),
    ):
        done = demo(*arguments)
        assert (done.returncode, message in done.stderr) == (2, True)


def test_a_run_that_misses_rows_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that finds the state of another server lacks what came before it, and says so."""
    assert run(30, seed=1, folder=tmp_path)
    assert not run(60, seed=1, folder=tmp_path)
    assert "the server has {'issues': 65" in capsys.readouterr().err


def test_rows_are_counted_while_the_root_table_is_extracted() -> None:
    """Rows of other tables and of other steps do not count."""
    steps = Steps()
    steps.on_start_trace_step(None, "extract", None)
    steps.update("issues", 5_000)
    steps.update("issues__labels", 7_000)
    steps.update("issues", 5_000)
    steps.on_start_trace_step(None, "normalize", None)
    steps.update("issues", 10_000)
    assert steps.run.fetched == 10_000


def test_progress_is_what_the_blocks_tell(capsys: pytest.CaptureFixture[str]) -> None:
    """Pages are told now and then, with how much they were together; a wait at once."""
    for every in (0, 1000):
        ticker = Ticker(every)
        ticker(Page("GET api/issues", 1, 500_000))
        ticker(Retried("GET api/issues", 1, "429", 1.5))
        ticker(Sent("GET api/issues"))
        ticker(Page("GET api/issues", 2, 500_000))
    lines = ["1 pages, 0.5 MB", "again in 1.5 s, after 429", "2 pages, 1.0 MB"]
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert printed == [*lines, lines[1]]


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that dies before it serves is an error, not a wait."""
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match="did not start"), serving(Settings(records=1)):
        pass


def test_help_is_quick() -> None:
    """`--help` loads neither dlt nor pyarrow."""
    code = (
        "import sys; from blocks.__main__ import main\n"
        "try: main(['--help'])\n"
        "finally: print('loaded', {'dlt', 'pyarrow'} & {*sys.modules})"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60)
    assert output.endswith("loaded set()\n")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_demo(sent: signal.Signals) -> None:
    """However the demo is ended, its server ends too: the last writer to its errors is gone."""
    # Enough for the limit to hold up the extract: dlt puts off a signal in its other steps.
    command = [sys.executable, "-m", "blocks", "demo", "--records", "12000"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if "extract" in line:
                break
        process.send_signal(sent)
        errors = process.stderr.read()  # ends when the demo and its server have closed it
    assert process.returncode in (130, -sent), errors
    assert errors.strip() in ("Interrupted", "")
