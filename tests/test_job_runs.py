"""Whole runs of jobs and their files into DuckDB: each row once, whatever comes in between."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from blocks.auth import Bearer
from blocks.client import client
from blocks.connections import Connections
from blocks.dlt import load
from blocks.downloads import download, storage
from blocks.errors import JobError, RetryError
from blocks.formats import csv, gunzip, ndjson, unzip
from blocks.jobs import Job, Patience, States, run
from blocks.ledger import Ledger, StateFile
from blocks.network import prefetch
from blocks.requests import path
from tests.test_dlt import caused_by
from tests.warehouse import Warehouse

ROOT = Path(__file__).parent.parent
TOKEN = "c4n4ry"
ROWS = 400  # of a file; each day has two
QUICK = Patience(least=0.005, most=0.02, total=30)


class Bureau:
    """An API of export jobs by day, and, at another origin, the storage that has their files."""

    def __init__(self) -> None:
        self.polls = 2
        self.endless: set[int] = set()
        self.failing: set[int] = set()
        self.begun: dict[int, dict[str, Any]] = {}
        self.asked: dict[int, int] = {}
        self.cancelled: list[int] = []
        self.peak = 0
        self.heads: list[str] = []  # what the storage was sent
        self.cut = 0  # so many requests for a day's second file are answered with half of it
        self.halfway = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.url = self.storage = ""

    def api(self, method: str, target: str, authorization: str, body: Any) -> tuple[int, Any]:
        """What the API answers."""
        if authorization != f"Bearer {TOKEN}":
            return 401, {"error": "who are you?"}
        if method == "POST":
            number = len(self.begun) + 1
            self.begun[number], self.asked[number] = body, 0
            self.peak = max(self.peak, sum(not self.done(each) for each in self.begun))
            return 201, {"id": f"job-{number}"}
        number = int(target.rpartition("-")[2])
        if method == "DELETE":
            self.cancelled.append(number)
            return 200, {"id": target}
        self.asked[number] += 1
        if not self.done(number):
            return 200, {"id": f"job-{number}", "status": "RUNNING"}
        if self.begun[number]["day"] in self.failing:
            return 200, {"id": f"job-{number}", "status": "FAILED"}
        names = [f"{self.storage}/{number}-{half}?sig={TOKEN}" for half in range(2)]
        return 200, {"id": f"job-{number}", "status": "COMPLETED", "files": names}

    def done(self, number: int) -> bool:
        """Whether the job has been asked about often enough."""
        finite = self.begun[number]["day"] not in self.endless
        return (finite and self.asked[number] > self.polls) or number in self.cancelled

    def file(self, number: int, half: int) -> bytes:
        """One half of a day's rows, in the form that was asked for."""
        asked = self.begun[number]
        start = (2 * asked["day"] + half) * ROWS
        rows = [{"id": row, "day": asked["day"]} for row in range(start, start + ROWS)]
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        if asked["form"] == "csv":
            return b"id,day\n" + b"".join(b"%d,%d\n" % (row["id"], row["day"]) for row in rows)
        if asked["form"] == "zip":
            with zipfile.ZipFile(made := io.BytesIO(), "w") as archive:
                for part in range(2):
                    half_lines = lines.splitlines(keepends=True)[part::2]
                    archive.writestr(f"{part}.json.gz", gzip.compress(b"".join(half_lines)))
            return made.getvalue()
        return gzip.compress(lines)


def handler(
    answer: Callable[[BaseHTTPRequestHandler, bytes], None],
) -> type[BaseHTTPRequestHandler]:
    """A handler that has everything answered by `answer`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer one request."""
            answer(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

        do_POST = do_DELETE = do_GET  # noqa: N815 - the names http.server asks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's
            """Say nothing."""

    return Handler


@contextmanager
def opened() -> Iterator[Bureau]:
    """A `Bureau` on two ports of loopback while the block runs."""
    bureau = Bureau()

    def api(self: BaseHTTPRequestHandler, body: bytes) -> None:
        asked = json.loads(body) if body else None
        place, _, query = self.path.partition("?")
        if place in ROUTES:
            status, headers, content = ROUTES[place](dict(parse_qsl(query)), asked)
            self.send_response(status)
            for item in headers.items():
                self.send_header(*item)
            answered(self, content.replace(b"STORAGE", bureau.storage.encode()))
            return
        status, said = bureau.api(
            self.command, self.path, self.headers.get("Authorization", ""), asked
        )
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        answered(self, json.dumps(said).encode())

    def files(self: BaseHTTPRequestHandler, body: bytes) -> None:
        bureau.heads.append(str(self.headers))
        number, half = map(int, re.findall(r"\d+", self.path.partition("?")[0]))
        content = bureau.file(number, half)
        self.send_response(200)
        if half and bureau.cut:
            bureau.cut -= 1
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            bureau.halfway.set()
            bureau.go_on.wait(60)
            self.close_connection = True
            return
        answered(self, content)

    def answered(self: BaseHTTPRequestHandler, content: bytes) -> None:
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    with ExitStack() as stack:
        urls = []
        for answer in (api, files):
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler(answer)))
            server.daemon_threads = True
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
            urls.append(f"http://127.0.0.1:{server.server_port}")
        bureau.url, bureau.storage = urls
        yield bureau


FORMS: dict[str, Callable[[Iterator[bytes]], Iterable[Any]]] = {
    "ndjson": lambda chunks: ndjson(gunzip(chunks)),
    "csv": csv,
    "zip": lambda chunks: (page for _, one in unzip(chunks) for page in ndjson(gunzip(one))),
}


def exports(url: str, days: Iterable[int], *, form: str = "ndjson", ledger: bool = False) -> Any:
    """The rows of these days, two jobs at a time."""
    api = client(url, auth=Bearer(TOKEN), timeout=10)
    files = storage(timeout=10, transport=Connections())

    def export(day: int) -> Job:
        return Job(
            api.build_request("POST", "/exports", json={"day": day, "form": form}),
            id="id",
            poll=lambda number: api.build_request("GET", path("/exports/{}", number)),
            status=States("status", waiting=["RUNNING"], done=["COMPLETED"]),
            cancel=lambda number: api.build_request("DELETE", path("/exports/{}", number)),
        )

    def rows(kept: Ledger | None) -> Iterator[Any]:
        jobs = run(api, map(export, days), at_once=2, ledger=kept, patience=QUICK)
        for _, done in prefetch(jobs):
            for link in done.json()["files"]:
                found = download(files, files.build_request("GET", link))
                yield from load(FORMS[form](prefetch(found)))

    @dlt.resource(name="rows", write_disposition="append")
    def resource() -> Iterator[Any]:
        if not ledger:
            yield from rows(None)
            return
        begun = StateFile(Path(dlt.current.pipeline().working_dir) / "jobs.json")
        with Ledger(begun) as kept:
            yield from rows(kept)

    return resource


def extract(url: str, folder: str) -> None:
    """One run of two days, for a process of its own."""
    Warehouse(Path(folder)).run(exports(url, range(2), ledger=True))


def whole(warehouse: Warehouse, days: int) -> bool:
    """Whether every row of so many days is there, once."""
    (found,) = warehouse.query("SELECT count(*), count(DISTINCT id), max(id), max(day) FROM rows")
    return found == (days * 2 * ROWS, days * 2 * ROWS, days * 2 * ROWS - 1, days - 1)


@pytest.mark.parametrize("form", FORMS)
def test_exports_of_every_form_load_once(form: str, tmp_path: Path) -> None:
    """All rows of all files; two jobs at a time; no credentials for the storage."""
    warehouse = Warehouse(tmp_path)
    with opened() as bureau:
        warehouse.run(exports(bureau.url, range(5), form=form))
        assert (len(bureau.begun), bureau.peak, bureau.cancelled) == (5, 2, [])
        assert len(bureau.heads) == 10
        assert not re.search("authorization|cookie|c4n4ry", "".join(bureau.heads), re.IGNORECASE)
    assert whole(warehouse, 5)


def test_a_run_that_fails_midway_leaves_its_jobs_to_the_next(tmp_path: Path) -> None:
    """A file that is cut fails the run, with nothing loaded; the next one creates no job."""
    warehouse = Warehouse(tmp_path)
    kept = Path(warehouse.pipeline().working_dir) / "jobs.json"
    with opened() as bureau:
        bureau.cut = 1
        with pytest.raises(PipelineStepFailed) as caught:
            warehouse.run(exports(bureau.url, range(2), ledger=True))
        assert caused_by(caught.value, RetryError)
        assert TOKEN not in kept.read_text()
        assert warehouse.pipeline().default_schema_name is None
        warehouse.run(exports(bureau.url, range(2), ledger=True))
        assert (len(bureau.begun), bureau.cancelled) == (2, [])
        assert whole(warehouse, 2)
        assert json.loads(kept.read_text()) == {}


def test_a_run_that_is_killed_leaves_its_jobs_to_the_next(tmp_path: Path) -> None:
    """SIGKILL in the middle of a file: the next run reads the same jobs, each row once."""
    code = "import sys; from tests.test_job_runs import extract; extract(*sys.argv[1:])"
    with opened() as bureau:
        bureau.cut = 1
        bureau.go_on.clear()
        child = subprocess.Popen([sys.executable, "-c", code, bureau.url, str(tmp_path)], cwd=ROOT)
        try:
            assert bureau.halfway.wait(60)
        finally:
            child.kill()
            child.wait(10)
            bureau.go_on.set()
        extract(bureau.url, str(tmp_path))
        assert (len(bureau.begun), bureau.cancelled) == (2, [])
    assert whole(Warehouse(tmp_path), 2)


def test_leaving_early_cancels_what_is_not_done(tmp_path: Path) -> None:
    """A limit on the resource ends the run after its first rows; the second job is cancelled."""
    warehouse = Warehouse(tmp_path)
    with opened() as bureau:
        bureau.endless = {1}
        warehouse.run(exports(bureau.url, range(2)).add_limit(1))
        assert [bureau.begun[number]["day"] for number in bureau.cancelled] == [1]
    assert warehouse.query("SELECT max(day) FROM rows") == [(0,)]


def test_a_job_that_fails_fails_the_run(tmp_path: Path) -> None:
    """The days before it are not loaded either: dlt takes all or nothing."""
    warehouse = Warehouse(tmp_path)
    with opened() as bureau:
        bureau.failing = {1}
        with pytest.raises(PipelineStepFailed) as caught:
            warehouse.run(exports(bureau.url, range(3)))
    assert caused_by(caught.value, JobError)
    assert "got 'FAILED'" in str(caught.value)
    assert warehouse.pipeline().default_schema_name is None


Route = Callable[[dict[str, str], Any], tuple[int, dict[str, str], bytes]]
JSON = {"Content-Type": "application/json"}


def bulk_query(query: dict[str, str], body: Any) -> tuple[int, dict[str, str], bytes]:
    """A query job that is done at once."""
    return 200, JSON, b'{"id": "750", "state": "JobComplete"}'


def bulk_results(query: dict[str, str], body: Any) -> tuple[int, dict[str, str], bytes]:
    """Two parts of its results."""
    first = "locator" not in query
    row = b"001,Ann,01234" if first else b"002,Bea,99999"
    headers = {"Content-Type": "text/csv", "Sforce-Locator": "MTAw" if first else "null"}
    return 200, headers, b"Id,Name,BillingPostalCode\n" + row + b"\n"


def hourly(query: dict[str, str], body: Any) -> tuple[int, dict[str, str], bytes]:
    """An hour's events, of which the second has none."""
    if query["start"] == "20240101T01":
        return 404, JSON, b"{}"
    with zipfile.ZipFile(made := io.BytesIO(), "w") as archive:
        archive.writestr(
            "7/1.json.gz", gzip.compress(b'{"event": "at %s"}' % query["start"].encode())
        )
    return 200, {"Content-Type": "application/zip"}, made.getvalue()


def properties(query: dict[str, str], body: Any) -> tuple[int, dict[str, str], bytes]:
    """Three hundred fields, two of one name."""
    fields = [{"name": f"field_{n}", "label": f"Field {max(n, 1)}"} for n in range(300)]
    return 200, JSON, json.dumps({"results": fields}).encode()


def contacts(query: dict[str, str], body: Any) -> tuple[int, dict[str, str], bytes]:
    """Two contacts with the fields that were asked for."""
    asked = query["properties"].split(",")
    assert len(query["properties"]) <= 2000
    rows = [{"id": n, "properties": {name: f"{name} of {n}" for name in asked}} for n in (1, 2)]
    return 200, JSON, json.dumps({"results": rows}).encode()


ROUTES: dict[str, Route] = {
    "/jobs/query": bulk_query,
    "/jobs/query/750": bulk_query,
    "/jobs/query/750/results": bulk_results,
    "/export": hourly,
    "/properties/contacts": properties,
    "/contacts": contacts,
    "/documents/1-0": lambda query, body: (200, JSON, b'{"url": "STORAGE/1-0"}'),
}


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets of cookbook/jobs.md run in the order of the page, and load what they say."""
    guide = (ROOT / "cookbook" / "jobs.md").read_text(encoding="utf-8")
    module = ModuleType("jobs_guide")  # dlt looks a source's module up
    monkeypatch.setitem(sys.modules, "jobs_guide", module)
    names = vars(module)
    for snippet in re.findall(r"^```python\n(.*?)^```$", guide, flags=re.MULTILINE | re.DOTALL):
        exec(compile(snippet, "jobs.md", "exec"), names)
        names["hours"] = QUICK
    names["storage"] = partial(storage, transport=Connections())  # this one is not on the internet
    warehouse = Warehouse(tmp_path)
    with opened() as bureau:
        warehouse.run(names["exports"]([0, 1], base_url=bureau.url, token=TOKEN))
        assert whole(warehouse, 2)
        hours = ["20240101T00", "20240101T01", "20240101T02"]
        warehouse.run(names["amplitude"](hours, base_url=bureau.url, token=TOKEN))
        warehouse.run(names["salesforce"](base_url=bureau.url, token=TOKEN))
        warehouse.run(names["hubspot"](base_url=bureau.url, token=TOKEN))
        api, files = client(bureau.url, auth=Bearer(TOKEN)), names["storage"]()
        found = b"".join(names["document"](api, files, "1-0"))
        assert found == bureau.file(1, 0)
    assert warehouse.query("SELECT event FROM events ORDER BY 1") == [
        (f"at {hours[0]}",),
        (f"at {hours[2]}",),
    ]
    accounts = warehouse.query("SELECT id, name, billing_postal_code FROM accounts ORDER BY 1")
    assert accounts == [(1, "Ann", "01234"), (2, "Bea", "99999")]
    columns = warehouse.columns()["contacts"]
    assert {"properties__field_1_field_0", "properties__field_1_field_1"} <= columns.keys()
    assert len(columns) == 1 + 300 + 1 + 2
