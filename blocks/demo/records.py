"""Issues in the shape of GitHub's REST API, all values invented from a seed.

The keys are those of "List repository issues",
https://docs.github.com/en/rest/issues/issues#list-repository-issues, as is their nesting: objects
(`user`, `milestone`, `reactions`), lists of objects (`labels`, `assignees`), keys that are null on
most rows (`milestone`, `assignee`) and keys that only pull requests have (`pull_request`, `draft`).

>>> first, *_ = generate(3, seed=1)
>>> first["number"], first["created_at"], len(first["user"])
(1, '2024-01-01T00:00:00Z', 19)
>>> generate(3, seed=1) == generate(3, seed=1)
True
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["REPOSITORY", "Changes", "change", "generate"]

REPOSITORY = "acme/widgets"

Issue = dict[str, Any]

_SITE = "https://git.example.com"
_API = f"https://api.git.example.com/repos/{REPOSITORY}"
_USERS = "https://api.git.example.com/users"
_START = datetime(2024, 1, 1, tzinfo=UTC)
_END = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS = (
    "a after again and before build cache can cast catch column commit config copy crash cursor "
    "default does driver empty error every export extension fails file filter first flag for from "
    "group hash import in index insert is it join key large last limit list load lock memory "
    "merge missing name nested not null of on order page parse plan query read release result "
    "retry row scan schema select set slow sort stack string table test the thread time timeout "
    "to type union update value version view wait when window with without write wrong"
)
_SNIPPET = "```sql\nSELECT count(*) AS \"n\" FROM 'orders\\2024.parquet' WHERE total > 0.5;\n```\n"
_LABELS = (
    "bug",
    "documentation",
    "duplicate",
    "good first issue",
    "help wanted",
    "needs: reproduction",
    "performance",
    "question",
    "regression",
    "stale",
    "under review",
    "won't fix",
)


@dataclass(frozen=True, slots=True)
class Changes:
    """The ids of the issues that a change touched.

    The `emptied`, which have no label and no assignee left, are among the `updated`.
    """

    created: list[int]
    updated: list[int]
    emptied: list[int]


def generate(count: int, seed: int) -> list[Issue]:
    """`count` issues in order of creation, spread over two years; equal for equal arguments."""
    maker = _Maker(seed)
    step = (_END - _START) / max(count, 1)
    return [maker.issue(number, _START + (number - 1) * step) for number in range(1, count + 1)]


def change(issues: list[Issue], seed: int) -> Changes:
    """Edit about 2 % of `issues` in place and append new ones; return which.

    Some of the edited lose all labels and assignees. Whatever is touched is later than everything
    before, several in the same second.

    >>> issues = generate(100, seed=1)
    >>> done = change(issues, seed=2)
    >>> len(issues), len(done.created), len(done.updated), len(done.emptied)
    (105, 5, 10, 5)
    >>> [issue["labels"] + issue["assignees"] for issue in issues if issue["id"] in done.emptied]
    [[], [], [], [], []]
    """
    maker = _Maker(seed)
    count = len(issues)
    now = datetime.fromisoformat(max(issue["updated_at"] for issue in issues))
    full = [issue for issue in issues if issue["labels"] and issue["assignees"]]
    emptied = maker.random.sample(full, min(max(5, count // 400), len(full)))
    gone = {issue["id"] for issue in emptied}
    others = [issue for issue in issues if issue["id"] not in gone]
    edited = maker.random.sample(others, min(max(5, count // 50), len(others)))
    updated = emptied + edited
    maker.random.shuffle(updated)
    for issue in emptied:
        issue |= {"labels": [], "assignees": [], "assignee": None}
    for issue in edited:
        issue["title"] += " (edited)"
        issue["labels"] = issue["labels"][:1]
        issue["assignees"] = maker.users()
        issue["assignee"] = next(iter(issue["assignees"]), None)
    for position, issue in enumerate(updated, start=1):
        issue["comments"] += 1
        issue["updated_at"] = _text(now + timedelta(seconds=position // 4 + 1))
    later = now + timedelta(seconds=len(updated) // 4 + 2)
    created = [
        maker.issue(count + position, later + timedelta(seconds=position // 4))
        for position in range(1, max(5, count // 200) + 1)
    ]
    issues += created
    return Changes(*([issue["id"] for issue in part] for part in (created, updated, emptied)))


class _Maker:
    """Draws issues from one seeded stream of random numbers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._words = _WORDS.split()
        self._people = [_user(number) for number in range(1, 401)]
        self._labels = [_label(number, name) for number, name in enumerate(_LABELS, start=1)]
        self._milestones = [self._milestone(number) for number in range(1, 13)]
        # Titles and bodies are put together from these: an eighth of the time of single words.
        self._sentences = [self._sentence() for _ in range(2_000)]

    def users(self) -> list[Issue]:
        """None, one or a few of the people."""
        return self.random.sample(self._people, self.random.choices((0, 1, 2, 3), (6, 3, 1, 1))[0])

    def issue(self, number: int, created: datetime) -> Issue:
        """Issue `number`; its id and nothing else depends on the number alone."""
        draw = self.random
        pull = draw.random() < 0.4
        updated = created + timedelta(seconds=int(draw.expovariate(1 / 86_400)))
        # Bulk edits leave many rows with one and the same time, as they do in real life.
        if draw.random() < 0.1:
            updated = updated.replace(minute=0, second=0) + timedelta(hours=1)
        closed = draw.random() < 0.7
        url = f"{_API}/issues/{number}"
        kind = "pull" if pull else "issues"
        assignees = self.users()
        issue: Issue = {
            "url": url,
            "repository_url": _API,
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "html_url": f"{_SITE}/{REPOSITORY}/{kind}/{number}",
            "id": 2_050_000_000 + number * 7_919,
            "node_id": f"I_kwDO{number:012d}",
            "number": number,
            "title": draw.choice(self._sentences)[:60].strip(),
            "user": draw.choice(self._people),
            "labels": draw.sample(self._labels, draw.choices((0, 1, 2, 3), (2, 4, 3, 1))[0]),
            "state": "closed" if closed else "open",
            "locked": draw.random() < 0.02,
            "assignee": assignees[0] if assignees else None,
            "assignees": assignees,
            "milestone": draw.choice(self._milestones) if draw.random() < 0.15 else None,
            "comments": int(draw.expovariate(0.25)),
            "created_at": _text(created),
            "updated_at": _text(updated),
            "closed_at": _text(updated) if closed else None,
            "author_association": draw.choice(("NONE", "CONTRIBUTOR", "MEMBER")),
            "active_lock_reason": None,
            "body": self._body(),
            "reactions": self._reactions(url),
            "timeline_url": f"{url}/timeline",
            "performed_via_github_app": None,
            "state_reason": draw.choice(("completed", "not_planned")) if closed else None,
        }
        if pull:
            pull_url = f"{_API}/pulls/{number}"
            html_url = f"{_SITE}/{REPOSITORY}/pull/{number}"
            issue["draft"] = draw.random() < 0.1
            issue["pull_request"] = {
                "url": pull_url,
                "html_url": html_url,
                "diff_url": f"{html_url}.diff",
                "patch_url": f"{html_url}.patch",
                "merged_at": _text(updated) if closed else None,
            }
        return issue

    def _sentence(self) -> str:
        words = self.random.choices(self._words, k=self.random.randint(6, 22))
        return " ".join(words).capitalize() + ". "

    def _body(self) -> str | None:
        """Markdown of about 1 kB; now and then a line, now and then nothing."""
        kind = self.random.random()
        if kind < 0.05:
            return None
        if kind < 0.15:
            return self.random.choice(self._sentences)
        parts = self.random.choices(self._sentences, k=self.random.randint(8, 16))
        parts[3] += f"\r\n\r\n### Steps … «reproduce» ✅\r\n\r\n{_SNIPPET}"
        parts[6] += "\r\n\r\n"
        return "".join(parts)

    def _reactions(self, url: str) -> Issue:
        kinds = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
        counts = {kind: max(0, self.random.randint(-9, 4)) for kind in kinds}
        return {"url": f"{url}/reactions", "total_count": sum(counts.values()), **counts}

    def _milestone(self, number: int) -> Issue:
        url = f"{_API}/milestones/{number}"
        return {
            "url": url,
            "html_url": f"{_SITE}/{REPOSITORY}/milestone/{number}",
            "labels_url": f"{url}/labels",
            "id": 9_000_000 + number,
            "node_id": f"MI_kwDO{number:08d}",
            "number": number,
            "title": f"1.{number}.0",
            "description": f"What goes into release 1.{number}.",
            "open_issues": self.random.randint(0, 40),
            "closed_issues": self.random.randint(0, 400),
            "state": "open" if number > 9 else "closed",
            "created_at": _text(_START + timedelta(days=30 * number)),
            "updated_at": _text(_START + timedelta(days=30 * number + 20)),
            "due_on": _text(_START + timedelta(days=30 * number + 45)),
            "closed_at": None if number > 9 else _text(_START + timedelta(days=30 * number + 50)),
        }


def _user(number: int) -> Issue:
    login = f"user-{number:04d}"
    url = f"{_USERS}/{login}"
    return {
        "login": login,
        "id": 1_000_000 + number,
        "node_id": f"U_kgDO{number:08d}",
        "avatar_url": f"https://avatars.git.example.com/u/{1_000_000 + number}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{_SITE}/{login}",
        "followers_url": f"{url}/followers",
        "following_url": f"{url}/following{{/other_user}}",
        "gists_url": f"{url}/gists{{/gist_id}}",
        "starred_url": f"{url}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{url}/subscriptions",
        "organizations_url": f"{url}/orgs",
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events{{/privacy}}",
        "received_events_url": f"{url}/received_events",
        "type": "User",
        "user_view_type": "public",
        "site_admin": False,
    }


def _label(number: int, name: str) -> Issue:
    return {
        "id": 5_000_000 + number,
        "node_id": f"LA_kwDO{number:08d}",
        "url": f"{_API}/labels/{name.replace(' ', '%20')}",
        "name": name,
        "color": f"{number * 1_234_567 % 0xFFFFFF:06x}",
        "default": number <= 7,
        "description": None if number % 4 == 0 else f"Marks an issue as: {name}",
    }


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
