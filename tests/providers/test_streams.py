"""However a stream is cut into pieces and encoded, it is the same call."""

from __future__ import annotations

import gzip
import sys
import zlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire_samples import Sample, in_chunks
from wire_streams import STREAMS

from pytest_tokenbudget.providers.classify import ReadExchange, read
from pytest_tokenbudget.providers.registry import builtin_formats

FORMATS = builtin_formats()
CUTS = st.lists(st.integers(min_value=0, max_value=20_000), max_size=30)
NAMES = st.sampled_from(sorted(STREAMS))


def deflate_raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def two_members(data: bytes) -> bytes:
    return gzip.compress(data[:100]) + gzip.compress(data[100:])


PACKERS = {"gzip": gzip.compress, "x-gzip": two_members, "deflate": zlib.compress, "Deflate": deflate_raw}


def read_it(made):
    found = read(made, FORMATS)
    assert isinstance(found, ReadExchange)
    return found


def packed(sample: Sample, encoding: str, data: bytes):
    headers = (*sample.exchange.response_headers, ("content-encoding", encoding))
    return replace(sample.exchange, chunks=(data,), encoded=True, response_headers=headers)


@given(NAMES, CUTS)
def test_any_chunk_boundaries_give_the_same_call(name: str, cuts: list[int]):
    """Pieces end inside events, lines, characters and messages: nothing changes but when the first token came."""
    sample = STREAMS[name]
    assert read_it(in_chunks(sample.exchange, cuts)).reading == read_it(sample.exchange).reading


@given(NAMES, st.sampled_from(sorted(PACKERS)), CUTS)
@example("chat", "Deflate", [1])
def test_any_chunk_boundaries_inside_a_compressed_stream_give_the_same_call(name: str, encoding: str, cuts: list[int]):
    """The same with pieces of the compressed bytes."""
    sample = STREAMS[name]
    made = packed(sample, encoding, PACKERS[encoding](sample.exchange.chunks[0]))
    assert read_it(in_chunks(made, cuts)).reading == read_it(sample.exchange).reading


@given(NAMES, CUTS)
def test_the_first_token_comes_with_the_piece_that_ends_its_event(name: str, cuts: list[int]):
    """The time is that of the first piece with which the body reaches the end of the first event with content."""
    made = in_chunks(STREAMS[name].exchange, cuts)
    found = read_it(made)
    at = found.reading.first_content_at
    assert at is not None
    assert found.ttft is not None
    arrived = [time for number, time in enumerate(made.chunk_times) if len(b"".join(made.chunks[: number + 1])) >= at]
    assert found.ttft == arrived[0] - made.started


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_the_first_token_is_known_before_the_stream_ends(name: str):
    """Byte by byte, the first token comes well before the last byte."""
    body = STREAMS[name].exchange.chunks[0]
    made = in_chunks(STREAMS[name].exchange, list(range(len(body))))
    found = read_it(made)
    assert found.ttft is not None
    assert 0 < found.ttft < made.chunk_times[-1] - made.started


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_brotli_and_zstandard_are_read_where_their_libraries_are(encoding: str):
    """Both are optional and imported only when a body asks for them."""
    if encoding == "br":
        pack = pytest.importorskip("brotli", reason="brotli is optional").compress
    else:
        pack = pytest.importorskip("zstandard", reason="zstandard is optional").ZstdCompressor().compress
    sample = STREAMS["chat"]
    made = in_chunks(packed(sample, encoding, pack(sample.exchange.chunks[0])), list(range(0, 900, 7)))
    found = read_it(made)
    assert found.reading == read_it(sample.exchange).reading
    assert found.ttft is not None


@pytest.mark.parametrize("missing", ["brotli", "zstandard"])
def test_an_encoding_without_its_library_is_said(monkeypatch, missing: str):
    """The call is there, its tokens are unknown, and the reason stands in the problems."""
    for name in (missing, "brotlicffi", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    encoding = {"brotli": "br", "zstandard": "zstd"}[missing]
    found = read_it(packed(STREAMS["chat"], encoding, b"\x28\xb5\x2f\xfd")).reading
    assert found.usage.input_tokens is None
    assert found.problems == (f"no library decodes content-encoding '{encoding}'",)


def test_zstandard_of_the_standard_library_stands_in(monkeypatch):
    """Python 3.14 has it and httpx2 decodes with it: then ``zstandard`` need not be installed."""
    zstandard = pytest.importorskip("zstandard", reason="zstandard is optional")
    own = SimpleNamespace(
        ZstdDecompressor=lambda: zstandard.ZstdDecompressor().decompressobj(), ZstdError=zstandard.ZstdError
    )
    sample = STREAMS["chat"]
    made = packed(sample, "zstd", zstandard.ZstdCompressor().compress(sample.exchange.chunks[0]))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", own)
    assert read_it(in_chunks(made, [7, 90])).reading == read_it(sample.exchange).reading


@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3]])
def test_a_header_that_lies_about_the_encoding_is_forgiven(cuts: list[int]):
    """A plain body under ``content-encoding: gzip`` is read as it is, and said, however it is cut."""
    sample = STREAMS["chat"]
    found = read_it(in_chunks(packed(sample, "gzip", sample.exchange.chunks[0]), cuts)).reading
    assert found.usage == read_it(sample.exchange).reading.usage
    assert found.problems == ("the body is not valid gzip",)


def test_a_cut_compressed_stream_keeps_what_was_decoded():
    """Half of a gzip stream is half of a stream."""
    sample = STREAMS["messages"]
    data = gzip.compress(sample.exchange.chunks[0])
    found = read_it(packed(sample, "gzip", data[: len(data) * 2 // 3])).reading
    assert found.model == "claude-9-1"
    assert found.tool_calls in ((), ("weather",))


def test_chained_encodings_are_undone_in_order():
    """``content-encoding: deflate, gzip`` was deflated first."""
    sample = STREAMS["chat"]
    data = gzip.compress(zlib.compress(sample.exchange.chunks[0]))
    assert read_it(packed(sample, "deflate, gzip", data)).reading == read_it(sample.exchange).reading
