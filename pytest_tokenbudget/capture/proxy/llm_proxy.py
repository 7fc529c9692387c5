"""The recording proxy of the fixture ``llm_proxy``, on the loopback, for processes of any language."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from urllib.parse import quote, unquote

from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.proxy.forward import STAGE_HEADER, Forwarding
from pytest_tokenbudget.capture.proxy.loopback_server import LoopbackServer, ServerRequest, play_answer
from pytest_tokenbudget.capture.proxy.upstreams import KNOWN, Upstream, upstream_of, upstreams_from
from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.remote import begin_remote
from pytest_tokenbudget.capture.stage import checked_path
from pytest_tokenbudget.errors import SettingsError, TokenBudgetError

_STAGE = "stage"


class LlmProxy:
    """A recording proxy: what is sent to it is forwarded to model providers and belongs to the running sample.

    It listens on 127.0.0.1 alone and forwards to configured servers alone: the well-known providers, or the gateways
    that the environment names in their place, and those that :meth:`upstream` adds. Credentials pass through and are
    stored nowhere. A run that is replayed or scripted is answered here, and no model call leaves.
    """

    def __init__(self) -> None:
        self._upstreams = upstreams_from(os.environ)
        self._forwarding = Forwarding()
        self._server = LoopbackServer(self._handle)
        ACTIVE.forwarders = (*ACTIVE.forwarders, self)

    def __enter__(self) -> LlmProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop it."""
        ACTIVE.forwarders = tuple(one for one in ACTIVE.forwarders if one is not self)
        self._server.close()
        self._forwarding.close()

    @property
    def url(self) -> str:
        """The proxy's own URL, without a path."""
        return self._server.url

    @property
    def address(self) -> str:
        """Its address, with the port."""
        return f"127.0.0.1:{self._server.port}"

    def upstream(self, name: str, url: str) -> LlmProxy:
        """Forward to a gateway, a local engine, or another place of a known provider.

        Args:
            name: Its name in :meth:`url_for`; that of a known provider replaces it.
            url: Its base URL, as an SDK would take it.

        Returns:
            The proxy itself.

        Raises:
            SettingsError: If the name or the URL is none.
        """
        self._upstreams[name] = upstream_of(name, url)
        return self

    def url_for(self, name: str, *, stage: str = "") -> str:
        """The base URL that sends an SDK through the proxy.

        Args:
            name: Name of the upstream: ``"openai"``, ``"anthropic"``, ..., or one that was added.
            stage: Path of the stage of what is sent there; by default that of the header ``x-tokenbudget-stage``, or
                the one that is open in the test.

        Raises:
            SettingsError: If there is no such upstream; it names those that there are.
        """
        if name not in self._upstreams and name not in KNOWN:
            raise SettingsError(
                f"llm_proxy has no upstream {name!r}; it has {', '.join(sorted({*KNOWN, *self._upstreams}))}",
                remedy=f'llm_proxy.upstream("{name}", "https://...")',
            )
        path = self._upstreams[name].path if name in self._upstreams else ""
        prefix = ""
        if stage:
            prefix = f"/{_STAGE}/{'/'.join(quote(part, safe='') for part in checked_path(stage).split('/'))}/-"
        return f"{self._server.url}{prefix}/{name}{path}"

    def env(self, *, stage: str = "") -> dict[str, str]:
        """The environment variables that send the SDKs of all known providers through the proxy.

        Args:
            stage: See :meth:`url_for`.
        """
        variables = {
            variable: self.url_for(name, stage=stage) for name, known in KNOWN.items() for variable in known.variables
        }
        direct = "127.0.0.1,localhost"
        for variable in ("NO_PROXY", "no_proxy"):
            before = os.environ.get(variable, "")
            variables[variable] = f"{before},{direct}" if before else direct
        return variables

    @contextmanager
    def environment(self, *, stage: str = "") -> Iterator[Mapping[str, str]]:
        """Set :meth:`env` in this process for the time of a block, for the processes that it starts.

        Args:
            stage: See :meth:`url_for`.

        Yields:
            The variables.
        """
        variables = self.env(stage=stage)
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield variables
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def meant_address(self, url: str) -> tuple[str, str] | None:
        """The URL and the stage that a URL of this proxy stands for; ``None`` for the URL of another server."""
        server, target = _split(url)
        if server not in (self.address, f"localhost:{self._server.port}"):
            return None
        stage, name, rest = _parts(target)
        upstream = self._upstreams.get(name)
        return None if upstream is None else (upstream.origin + rest, stage)

    def _handle(self, request: ServerRequest) -> bool:
        stage, name, target = _parts(request.target)
        upstream = self._upstreams.get(name)
        if upstream is None:
            known = (
                f"llm_proxy.upstream({name!r}, 'https://...') says where it is" if name in KNOWN else "no such upstream"
            )
            return request.answer(
                404, f"llm_proxy: {name[:50]!r}: {known}; it has {', '.join(sorted(self._upstreams))}"
            )
        stage = request.head.get(STAGE_HEADER) or stage
        recorder = _recorder()
        try:
            stage = checked_path(stage) if stage else ""
            if request.head.get("upgrade"):
                return self._upgrade(request, upstream, target, recorder)
            return self._pass(request, upstream, target, recorder, stage)
        except TokenBudgetError as error:
            return request.answer(400, str(error))

    def _pass(
        self, request: ServerRequest, upstream: Upstream, target: str, recorder: Recorder | None, stage: str
    ) -> bool:
        # A client that is watched itself is nearer to the call: it knows the stage, and its call is counted once.
        if recorder is not None:
            recorder.forwarded += 1
        if recorder is None or recorder.is_sending(self._server.url + request.target, request.body):
            return self._forwarding.forward(request, upstream, target, None)
        client = request.head.get("user-agent").partition(" ")[0].replace("/", " ") or "http"
        builder, answer = begin_remote(recorder, request.outgoing(upstream.origin + target, client=client, stage=stage))
        if answer is not None:
            return play_answer(request, answer, builder)
        try:
            return self._forwarding.forward(request, upstream, target, builder)
        except TokenBudgetError:
            recorder.forget(builder)
            raise

    def _upgrade(self, request: ServerRequest, upstream: Upstream, target: str, recorder: Recorder | None) -> bool:
        if recorder is not None and recorder.answerer is not None:
            return request.answer(403, "a WebSocket is not replayed, and no model call leaves a replayed run")
        if recorder is not None:
            recorder.note(f"a WebSocket to {upstream.origin} went through llm_proxy: its calls are not read")
        return self._forwarding.tunnel(request, upstream, target)


def _recorder() -> Recorder | None:
    """The recorder of the running sample, ``None`` where there is none."""
    return next((one for one in reversed(ACTIVE.recorders) if isinstance(one, Recorder)), None)


def _split(url: str) -> tuple[str, str]:
    """Host with port, and target of a URL."""
    server, slash, target = url.partition("://")[2].partition("/")
    return server, slash + target


def _parts(target: str) -> tuple[str, str, str]:
    """Stage, name of the upstream, and path and query there."""
    path, mark, query = target.partition("?")
    parts = path.lstrip("/").split("/")
    stage = ""
    if parts[0] == _STAGE and "-" in parts:
        end = parts.index("-")
        stage, parts = "/".join(map(unquote, parts[1:end])), parts[end + 1 :]
    name, *rest = parts or [""]
    return stage, name, f"/{'/'.join(rest)}{mark}{query}"
