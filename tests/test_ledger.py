"""A ledger keeps jobs exactly as long as somebody may come back for them."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import ConfigError, JobError
from blocks.ledger import Ledger, StateFile, fingerprint


@contextmanager
def failing(kept: dict[str, Any], **options: Any) -> Iterator[Ledger]:
    """A ledger's block that ends by an error."""
    with suppress(RuntimeError), Ledger(kept, **options) as ledger:
        yield ledger
        raise RuntimeError


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_jobs_outlive_a_block_that_failed_only() -> None:
    """Of several jobs all are kept after an error, and all forgotten after the end."""
    kept: dict[str, Any] = {"mine": "left alone"}
    with failing(kept) as ledger:
        ledger.add("a", 1)
        ledger.add("b", "two")
    with Ledger(kept) as ledger:
        assert (ledger.find("a"), ledger.find("b"), ledger.find("c")) == (1, "two", None)
    assert kept == {"mine": "left alone"}


def test_a_job_nobody_asked_for_stays() -> None:
    """A run of other jobs forgets its own."""
    kept: dict[str, Any] = {}
    with failing(kept) as ledger:
        ledger.add("a", 1)
    with Ledger(kept) as ledger:
        ledger.add("b", 2)
    with Ledger(kept) as ledger:
        assert (ledger.find("a"), ledger.find("b")) == (1, None)
    assert repr(Ledger(kept, keep=5)) == "Ledger(keep=5)"


def test_old_jobs_are_forgotten() -> None:
    """After `keep` seconds a job's rows are too old to be had for new, and its entry goes."""
    kept: dict[str, Any] = {}
    clock = Clock()
    with failing(kept, keep=60, clock=clock) as ledger:
        ledger.add("a", 1)
        clock.now += 60
        assert ledger.find("a") == 1
        clock.now += 1
        assert ledger.find("a") is None
    with Ledger(kept, keep=60, clock=clock):
        assert kept == {}


def test_dropping_what_is_not_there() -> None:
    """A job that failed is dropped, whether or not it was noted."""
    kept: dict[str, Any] = {}
    with Ledger(kept) as ledger:
        ledger.add("a", 1)
        ledger.drop("a")
        ledger.drop("a")
        assert kept == {}


def test_a_ledger_needs_its_block() -> None:
    """Outside of one, or twice at a time, nobody would know when to forget."""
    ledger = Ledger({})
    with pytest.raises(ConfigError, match="`with` block"):
        ledger.find("a")
    with ledger, pytest.raises(ConfigError, match="in use"):
        ledger.__enter__()
    with ledger:
        assert ledger.find("a") is None


@pytest.mark.parametrize("job_id", ["https://a/b?sig=1", "https://me:pw@a/b", "/x?key=1"])
def test_urls_that_may_be_credentials_are_refused(job_id: str) -> None:
    """Neither a query nor a user is written down, or said."""
    with pytest.raises(JobError) as caught, Ledger({}) as ledger:
        ledger.add("a", job_id)
    assert job_id not in str(caught.value)


@given(
    changes=st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.integers() | st.text()), max_size=8
    )
)
@settings(max_examples=30)
def test_a_state_file_is_a_mapping(
    changes: list[tuple[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After any changes a new object at the same path has what a dict would have."""
    path = tmp_path_factory.mktemp("state") / "folder" / "jobs.json"
    expected: dict[str, Any] = {}
    for key, value in changes:
        if value is None:
            StateFile(path).pop(key, None)
            expected.pop(key, None)
        else:
            StateFile(path)[key] = expected[key] = value
        found = StateFile(path)
        assert (dict(found), len(found), list(found)) == (expected, len(expected), list(expected))


def test_a_state_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    """The new content takes the place of the old one; no file but that one stays."""
    file = StateFile(tmp_path / "jobs.json")
    file["a"] = 1
    file["b"] = 2
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.json"]
    assert json.loads((tmp_path / "jobs.json").read_text()) == {"a": 1, "b": 2}
    assert "jobs.json" in repr(file)


def test_a_state_file_is_its_owners_alone(tmp_path: Path) -> None:
    """As is one that others could read before, once it is written anew."""
    path = tmp_path / "jobs.json"
    path.write_text("{}")
    path.chmod(0o644)
    StateFile(path)["a"] = 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    """It may be somebody else's: it is named, and left as it is."""
    path = tmp_path / "jobs.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"jobs\.json"):
        StateFile(path)["a"] = 1
    assert path.read_text() == content


@given(
    left=st.tuples(st.sampled_from(["GET", "POST"]), st.sampled_from("ab"), st.binary(max_size=3)),
    right=st.tuples(st.sampled_from(["GET", "POST"]), st.sampled_from("ab"), st.binary(max_size=3)),
)
def test_fingerprints_are_equal_where_requests_are(left: Any, right: Any) -> None:
    """By method, URL and body; headers, where credentials are, do not count."""
    texts = [
        fingerprint(
            httpx.Request(method, f"https://x/?q={query}", content=body, headers={"X": str(place)})
        )
        for place, (method, query, body) in enumerate([left, right])
    ]
    assert (texts[0] == texts[1]) == (left == right)
