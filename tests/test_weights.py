"""Fetching from a server on this machine: whole, resumed, wrong."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from simclick import weights
from simclick.errors import ConfigError
from simclick.weights import Checkpoint

CONTENT = bytes(range(256)) * 4096


class Handler(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str | None]] = []
    resumes = True

    def do_GET(self) -> None:
        start = 0
        asked = self.headers.get("Range")
        Handler.asked.append(asked)
        if asked and Handler.resumes:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path / "cache"))
    Handler.asked, Handler.resumes = [], True
    httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/w.pth"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def register(monkeypatch: pytest.MonkeyPatch, url: str, content: bytes = CONTENT) -> None:
    entry = Checkpoint("w.pth", url, len(CONTENT), hashlib.sha256(content).hexdigest(), "ours")
    monkeypatch.setitem(weights.CHECKPOINTS, "w", entry)


def test_fetch_verifies_and_is_done_once(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, server)
    path = weights.fetch("w")
    assert path.read_bytes() == CONTENT
    assert weights.find("w") == weights.fetch("w") == path
    assert Handler.asked == [None]


@pytest.mark.parametrize("resumes", [True, False])
def test_an_interrupted_transfer_goes_on(server: str, monkeypatch: pytest.MonkeyPatch, resumes: bool) -> None:
    register(monkeypatch, server)
    Handler.resumes = resumes
    part = weights.cache_folder() / ".w.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    assert weights.fetch("w").read_bytes() == CONTENT
    assert Handler.asked == ["bytes=1000-"]


def test_a_wrong_file_never_gets_its_name(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, server, b"other")
    with pytest.raises(ConfigError, match="SHA-256"):
        weights.fetch("w")
    assert list(weights.cache_folder().iterdir()) == []


def test_no_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path))
    register(monkeypatch, "http://127.0.0.1:9/w.pth")
    with pytest.raises(ConfigError, match=r"cannot fetch .*continues where it stopped"):
        weights.fetch("w")
