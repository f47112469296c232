"""Resumed transfers from a server on this machine that answers by a script, mostly badly."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from simclick.download import RefusedError, download, note_of

OLD = bytes(range(256)) * 40
NEW = bytes(reversed(OLD))
HALF = 5000


def answer(status: str, body: bytes = b"", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def whole(content: bytes = OLD, **headers: object) -> bytes:
    return answer("200 OK", content, **{"Content_Length": len(content), **headers})


def rest(start: int = HALF, content: bytes = OLD, **headers: object) -> bytes:
    body = content[start:]
    given = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return answer("206 Partial", body, **{"Content_Length": len(body), "Content_Range": given, **headers})


class Server(socketserver.ThreadingTCPServer):
    """Gives the scripted answers in turn and closes after each; keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[bytes] = []
        self.asked: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/w.pth"


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        lines = iter(lambda: self.rfile.readline().decode().strip(), "")
        headers = dict(line.split(": ", 1) for line in list(lines)[1:])
        server = self.server
        assert isinstance(server, Server)
        server.asked.append({k: v for k, v in headers.items() if k in {"Range", "If-Range"}})
        self.wfile.write(server.script.pop(0))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / ".w.pth.part"


def begun(
    part: Path, server: Server, etag: str = '"v1"', total: int | None = len(OLD), date: str = ""
) -> None:
    part.write_bytes(OLD[:HALF])
    note_of(part).write_text(json.dumps({"url": server.url, "etag": etag, "date": date, "total": total}))


def fetched(
    server: Server, part: Path, *script: bytes, size: int | None = None, proven: bool = False
) -> bytes:
    server.script = list(script)
    download(server.url, part, "w.pth", size, proven)
    assert server.script == []
    assert not note_of(part).exists()
    return part.read_bytes()


def test_a_transfer_goes_on_with_the_version_that_it_began(server: Server, part: Path) -> None:
    begun(part, server)
    assert fetched(server, part, rest(ETag='"v1"')) == OLD
    assert server.asked == [{"Range": f"bytes={HALF}-", "If-Range": '"v1"'}]


def test_what_was_interrupted_says_of_which_version_it_is(server: Server, part: Path) -> None:
    cut = answer("200 OK", OLD[:HALF], Content_Length=len(OLD), ETag='"v1"')
    with pytest.raises(OSError, match=f"broke off after {HALF} of {len(OLD)} bytes"):
        fetched(server, part, cut)
    assert json.loads(note_of(part).read_text())["etag"] == '"v1"'
    assert fetched(server, part, rest(ETag='"v1"')) == OLD


# Whatever the server does instead of continuing, the file that comes out is whole and of one version.
@pytest.mark.parametrize(
    "script",
    [
        pytest.param([whole(NEW, ETag='"v2"')], id="changed: all of the new one"),
        pytest.param([whole(NEW)], id="ignores Range"),
        pytest.param([rest(0, NEW, ETag='"v1"'), whole(NEW)], id="begins elsewhere"),
        pytest.param([rest(HALF + 1, NEW, ETag='"v1"'), whole(NEW)], id="leaves a gap"),
        pytest.param([rest(content=NEW, ETag='"v2"'), whole(NEW)], id="another ETag"),
        pytest.param([rest(content=NEW), whole(NEW)], id="no ETag"),
        pytest.param([rest(content=NEW + b"x", ETag='"v1"'), whole(NEW)], id="another length"),
        pytest.param([rest(content=NEW, ETag='"v1"', Content_Range="chunks 1"), whole(NEW)], id="odd range"),
        pytest.param([answer("416 No", Content_Range="bytes */99"), whole(NEW)], id="shorter by now"),
        pytest.param([answer("416 No"), whole(NEW)], id="refuses ranges"),
    ],
)
def test_versions_are_never_mixed(server: Server, part: Path, script: list[bytes]) -> None:
    begun(part, server)
    assert fetched(server, part, *script) == NEW
    assert server.asked[-1] == {} or len(script) == 1


def test_without_a_note_only_a_known_sha256_makes_it_safe_to_go_on(server: Server, part: Path) -> None:
    part.write_bytes(NEW[:HALF])
    assert fetched(server, part, whole()) == OLD
    assert server.asked == [{}]
    part.write_bytes(OLD[:HALF])
    assert fetched(server, part, rest(), proven=True) == OLD
    assert server.asked[1] == {"Range": f"bytes={HALF}-"}


@pytest.mark.parametrize("how", ["weak", "date", "other address"])
def test_a_weak_etag_is_no_proof_and_a_date_is_one(server: Server, part: Path, how: str) -> None:
    begun(part, server, etag="" if how == "date" else 'W/"v1"', date="Mon" if how == "date" else "")
    if how == "other address":
        note_of(part).write_text(note_of(part).read_text().replace("w.pth", "v.pth"))
    script = [rest()] if how == "date" else [whole(NEW)]
    assert fetched(server, part, *script) == (OLD if how == "date" else NEW)
    assert ("If-Range" in server.asked[0]) == (how == "date")


def test_a_partial_file_that_was_whole_needs_no_server(server: Server, part: Path) -> None:
    begun(part, server)
    part.write_bytes(OLD)
    assert fetched(server, part) == OLD
    begun(part, server, total=None)
    part.write_bytes(OLD)
    assert fetched(server, part, answer("416 No", Content_Range=f"bytes */{len(OLD)}")) == OLD


def test_a_partial_file_that_is_too_long_is_begun_anew(server: Server, part: Path) -> None:
    begun(part, server)
    part.write_bytes(OLD + b"more")
    assert fetched(server, part, whole()) == OLD


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (whole(OLD + b"x"), "a file of 10241 bytes, not of 10240"),
        (answer("200 OK", OLD + b"x"), "more than the 10240 bytes"),
        (whole(b"<html>", Content_Type="text/html; charset=utf-8"), "a web page"),
        (whole(Content_Encoding="gzip"), "encoded as gzip"),
        (answer("404 Not Found", Content_Length=0), "answered 404 Not Found"),
    ],
)
def test_what_will_not_become_the_file_is_refused(
    server: Server, part: Path, sent: bytes, words: str
) -> None:
    with pytest.raises(RefusedError, match=words):
        fetched(server, part, sent, size=len(OLD))
    assert not part.exists() or part.stat().st_size == 0


def test_a_file_of_unknown_length_is_refused(server: Server, part: Path) -> None:
    with pytest.raises(RefusedError, match="does not say how long"):
        fetched(server, part, answer("200 OK", OLD))


def chunks(*sizes_and_data: tuple[str, bytes]) -> bytes:
    body = b"".join(size.encode() + b"\r\n" + data + b"\r\n" for size, data in sizes_and_data)
    return answer("200 OK", body, Transfer_Encoding="chunked", ETag='"v1"')


def test_chunks_end_where_they_say(server: Server, part: Path) -> None:
    assert fetched(server, part, chunks(("4", b"abcd"), ("2", b"ef"), ("0", b""))) == b"abcdef"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (chunks(("4", b"abcd"), ("ff", b"ef")), "IncompleteRead"),
        (chunks(("4", b"abcd")), "IncompleteRead"),
        (chunks(("zz", b"abcd")), "IncompleteRead|broke off"),
        (b"", "without response|RemoteDisconnected|broke off"),
        (b"nonsense\r\n\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\n" + b"a" * 70000, "LineTooLong"),
        (answer("503 Busy", Content_Length=0), "answered 503 Busy"),
        (answer("206 Partial", OLD, Content_Length=len(OLD)), "answered 206, which was not asked for"),
        (answer("302 Elsewhere", Location="http://127.0.0.1:9/x", Content_Length=0), "refused"),
    ],
)
def test_what_breaks_off_is_an_error_that_may_pass(
    server: Server, part: Path, sent: bytes, words: str
) -> None:
    with pytest.raises(OSError, match=words) as caught:
        fetched(server, part, sent)
    assert not isinstance(caught.value, RefusedError)
