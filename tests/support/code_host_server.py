"""A stand-in for the APIs of GitHub and GitLab on loopback: pull requests, their comments, and who may write them."""

from __future__ import annotations

import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BOT = {"login": "github-actions[bot]", "type": "Bot", "id": 1}
STRANGER = {"login": "mallory", "type": "User", "id": 66}
PERSON = {"login": "ana", "type": "User", "id": 7}


@dataclass
class CodeHostServer:
    """What stands on the host.

    Attributes:
        comments: Comments by number of the pull request, in order: ``id``, ``body``, ``user`` (GitHub) or ``author`` (GitLab).
        pulls: Open pull requests: ``number``, and ``head`` with ``label`` (``owner:branch``) and ``sha``.
        me: Who the token belongs to; a bot's token is no user's.
        may_write: Whether the token may write.
        requests: Method and path of all requests.
        tokens: The tokens that were sent.
    """

    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    me: dict[str, Any] = field(default_factory=lambda: dict(BOT))
    may_write: bool = True
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    url: str = ""

    def seed(self, number: int, body: str, user: dict[str, Any]) -> dict[str, Any]:
        """Put a comment there."""
        comment = {"id": 1000 + sum(map(len, self.comments.values())), "body": body, "user": user, "author": user}
        self.comments.setdefault(number, []).append(comment)
        return comment

    def answer(self, method: str, target: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON for a request."""
        path, _, query = target.partition("?")
        options = dict(urllib.parse.parse_qsl(query))
        self.requests.append(f"{method} {path}")
        if path.endswith("/user"):
            return (403, {"message": "Resource not accessible"}) if self.me["type"] == "Bot" else (200, self.me)
        if path.endswith("/pulls"):
            return 200, [
                {"number": p["number"], "head": p["head"]} for p in self.pulls if p["head"]["label"] == options["head"]
            ]
        if method != "GET" and not self.may_write:
            return 403, {"message": "Resource not accessible by integration"}
        one = re.search(r"(?:/issues/comments/|/notes/)(\d+)$", path)
        if one is not None:
            found = next(c for comments in self.comments.values() for c in comments if c["id"] == int(one[1]))
            found["body"] = body["body"]
            return 200, self._shown(found)
        many = re.search(r"/(?:issues|merge_requests)/(\d+)/(?:comments|notes)$", path)
        if many is None:
            return 404, {"message": f"no such path: {path}"}
        if method == "POST":
            return 201, self._shown(self.seed(int(many[1]), body["body"], self.me))
        first = (int(options["page"]) - 1) * int(options["per_page"])
        return 200, self.comments.get(int(many[1]), [])[first : first + int(options["per_page"])]

    def _shown(self, comment: dict[str, Any]) -> dict[str, Any]:
        return {**comment, "html_url": f"https://host.example/comments/{comment['id']}"}


@contextmanager
def code_host_server() -> Iterator[CodeHostServer]:
    """Run the stand-in; its ``url`` says where."""
    state = CodeHostServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            state.tokens.add(self.headers.get("PRIVATE-TOKEN") or self.headers.get("Authorization") or "")
            status, answer = state.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = _any

        def log_message(self, *args: object) -> None:
            """Nothing is logged."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
