"""The sticky comment on GitHub and GitLab: found by its marker and by its author, written anew or changed in place.

GitHub: https://docs.github.com/rest/issues/comments, GitLab: https://docs.gitlab.com/api/notes (both read 2026-11-28). Only the
standard library is used, so that a CI job needs nothing installed.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytest_tokenbudget.errors import ReportError
from pytest_tokenbudget.wording import plain

TIMEOUT_S = 30
PAGE = 100
MOST_PAGES = 50
"""Pages of comments that are looked through: 5,000 comments."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment that stands there: its id, its text, and whether we may take it for ours by its author."""

    id: int
    body: str
    ours: bool


class CodeHost(Protocol):
    """The operations of a host of pull requests."""

    def comments(self) -> Iterator[Comment]:
        """The comments of the pull request, oldest first."""

    def add(self, body: str) -> str:
        """Write a new comment; gives its address."""

    def change(self, comment: Comment, body: str) -> str:
        """Replace a comment's text; gives its address."""


def publish(host: CodeHost, body: str, marker: str, *, create: bool) -> str | None:
    """Replace our comment, or write one.

    Args:
        host: Where.
        body: The comment.
        marker: What our comments hold.
        create: Whether a comment is written where there is none yet.

    Returns:
        The comment's address; ``None`` where there is none and none was wanted.
    """
    for comment in host.comments():
        if comment.ours and marker in comment.body:
            return host.change(comment, body)
    return host.add(body) if create else None


class GitHub:
    """A pull request on GitHub, as a workflow sees it.

    Args:
        environment: The job's variables.
        number: Number of the pull request; taken from the event where ``None``.
    """

    def __init__(self, environment: Mapping[str, str], number: int | None = None) -> None:
        api = environment.get("GITHUB_API_URL", "https://api.github.com")
        self._repository = _needed(environment, "GITHUB_REPOSITORY")
        token = environment.get("GITHUB_TOKEN") or environment.get("GH_TOKEN") or ""
        if not token:
            raise ReportError(
                "no token to write the comment with", remedy="env: GITHUB_TOKEN: ${{ github.token }} in that step"
            )
        self._api = _Api(
            api, {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}, _GITHUB_HELP
        )
        self._number = number or self._number_of(_event(environment))

    def _number_of(self, event: Mapping[str, Any]) -> int:
        """The pull request that an event is about.

        After ``workflow_run`` it is looked up by the branch and commit that GitHub names: what the other job uploaded may come
        from a stranger and is not asked.
        """
        pull = event.get("pull_request")
        if isinstance(pull, dict):
            return int(pull["number"])
        run = event.get("workflow_run")
        if isinstance(run, dict):
            owner, branch = run["head_repository"]["owner"]["login"], run["head_branch"]
            query = urllib.parse.urlencode({"state": "open", "head": f"{owner}:{branch}", "per_page": PAGE})
            for found in self._api.call("GET", f"/repos/{self._repository}/pulls?{query}"):
                if found["head"]["sha"] == run["head_sha"]:
                    return int(found["number"])
            raise NoPullRequest(f"no open pull request has {branch} at {run['head_sha'][:12]} as its head")
        raise NoPullRequest("this event is about no pull request")

    def comments(self) -> Iterator[Comment]:
        """The comments of the pull request; ours are those of the token's user, or of a bot where it has none."""
        login = self._login()
        for comment in self._api.pages(f"/repos/{self._repository}/issues/{self._number}/comments?"):
            user = comment.get("user") or {}
            ours = user.get("login") == login if login else user.get("type") == "Bot"
            yield Comment(int(comment["id"]), str(comment.get("body") or ""), ours)

    def _login(self) -> str:
        """Name of the token's user; empty for the tokens of jobs and apps, which are no user's."""
        try:
            return str(self._api.call("GET", "/user").get("login") or "")
        except ReportError:
            return ""

    def add(self, body: str) -> str:
        """Write a new comment."""
        path = f"/repos/{self._repository}/issues/{self._number}/comments"
        return str(self._api.call("POST", path, {"body": body}).get("html_url", ""))

    def change(self, comment: Comment, body: str) -> str:
        """Replace a comment's text."""
        path = f"/repos/{self._repository}/issues/comments/{comment.id}"
        return str(self._api.call("PATCH", path, {"body": body}).get("html_url", ""))


class GitLab:
    """A merge request on GitLab, as a job of its pipeline sees it.

    Args:
        environment: The job's variables.
        number: Number of the merge request within its project; taken from the variables where ``None``.
    """

    def __init__(self, environment: Mapping[str, str], number: int | None = None) -> None:
        token = environment.get("GITLAB_TOKEN", "")
        if not token:
            raise ReportError(
                "no token to write the note with",
                remedy="a project access token with the scope api, as the masked variable GITLAB_TOKEN",
            )
        iid = number or environment.get("CI_MERGE_REQUEST_IID", "")
        if not iid:
            raise NoPullRequest("this pipeline is no merge request's")
        project = urllib.parse.quote(_needed(environment, "CI_PROJECT_ID"), safe="")
        self._notes = f"/projects/{project}/merge_requests/{iid}/notes"
        self._api = _Api(_needed(environment, "CI_API_V4_URL"), {"PRIVATE-TOKEN": token}, _GITLAB_HELP)

    def comments(self) -> Iterator[Comment]:
        """The notes of the merge request; ours are those of the token's user."""
        me = self._api.call("GET", "/user").get("id")
        for note in self._api.pages(f"{self._notes}?sort=asc&"):
            ours = (note.get("author") or {}).get("id") == me
            yield Comment(int(note["id"]), str(note.get("body") or ""), ours)

    def add(self, body: str) -> str:
        """Write a new note."""
        return f"note {self._api.call('POST', self._notes, {'body': body}).get('id')}"

    def change(self, comment: Comment, body: str) -> str:
        """Replace a note's text."""
        self._api.call("PUT", f"{self._notes}/{comment.id}", {"body": body})
        return f"note {comment.id}"


class NoPullRequest(Exception):
    """There is no pull request to comment on; the text says why."""


def code_host(environment: Mapping[str, str], number: int | None = None) -> CodeHost:
    """The host on whose CI this job runs.

    Raises:
        NoPullRequest: If the job is about none.
        ReportError: If it is neither GitHub nor GitLab, or a token is missing.
    """
    if environment.get("GITHUB_ACTIONS"):
        return GitHub(environment, number)
    if environment.get("GITLAB_CI"):
        return GitLab(environment, number)
    raise ReportError(
        "neither GITHUB_ACTIONS nor GITLAB_CI is set: there is no pull request to comment on",
        remedy="tokenbudget render REPORT.json -o comment.md writes the comment to a file",
    )


def is_from_fork(environment: Mapping[str, str]) -> bool:
    """Tell whether this is GitHub's event ``pull_request`` for a branch of another repository: its token may only read."""
    if environment.get("GITHUB_EVENT_NAME") != "pull_request":
        return False
    head = ((_event(environment).get("pull_request") or {}).get("head") or {}).get("repo") or {}
    return bool(head.get("full_name") != environment.get("GITHUB_REPOSITORY"))


def _event(environment: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        found = json.loads(Path(_needed(environment, "GITHUB_EVENT_PATH")).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"GITHUB_EVENT_PATH cannot be read: {error}", remedy="--pull-request NUMBER") from None
    return found if isinstance(found, dict) else {}


def _needed(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise ReportError(f"the variable {name} is not set", remedy="run this in the job of a pull request")
    return value


_GITHUB_HELP = "permissions: pull-requests: write in the job; for pull requests from forks use the workflow_run recipe"
_GITLAB_HELP = "give the token the scope api and the role Reporter or higher"


@dataclass(frozen=True, slots=True)
class _Api:
    """A JSON API: its address, what each request carries, and what to do where a request is refused."""

    url: str
    headers: dict[str, str]
    help: str

    def pages(self, path: str) -> Iterator[Any]:
        """The items of all pages of a list; the path ends where the query's parameters may follow."""
        for page in range(1, MOST_PAGES + 1):
            found = self.call("GET", f"{path}per_page={PAGE}&page={page}")
            yield from found
            if len(found) < PAGE:
                return

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request.

        Raises:
            ReportError: If the host cannot be reached or refuses.
        """
        if urllib.parse.urlsplit(self.url).scheme not in ("http", "https"):
            raise ReportError(
                f"{self.url}: is no address of an API", remedy="leave the variables of the CI as they are"
            )
        request = urllib.request.Request(
            self.url.rstrip("/") + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={**self.headers, "Content-Type": "application/json", "User-Agent": "pytest-tokenbudget"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                said = plain(error.read(2000).decode("utf-8", "replace"), limit=200)
            where = f"{method} {path.partition('?')[0]}"
            raise ReportError(f"{where}: HTTP {error.code}: {said}", remedy=self.help) from None
        except (OSError, ValueError) as error:
            raise ReportError(f"{method} {self.url}: {error}", remedy="is the host reachable from this job?") from None
