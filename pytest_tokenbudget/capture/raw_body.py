"""Streamed bodies of urllib3, which requests and botocore share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pytest_tokenbudget.capture.httpx_family import ended_by
from pytest_tokenbudget.capture.recorder import Pending


def tee_raw(raw: Any, pending: Pending) -> None:
    """Note what is read of a urllib3 response, whichever of its methods is used.

    Args:
        raw: The response. Its own methods ``stream`` and ``read`` are shadowed on this one object.
        pending: The exchange that it belongs to.
    """
    stream, read, close = raw.stream, raw.read, raw.close
    streaming = False

    def decoding(asked: bool | None) -> None:
        pending.encoded = not (raw.decode_content if asked is None else asked)

    def watched_stream(*args: Any, **options: Any) -> Iterator[bytes]:
        nonlocal streaming
        streaming = True
        decoding(options.get("decode_content", args[1] if len(args) > 1 else None))
        try:
            for chunk in stream(*args, **options):
                pending.chunk(chunk)
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            pending.finish(ended_by(error, "cut"), error)
            raise
        pending.finish("complete")

    def watched_read(amt: int | None = None, *args: Any, **options: Any) -> bytes:
        if not streaming:
            decoding(args[0] if args else options.get("decode_content"))
        try:
            data: bytes = read(amt, *args, **options)
        except BaseException as error:
            pending.finish(ended_by(error, "cut"), error)
            raise
        if not streaming:
            if data:
                pending.chunk(data)
            if amt is None or not data:
                pending.finish("complete")
        return data

    def watched_close() -> None:
        try:
            close()
        finally:
            pending.finish("closed")

    shadows: dict[str, Callable[..., Any]] = {"stream": watched_stream, "read": watched_read, "close": watched_close}
    for name, method in shadows.items():
        setattr(raw, name, method)
