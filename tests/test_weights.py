"""Fetching from a server on this machine: whole, resumed, wrong."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from simclick import weights
from simclick.cli import main
from simclick.errors import ConfigError
from simclick.weights import Checkpoint
from simclick.weights_proof import origin, verify

CONTENT = bytes(range(256)) * 4096


class Handler(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str | None]] = []
    resumes = True
    refuses = False
    kind = "application/octet-stream"

    def do_GET(self) -> None:
        start = 0
        asked = self.headers.get("Range")
        Handler.asked.append(asked)
        if asked and Handler.refuses:
            self.send_error(416)
            return
        if asked and Handler.resumes:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", Handler.kind)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path / "cache"))
    Handler.asked, Handler.resumes, Handler.refuses = [], True, False
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
    assert [p.name for p in weights.cache_folder().iterdir() if p.suffix != ".lock"] == []


def test_no_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path))
    register(monkeypatch, "http://127.0.0.1:9/w.pth")
    with pytest.raises(ConfigError, match=r"cannot fetch .*continues where it stopped"):
        weights.fetch("w")


def unknown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setitem(weights.CHECKPOINTS, "w", Checkpoint("w.pth", url, None, None, "ours"))


def test_an_unknown_sha256_is_recorded_at_the_first_fetch(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown(monkeypatch, server)
    path = weights.fetch("w")
    assert path.read_bytes() == CONTENT
    record = weights.read_record(path)
    assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert record["official"] is False
    (verdict,) = verify("w")
    assert verdict.right
    assert "as first fetched" in verdict.words
    assert "by the recorded SHA-256; no official one is known" in verdict.words
    # The file is lost, and the server gives another one: it is refused.
    path.unlink()
    (path.parent / "w.pth.json").write_text(json.dumps({**record, "sha256": "0" * 64}))
    with pytest.raises(ConfigError, match="SHA-256"):
        weights.fetch("w")


def test_a_transfer_of_unknown_size_that_was_whole_goes_on(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown(monkeypatch, server)
    part = weights.cache_folder() / ".w.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    Handler.refuses = True
    assert weights.fetch("w").read_bytes() == CONTENT


def test_a_web_page_is_no_checkpoint(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown(monkeypatch, server)
    monkeypatch.setattr(Handler, "kind", "text/html; charset=utf-8")
    with pytest.raises(ConfigError, match="a web page instead of the file"):
        weights.fetch("w")


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_offline_asks_no_server(server: str, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    register(monkeypatch, server)
    if how == "environment":
        monkeypatch.setenv("SIMCLICK_OFFLINE", "1")
    with pytest.raises(ConfigError, match=r"offline: w\.pth is not in the cache"):
        weights.fetch("w", offline=True if how == "argument" else None)
    assert Handler.asked == []


def test_what_needs_a_browser_says_so() -> None:
    with pytest.raises(ConfigError, match=r"with a browser, then run simclick weights import sam_med2d FILE"):
        weights.fetch("sam_med2d")


def test_every_checkpoint_is_registered_whole() -> None:
    for name, checkpoint in weights.CHECKPOINTS.items():
        assert checkpoint.url.startswith("https://"), name
        assert checkpoint.licence, name
        assert checkpoint.sha256 is None or len(checkpoint.sha256) == 64
        assert checkpoint.size or checkpoint.about, name


def test_commands(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    entry = Checkpoint("w.pth", server, len(CONTENT), digest, "CC BY-NC 4.0", commercial=False)
    monkeypatch.setattr(weights, "CHECKPOINTS", {"w": entry})
    assert main(["weights", "list"]) == 0
    assert "CC BY-NC 4.0 NON-COMMERCIAL USE ONLY" in capsys.readouterr().out
    assert main(["weights", "fetch", "w", "--offline"]) == 2
    assert main(["weights", "verify"]) == 0
    assert "nothing is in the cache" in capsys.readouterr().out
    assert main(["weights", "fetch", "w"]) == 0
    out, err = capsys.readouterr()
    assert out.strip().endswith("w.pth")
    assert "NON-COMMERCIAL USE ONLY" in err
    assert main(["weights", "verify", "w"]) == 0
    assert "the official file" in capsys.readouterr().out
    (weights.cache_folder() / "w.pth").write_bytes(b"x")
    assert main(["weights", "verify"]) == 1
    assert "WRONG" in capsys.readouterr().out
    assert main(["weights", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["commercial"] is False
    assert row["path"]
    assert main(["weights", "fetch", "v"]) == 2
    assert "unknown checkpoint 'v'" in capsys.readouterr().err


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def entry(monkeypatch: pytest.MonkeyPatch, sha256: str | None) -> None:
    monkeypatch.setitem(
        weights.CHECKPOINTS, "w", Checkpoint("w.pth", "https://x/w.pth", None, sha256, "ours")
    )


def kept(cache: Path, file: str, content: bytes, **record: object) -> Path:
    (cache / file).write_bytes(content)
    if record:
        weights.write_record(cache / file, record)
    return cache / file


def test_verify_looks_at_the_fetched_and_the_imported_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry(monkeypatch, digest(b"official"))
    assert verify("w") == []
    kept(cache, "w.pth", b"official", sha256=digest(b"else"))  # the official SHA-256 counts before the record
    kept(cache, "w.safetensors", b"made", sha256=digest(b"made"), source_sha256=digest(b"official"))
    fetched, imported = verify("w")
    assert (fetched.path.name, fetched.right) == ("w.pth", True)
    assert "by the official SHA-256" in fetched.words
    assert (imported.path.name, imported.right) == ("w.safetensors", True)
    assert "by the recorded SHA-256" in imported.words
    kept(cache, "w.pth", b"else", sha256=digest(b"else"))
    wrong, imported = verify("w")
    assert not wrong.right
    assert "(the official SHA-256)" in wrong.words
    assert imported.right
    assert main(["weights", "verify", "w"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in shown] == ["w.pth", "w.safetensors"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"sha256": digest(b"other"), "source_sha256": digest(b"official")}, "CHANGED since"),
        (
            {"sha256": digest(b"made"), "source_sha256": digest(b"other")},
            "WRONG: made of a file with SHA-256",
        ),
        ({}, "WRONG: made of a file with no recorded SHA-256"),
    ],
)
def test_an_imported_file_that_is_not_of_the_official_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch, record: dict[str, str], words: str
) -> None:
    entry(monkeypatch, digest(b"official"))
    kept(cache, "w.safetensors", b"made", **record)
    (verdict,) = verify("w")
    assert not verdict.right
    assert words in verdict.words


@pytest.mark.parametrize("record", [{"sha256": 3}, {"sha256": digest(b"x"), "recorded": None}])
def test_a_damaged_record_is_no_traceback(
    cache: Path, monkeypatch: pytest.MonkeyPatch, record: dict[str, object]
) -> None:
    entry(monkeypatch, None)
    kept(cache, "w.pth", b"y")
    (cache / "w.pth.json").write_text(json.dumps(record))
    assert not verify("w")[0].right


@pytest.mark.parametrize("known", [True, False])
def test_only_official_bytes_are_official(cache: Path, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    entry(monkeypatch, digest(b"official") if known else None)
    mine = cache.parent / "mine.pth"
    mine.write_bytes(b"mine")
    assert not origin("w", mine).official
    copy = cache.parent / "copy.pth"
    copy.write_bytes(b"official")
    assert origin("w", copy).official == known  # nothing was fetched yet: nothing is known
    kept(cache, "w.pth", b"official", sha256=digest(b"official"), official=known)
    assert origin("w", copy).official
    assert not origin("w", mine).official
    made = kept(cache, "w.safetensors", b"made", sha256=digest(b"made"), source_sha256=digest(b"official"))
    assert origin("w", made).official
    weights.write_record(made, {"sha256": digest(b"made"), "source_sha256": digest(b"mine")})
    assert origin("w", made).official == (not known)


def test_one_process_at_a_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry(monkeypatch, None)
    with weights.locked("w"), pytest.raises(ConfigError, match="by another process"):
        weights.fetch("w")


def test_a_server_without_the_file_says_the_other_way(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.send_error(404))
    register(monkeypatch, server)
    assert main(["weights", "fetch", "w"]) == 2
    shown = capsys.readouterr().err
    assert "answered 404" in shown
    assert "run simclick weights import w FILE" in shown
