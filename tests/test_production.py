"""The guide to production: its files run as they stand, against a replica and real destinations."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from blocks.testing import Api, Call, Server, bearer, offset, serving, unwrap, wrap

GUIDE = Path(__file__).parent.parent / "cookbook" / "production.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
FILES = {found[1]: each for each in BLOCKS if (found := re.match(r"# (\w+\.py)\n", each))}
SNIPPETS = [each for each in BLOCKS if each not in FILES.values()]
FOREIGN = {"airflow_dag.py", "dagster_defs.py", "prefect_flow.py"}

Row = dict[str, Any]


def order(number: int, updated: str, total: str = "9.90") -> Row:
    """An order of the shop."""
    return {"id": number, "updated": updated, "total": total, "lines": [{"sku": f"s{number}"}]}


def shop_api(orders: list[Row]) -> Api:
    """The API of the guide."""
    api = Api(bearer("t0ken"))

    @api.get("/v1/orders", query="since until cursor")
    def listed(call: Call) -> Row:
        since, until = call.query["since"], call.query.get("until", "9")
        found = [order for order in orders if since <= order["updated"] < until]
        page = offset(found, unwrap(call.query.get("cursor"), 0), 20)
        return {"data": page.rows, "next": wrap(page.next)}

    return api


@pytest.fixture
def orders() -> list[Row]:
    """Three pages since the start, and a history of one a month."""
    recent = [order(number, f"2024-06-{1 + number // 2:02}T12:00:00Z") for number in range(50)]
    past = [order(100 + month, f"2023-{1 + month:02}-15T12:00:00Z") for month in range(12)]
    return recent + past


@pytest.fixture
def server(orders: list[Row]) -> Iterator[Server]:
    """The API, served."""
    with serving(shop_api(orders)) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Iterator[Path]:
    """Where the files of the guide are, whose modules are imported from there."""
    folder = tmp_path / "srv"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SOURCES__SHOP__BASE_URL", server.url)
    modules = {Path(name).stem for name in FILES} - sys.modules.keys()
    yield folder
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a container is told, with a DuckDB file for a database."""
    monkeypatch.setenv("SOURCES__SHOP__TOKEN", "t0ken")
    monkeypatch.setenv("DESTINATION__WAREHOUSE__DESTINATION_TYPE", "duckdb")
    monkeypatch.setenv("DESTINATION__WAREHOUSE__CREDENTIALS", str(folder / "shop.duckdb"))


def in_duckdb(sql: str) -> list[Any]:
    """Rows of a query over the file of the job."""
    with duckdb.connect("shop.duckdb", read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_schedulers(name: str) -> None:
    """What schedulers read compiles, and calls the job of the guide."""
    compile(FILES[name], name, "exec")
    assert "from job import run" in FILES[name]
    assert "def run():" in FILES["job.py"]


def test_secrets_in_a_file(folder: Path) -> None:
    """The job is a command, and finds its secrets where the guide says they are."""
    (settings,) = re.findall(
        r"^```toml\n# secrets.toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
    )
    (folder / ".dlt").mkdir()
    (folder / ".dlt" / "secrets.toml").write_text(settings, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name != "DLT_PROJECT_DIR"}
    command = [sys.executable, "job.py"]
    child = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, timeout=100
    )
    assert child.returncode == 0, child.stderr
    assert in_duckdb("SELECT count(*), sum(total) FROM shop_data.orders") == [(50, Decimal(495))]


@pytest.mark.usefixtures("environment")
def test_snippets(folder: Path, server: Server, orders: list[Row]) -> None:
    """Snippets run in the order of the page; alerts tell of what fails often; history fills up."""
    names: dict[str, Any] = {"folder": folder}
    for snippet in SNIPPETS:
        exec(compile(snippet, str(GUIDE), "exec"), names)
    (parquet,) = (folder / "lake" / "shop_data" / "orders").glob("*.parquet")
    assert pq.read_table(parquet).num_rows == 50
    told: list[str] = []
    stop = importlib.import_module("alerts").watch(told.append)
    server.fail(429, times=3)
    orders[0] |= {"updated": "2024-07-01T00:00:00Z", "total": "1.00"}
    names["run"]()
    stop()
    (line,) = told
    assert re.fullmatch(r"attempt 3 at GET .*/v1/orders failed \(429.*\); next in \d+ s", line)
    assert in_duckdb("SELECT total FROM shop_data.orders WHERE id = 0") == [(Decimal(1),)]
    history = importlib.import_module("history")
    assert [history.run(), history.run()] == [17, 0]
    assert in_duckdb("SELECT count(*), count(DISTINCT id) FROM shop_data.orders") == [(62, 62)]


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL of our own on a free port of loopback; the URL of its database."""
    place = shutil.which("pg_ctl") or max(
        Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), default=""
    )
    if not place:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    # It refuses to be run by root.
    user: Any = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        Path(name).chmod(0o777)
        data = f"{name}/data"

        def control(*arguments: str) -> None:
            command = [str(place), "-D", data, "-s", *arguments]
            subprocess.run(
                command, cwd=name, stdout=subprocess.DEVNULL, check=True, timeout=60, **user
            )

        control("init", "-o", "-U loader -A trust -N -E UTF8 --no-locale")
        free.close()
        listen = f"-F -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={name}"
        control("-w", "-l", f"{name}/log", "-o", listen, "start")
        try:
            yield f"postgresql://loader:s3cret@127.0.0.1:{port}/postgres"
        finally:
            control("-m", "immediate", "stop")


@pytest.mark.usefixtures("environment")
def test_postgres(
    folder: Path, server: Server, orders: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two settings changed the job loads and merges into PostgreSQL, by COPY of CSV."""
    psycopg2 = pytest.importorskip("psycopg2", reason="pip install 'dlt[postgres]'")
    with postgres() as url:
        monkeypatch.setenv("DESTINATION__WAREHOUSE__DESTINATION_TYPE", "postgres")
        monkeypatch.setenv("DESTINATION__WAREHOUSE__CREDENTIALS", url)
        run = importlib.import_module("job").run
        run()
        orders[0] |= {"updated": "2024-07-01T00:00:00Z", "total": "1.00", "lines": []}
        (package,) = run().last_trace.last_load_info.load_packages
        kinds = {job.job_file_info.file_format for job in package.jobs["completed_jobs"]}
        assert "csv" in kinds
        database = psycopg2.connect(url)
        with database.cursor() as cursor:
            cursor.execute("SELECT id, total FROM shop_data.orders ORDER BY id")
            found = cursor.fetchall()
            cursor.execute("SELECT count(*), count(DISTINCT sku) FROM shop_data.orders__lines")
            lines = cursor.fetchall()
            cursor.execute("SELECT pg_typeof(updated)::text FROM shop_data.orders LIMIT 1")
            assert cursor.fetchall() == [("timestamp with time zone",)]
        database.close()
    assert found == [(each["id"], Decimal(each["total"])) for each in orders[:50]]
    assert lines == [(49, 49)]


@pytest.mark.usefixtures("environment")
def test_delta(folder: Path, server: Server, orders: list[Row]) -> None:
    """Files that are a Delta table merge."""
    deltalake = pytest.importorskip("deltalake", reason="pip install 'dlt[deltalake]'")
    run = importlib.import_module("delta").run
    run(f"file://{folder}/lake")
    orders[0] |= {"updated": "2024-07-01T00:00:00Z", "total": "1.00"}
    run(f"file://{folder}/lake")
    table = deltalake.DeltaTable(f"{folder}/lake/shop_data/orders").to_pyarrow_table()
    assert table.num_rows == 50
    assert min(table.column("total").to_pylist()) == Decimal(1)


def test_the_table_is_of_the_bench() -> None:
    """The measured table has the lines that the script prints."""
    bench = (GUIDE.parent.parent / "bench" / "tuning.py").read_text(encoding="utf-8")
    (table,) = re.findall(r"^    (page  at once.*?)\n((?:    .*\n)+)", TEXT, flags=re.MULTILINE)
    assert table[0] in bench.replace('"\n        "', "")
    assert (
        len(table[1].splitlines()) == bench.count('    {"page"') + bench.count('    {"at_once"') + 1
    )


@pytest.mark.parametrize("name", re.findall(r"\]\(([\w./]+)(?:#[\w-]+)?\)", TEXT))
def test_links_lead_somewhere(name: str) -> None:
    """Files that the guide points to exist."""
    assert (GUIDE.parent / name).exists()
