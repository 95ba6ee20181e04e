"""Recovery: what a killed run left is brought to its end, and told."""

from __future__ import annotations

import gzip
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dlt
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blocks.dlt import load
from blocks.errors import ConfigError
from blocks.loadfiles import ends
from blocks.recovery import Recovery, recover
from blocks.unfinished import remove_unfinished
from tests.kills.child import Disposition, Order, pipeline
from tests.kills.matrix import Process

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Kills pipelines."""
    with Process(tmp_path_factory.mktemp("kills") / "errors.txt") as started:
        yield started


def killed(
    process: Process, folder: Path, point: str, nth: int = 1, disposition: Disposition = "append"
) -> dlt.Pipeline:
    """A pipeline that was killed in its first run of 200 events.

    Job after job: that of its state, four files of rows, four of nested rows, what follows them.
    """
    order = Order(str(folder), 200, disposition, point=point, nth=nth, workers=1, by_name=True)
    assert process(order) == "signal 9"
    return pipeline(folder)


def left(made: dlt.Pipeline) -> Path:
    """The package that was on its way."""
    [package] = (Path(made.working_dir) / "load" / "normalized").iterdir()
    return package


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows from the database of the pipeline."""
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        return connection.execute("USE data").execute(sql).fetchall()


def items(folder: Path) -> list[tuple[Any, ...]]:
    """How many rows the two tables have, and how many different ones."""
    return query(
        folder,
        "SELECT (SELECT (count(*), count(DISTINCT version)) FROM items),"
        " (SELECT (count(*), count(DISTINCT name)) FROM items__parts)",
    )


ALL = [((200, 200), (400, 400))]


def test_there_is_nothing_to_recover_from_a_good_end(tmp_path: Path) -> None:
    """A new pipeline, and one that ran, are left alone; nobody connects to the database."""
    made = pipeline(tmp_path)
    assert recover(made) == Recovery()
    made.run(dlt.resource([{"id": 1}], name="items"))
    (tmp_path / "warehouse.duckdb").rename(tmp_path / "elsewhere.duckdb")
    assert recover(made) == Recovery()
    assert not (tmp_path / "warehouse.duckdb").exists()


@pytest.mark.parametrize("point", ["N3", "L6", "L7"])
def test_stuck_packages_are_freed(process: Process, tmp_path: Path, point: str) -> None:
    """dlt fails on them for ever, or enters their load twice."""
    made = killed(process, tmp_path, point)
    [load_id] = made.list_normalized_load_packages()
    recovery = recover(made)
    loaded = (load_id,) if point == "N3" else ()
    assert recovery == Recovery(freed=(load_id,), loaded=loaded)
    assert items(tmp_path) == ALL
    assert query(tmp_path, "SELECT load_id FROM _dlt_loads") == [(load_id,)]
    assert recover(made) == Recovery()


def test_a_file_the_database_has_is_not_loaded_again(
    process: Process, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The file that was committed just before the kill is found there; the log tells."""
    made = killed(process, tmp_path, "L2", 6)
    with caplog.at_level(logging.INFO, "blocks.recovery"):
        recovery = recover(made)
    assert len(recovery.committed) == 1
    assert recovery.loaded
    assert recovery.unsure == recovery.restarted == recovery.freed == ()
    assert items(tmp_path) == ALL
    assert recovery.committed[0] in caplog.text


def test_a_file_the_database_has_not_is_loaded(process: Process, tmp_path: Path) -> None:
    """A job that was started and did nothing is started again."""
    made = killed(process, tmp_path, "L1", 6)
    assert recover(made).committed == ()
    assert items(tmp_path) == ALL


@pytest.mark.parametrize(
    ("point", "nth", "restarted", "committed"),
    [
        ("L2", 1, [], ["_dlt_pipeline_state"]),  # which is appended
        ("L2", 3, ["items"], []),
        ("L2", 7, ["items__parts"], []),
        ("L3", 3, [], []),
    ],
)
def test_staging_tables_are_filled_anew(
    process: Process,
    tmp_path: Path,
    point: str,
    nth: int,
    restarted: list[str],
    committed: list[str],
) -> None:
    """A merge takes what is in the staging table, so no file may be there twice."""
    recovery = recover(killed(process, tmp_path, point, nth, "merge"))
    assert [file.split(".")[0] for file in recovery.restarted] == restarted
    assert [file.split(".")[0] for file in recovery.committed] == committed
    assert items(tmp_path) == ALL


def test_ended_jobs_of_a_staging_table_that_is_filled_anew_run_again(
    process: Process, tmp_path: Path
) -> None:
    """Of two jobs on the way, one was written down as done and the other was not."""
    made = killed(process, tmp_path, "L2", 7, "merge")
    package = left(made)
    [open_file] = (package / "started_jobs").glob("items__parts.*")
    for table in ("items", "items__parts"):
        other = next((package / "completed_jobs").glob(f"{table}.*"))
        other.rename(package / "started_jobs" / other.name)
        marker = package / ".pending_transitions" / other.name
        marker.write_text('{"state": "completed", "failed_message": null}')
    assert recover(made).restarted == (open_file.name.split(".")[0],)
    assert items(tmp_path) == ALL


def test_a_merge_is_not_left_to_run_twice(process: Process, tmp_path: Path) -> None:
    """The job that made it will make it again; without keys, the second would double all rows."""
    made = killed(process, tmp_path, "L4b", 9, "keyless")
    assert [*left(made).glob("new_jobs/*.sql")]
    recover(made)
    assert items(tmp_path) == ALL


def test_a_schema_that_only_the_package_has_is_brought(process: Process, tmp_path: Path) -> None:
    """Killed before the first state was written, into a dataset that others use already."""
    other = dlt.pipeline(
        "other",
        pipelines_dir=str(tmp_path / "others"),
        destination=dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb")),
        dataset_name="data",
    )
    other.run(dlt.resource([{"id": 1}], name="others"))
    made = killed(process, tmp_path, "E3")
    assert len(recover(made).loaded) == 1
    assert items(tmp_path) == ALL
    assert process(Order(str(tmp_path), 200, "append")) == ""
    assert items(tmp_path) == ALL


def test_an_extracted_package_is_loaded(process: Process, tmp_path: Path) -> None:
    """Killed when its schema and state were written."""
    made = killed(process, tmp_path, "N0")
    assert recover(made) == Recovery(loaded=(*made.list_completed_load_packages(),))
    assert items(tmp_path) == ALL


def test_a_package_whose_state_cannot_be_had_is_dropped(process: Process, tmp_path: Path) -> None:
    """Without `restore_from_destination` its rows would be extracted a second time."""
    made = killed(process, tmp_path, "E3")
    made.config.restore_from_destination = False
    [load_id] = made.list_extracted_load_packages()
    assert recover(made) == Recovery(dropped=(load_id,))
    assert not made.has_pending_data


def started(made: dlt.Pipeline, data: Any, table: str) -> Path:
    """The file of `table` in a package of `data` whose load was about to begin with it."""
    made.extract(data, loader_file_format="parquet")
    made.normalize()
    [package] = (Path(made.working_dir) / "load" / "normalized").iterdir()
    [file] = (package / "new_jobs").glob(f"{table}.*")
    return file.rename(package / "started_jobs" / file.name)


def test_a_file_without_row_ids_is_loaded_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can say whether the database has it."""
    made = pipeline(tmp_path)
    rows = pa.table({"id": [1, 2]})
    made.run(dlt.resource([rows], name="bare"), loader_file_format="parquet")
    file = started(made, dlt.resource([rows], name="bare"), "bare")
    recovery = recover(made)
    assert recovery.unsure == (file.name,)
    assert file.name in caplog.text
    assert query(tmp_path, "SELECT count(*) FROM bare") == [(4,)]


def test_a_file_that_is_there_in_part_is_loaded_and_told(tmp_path: Path) -> None:
    """As by a destination that does not take files as a whole."""
    made = pipeline(tmp_path)

    @dlt.resource(name="items")
    def rows(first: int) -> Iterator[Any]:
        yield from load([[{"id": first}, {"id": first + 1}]])

    made.run(rows(1), loader_file_format="parquet")
    file = started(made, rows(3), "items")
    query(tmp_path, f"INSERT INTO items BY NAME SELECT * FROM read_parquet('{file}') LIMIT 1")
    assert recover(made).unsure == (file.name,)
    assert query(tmp_path, "SELECT count(*) FROM items") == [(5,)]


def test_other_destinations_are_left_to_dlt(tmp_path: Path) -> None:
    """What is pending is loaded; files there have the names of their jobs."""
    made = dlt.pipeline(
        "files",
        pipelines_dir=str(tmp_path / "pipelines"),
        destination=dlt.destinations.filesystem((tmp_path / "files").as_uri()),
        dataset_name="data",
    )
    made.extract(dlt.resource([{"id": 1}], name="items"))
    made.normalize()
    assert len(recover(made).loaded) == 1
    assert len(list((tmp_path / "files" / "data" / "items").iterdir())) == 1


def test_rows_of_an_unfinished_load_are_removed(process: Process, tmp_path: Path) -> None:
    """Those of finished ones stay, and a table that is merged is not touched."""
    assert process(Order(str(tmp_path), 100, "append")) == ""
    killed_order = Order(str(tmp_path), 200, "append", point="L5")
    assert process(killed_order) == "signal 9"
    with pytest.raises(ConfigError, match="recover"):
        remove_unfinished(pipeline(tmp_path))
    (tmp_path / "pipelines").rename(tmp_path / "lost")
    made = pipeline(tmp_path)
    assert remove_unfinished(made) == {"items": 100, "items__parts": 200}
    assert remove_unfinished(made) == {}
    assert items(tmp_path) == [((100, 100), (200, 200))]


def test_rows_are_removed_from_appended_tables_with_load_ids_only(tmp_path: Path) -> None:
    """Nothing says of other rows to which load they belong."""
    made = pipeline(tmp_path)
    assert remove_unfinished(made) == {}
    parts = dlt.mark.make_nested_hints(columns={"size": {"data_type": "bigint"}})
    made.run(
        [
            dlt.resource([{"id": 1}], name="merged", write_disposition="merge", primary_key="id"),
            dlt.resource([pa.table({"id": [1]})], name="bare"),
            dlt.resource([{"id": 1}], name="appended", nested_hints={"parts": parts}),
        ]
    )
    query(tmp_path, "DELETE FROM _dlt_loads")
    assert remove_unfinished(made) == {"appended": 1}


def test_nothing_is_removed_from_what_is_no_database(tmp_path: Path) -> None:
    """Files are not rows."""
    destination = dlt.destinations.filesystem((tmp_path / "files").as_uri())
    made = dlt.pipeline("files", pipelines_dir=str(tmp_path), destination=destination)
    assert remove_unfinished(made) == {}


HEADING = 'INSERT INTO {}("id","note","_dlt_id")\nVALUES\n'


@pytest.mark.parametrize(
    ("file_format", "text", "found"),
    [
        ("jsonl", '{"_dlt_id": "a"}\n{"_dlt_id": "b"}\n{"_dlt_id": "c"}\n', ["a", "c"]),
        ("jsonl", '{"_dlt_id": "a"}\n', ["a"]),
        ("jsonl", '{"id": 1}\n', None),
        ("jsonl", "", []),
        ("insert_values", f"{HEADING}(1,E'it''s, \\n',E'a'),\n(2,NULL,'b');", ["a", "b"]),
        ("insert_values", f"{HEADING}(1,NULL,N'a');", ["a"]),
        ("insert_values", f"{HEADING}(1,CONVERT(VARBINARY(1), '00', 2),N'a');", None),
        ("insert_values", f"{HEADING}(1,NULL,upper('a'));", None),
        ("insert_values", 'INSERT INTO {}("id")\nVALUES\n(1);', None),
        ("csv", "id,_dlt_id\n1,a\n", None),
    ],
)
def test_ends_of_texts(
    tmp_path: Path, file_format: str, text: str, found: list[str] | None
) -> None:
    """Ids of the first and last row, gzipped or not; `None` where there may be others."""
    plain, packed = tmp_path / "plain", tmp_path / "packed.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    assert ends(str(plain), file_format, "_dlt_id") == found
    assert ends(str(packed), file_format, "_dlt_id") == found


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (pa.table({"_dlt_id": ["c", "b", "a"]}), ["a", "c"]),
        (pa.table({"_dlt_id": pa.array([], pa.string())}), []),
        (pa.table({"id": ["c"]}), None),
    ],
)
def test_ends_of_parquet(tmp_path: Path, table: pa.Table, found: list[str] | None) -> None:
    """As of texts."""
    pq.write_table(table, tmp_path / "file.parquet", row_group_size=1)
    assert ends(str(tmp_path / "file.parquet"), "parquet", "_dlt_id") == found


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All snippets of the guide, one after the other, do what they say."""
    monkeypatch.chdir(tmp_path)
    guide = (ROOT / "cookbook" / "recovery.md").read_text(encoding="utf-8")
    module = ModuleType("recovery_guide")  # dlt looks a source's module up
    monkeypatch.setitem(sys.modules, "recovery_guide", module)
    for snippet in re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL):
        exec(compile(snippet, "recovery.md", "exec"), vars(module))
    assert Path("shop.duckdb").exists()
