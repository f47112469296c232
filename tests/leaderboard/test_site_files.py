from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
from made_entries import (
    CLICKS,
    EVIL,
    toy_entries,
    toy_site,
    toy_standings,
    toy_suite,
    toy_suites,
    write_entry,
)

from simclick.cli import main
from simclick.errors import ConfigError
from simclick.leaderboard.downloads import MARKER, Files, json_text
from simclick.leaderboard.entries import load_entries
from simclick.leaderboard.pages import add_pages
from simclick.leaderboard.serving import make_server
from simclick.leaderboard.site import write_site
from simclick.leaderboard.standings import compute_standings
from simclick.leaderboard.tables import board_grid
from simclick.report.grid import Column, Grid, Row, Value


class Page(HTMLParser):
    """Links, ids, scripts and the policy of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.inline: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.policy = ""
        self._script = False
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.attributes += list(values.items())
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if tag == "a" else []
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
        self._script = tag == "script" and "type" not in values
        assert tag not in ("iframe", "object", "embed", "base")
        assert not (
            tag in ("script", "img", "link") and urlsplit(values.get("src", "")).scheme not in ("", "data")
        )

    def handle_data(self, data: str) -> None:
        if self._script:
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._script = False


def pages() -> list[Path]:
    return sorted(toy_site().rglob("*.html"))


def test_there_is_a_page_for_each_thing() -> None:
    names = {str(path.relative_to(toy_site())) for path in pages()}
    methods = {"alpha", "beta", "disc", "gamma-with-a-rather-long-name-that-wraps", "peeker"}
    assert {f"methods/{slug}.html" for slug in methods} <= names
    boards = {"toy-v1-clicks", "toy-v1-box", "toy-v1-click-noise", "toy-v1-box-noise", "tiny-v1-clicks"}
    assert {f"boards/{key}.html" for key in boards} <= names
    assert {"index.html", "compare.html", "suites/toy-v1.html", "suites/tiny-v1.html"} <= names


def test_every_link_leads_somewhere_and_every_id_is_one() -> None:
    known = {path: Page(path) for path in pages()}
    for path, page in known.items():
        assert [name for name, n in Counter(page.ids).items() if n > 1] == [], path.name
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme in ("http", "https")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {link}"
            if parts.fragment and "=" not in parts.fragment and target in known:
                assert unquote(parts.fragment) in known[target].ids, f"{path.name}: {link}"


def test_every_page_forbids_requests_and_all_scripts_but_its_own() -> None:
    for path in pages():
        page = Page(path)
        assert page.policy.startswith("default-src 'none'; img-src data:;"), path.name
        assert "script-src 'sha256-" in page.policy
        assert "http" not in page.policy
        assert "'self'" not in page.policy
        assert len(page.inline) == 1, path.name  # the site's own; EVIL is text
        assert not [key for key, _ in page.attributes if key.startswith("on")], path.name
        assert not [v for key, v in page.attributes if key == "href" and v.lower().startswith("javascript")]


def test_texts_of_submissions_are_escaped_wherever_they_stand() -> None:
    shown = [path.read_text() for path in pages()]
    assert not [text for text in shown if EVIL in text]
    assert sum("&lt;script&gt;pwned = 1&lt;/script&gt;" in text for text in shown) >= 5
    compare = (toy_site() / "compare.html").read_text()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', compare, re.S)
    assert data is not None
    assert EVIL in json.loads(data[1])["suites"][1]["cards"]["beta"]["name"]


def test_the_same_entries_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    entries = [entry for entry in toy_entries() if entry.suite == "tiny-v1"]
    names = write_site(entries, toy_suites(), tmp_path / "one").files
    # Another process, in which sets and dicts of texts hash otherwise.
    code = (
        "import sys; from pathlib import Path; from made_entries import toy_suites; "
        "from simclick.leaderboard.entries import load_entry; "
        "from simclick.leaderboard.site import write_site; "
        "entries = [load_entry(Path(p)) for p in sys.argv[2:]]; "
        "write_site(entries, toy_suites(), Path(sys.argv[1]))"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "two"), *(str(e.folder) for e in entries)]
    subprocess.run(words, check=True, cwd=Path(__file__).parent, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert {str(p.relative_to(tmp_path / "two")) for p in (tmp_path / "two").rglob("*.*")} == set(names)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


@pytest.mark.slow
def test_a_whole_site_is_the_same_when_built_again(tmp_path: Path) -> None:
    for name in write_site(toy_entries(), toy_suites(), tmp_path / "again").files:
        assert (tmp_path / "again" / name).read_bytes() == (toy_site() / name).read_bytes(), name


def test_the_site_lists_its_files_with_their_hashes() -> None:
    listed = json.loads((toy_site() / MARKER).read_text())["files"]
    found = {str(p.relative_to(toy_site())) for p in toy_site().rglob("*") if p.is_file()}
    assert set(listed) == found - {MARKER}
    for name, digest in listed.items():
        assert hashlib.sha256((toy_site() / name).read_bytes()).hexdigest() == digest


def test_every_table_is_there_as_csv_latex_and_json_with_the_same_numbers() -> None:
    stems = {path.with_suffix("") for path in (toy_site() / "data").iterdir()}
    for path in stems:
        assert all(path.with_name(path.name + end).is_file() for end in (".csv", ".tex", ".json")), path
    board = next(s for s in toy_standings() if s.suite.name == "toy-v1").boards["clicks"]
    with (toy_site() / "data/toy-v1-clicks.csv").open() as file:
        lines = {line["method"]: line for line in csv.DictReader(file)}
    content = json.loads((toy_site() / "data/toy-v1-clicks.json").read_text())
    by_name = {row["name"]: row["values"] for row in content["rows"]}
    for row in board_grid(board).rows:
        cell = row.values["outcome"]
        assert float(lines[row.name]["outcome"]) == cell.value
        assert float(lines[row.name]["outcome_low"]) == cell.low
        assert by_name[row.name]["outcome"] == {"value": cell.value, "low": cell.low, "high": cell.high}
    assert r"\begin{tabular}" in (toy_site() / "data/toy-v1-clicks.tex").read_text()
    for page in pages():  # beside every table of a page
        text = page.read_text()
        tables = text.count("<table") - text.count("<caption>Numbers</caption>")
        assert text.count(">LaTeX</a>") >= tables, page.name


def test_numbers_that_json_has_no_word_for() -> None:
    cells = {"a": Value(float("inf")), "b": Value(), "c": Value(text="x")}
    grid = Grid("n", "t", "s", tuple(Column(key, key) for key in cells), (Row("r", cells),))
    assert json.loads(json_text(grid))["rows"][0]["values"] == {
        "a": {"value": "inf"},
        "b": None,
        "c": {"text": "x"},
    }


def test_what_others_put_into_the_folder_stays(tmp_path: Path) -> None:
    first, second = Files(), Files()
    first.add("index.html", "one")
    first.add("old/page.html", "gone soon")
    second.add("index.html", "two")
    first.write(tmp_path / "site")
    (tmp_path / "site/CNAME").write_text("example.org")
    (tmp_path / "outside").write_text("kept")
    marker = tmp_path / "site" / MARKER
    content = json.loads(marker.read_text())
    content["files"]["../outside"] = ""
    marker.write_text(json.dumps(content))
    second.write(tmp_path / "site")
    assert (tmp_path / "site/index.html").read_text() == "two"
    assert not (tmp_path / "site/old").exists()
    assert (tmp_path / "site/CNAME").read_text() == "example.org"
    assert (tmp_path / "outside").read_text() == "kept"


def test_a_site_is_not_written_into_a_run(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"plan_digest": "ab"}')
    with pytest.raises(ConfigError, match="a run directory: choose another folder"):
        Files().write(tmp_path / "steps" / "site")
    assert not (tmp_path / "steps").exists()


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds no site"):
        Files().write(tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        Files().write(tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_worst_episode_that_is_none_is_one_line(tmp_path: Path) -> None:
    roles = {"clicks": CLICKS}
    folder = write_entry(tmp_path, "one", 0.0, cases=3, roles=roles)
    suites = {"toy-v1": replace(toy_suites()["toy-v1"], roles=roles)}
    story = folder / "worst/noc-v1-1.json"
    whole = json.loads(story.read_text())
    (folder / "worst/junk.png").write_bytes(b"junk")
    for change, said in (
        ({"steps": [{"step": 1}]}, "worst/noc-v1-1.json: steps: 'cost' is missing"),
        ({"picture": "../verdict.json"}, "picture must be the name of a PNG"),
        ({"picture": "gone.png"}, "is missing"),
        ({"picture": "junk.png"}, "not a PNG"),
    ):
        story.write_text(json.dumps({**whole, **change}))
        with pytest.raises(ConfigError, match=re.escape(said)):
            write_site(load_entries(tmp_path), suites, tmp_path / "site")
        assert not (tmp_path / "site").exists()


def test_two_files_of_one_name_are_refused() -> None:
    files = Files()
    files.add("a", "x")
    files.add("a", "x")
    with pytest.raises(ConfigError, match="rename one"):
        files.add("a", "y")


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["leaderboard", "build", "--submissions", str(tmp_path / "none"), "--out", str(tmp_path / "s")])
        == 2
    )
    assert "no such folder of submissions" in capsys.readouterr().err
    write_entry(tmp_path / "subs", "alpha", 0.0, suite="odd-v1", cases=3, roles={"clicks": CLICKS})
    assert (
        main(["leaderboard", "build", "--submissions", str(tmp_path / "subs"), "--out", str(tmp_path / "s")])
        == 2
    )
    assert "odd-v1" in capsys.readouterr().err
    assert main(["leaderboard", "serve", "--out", str(tmp_path)]) == 2
    assert "holds no site" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_an_empty_folder_gives_a_site_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "subs").mkdir()
    assert (
        main(["leaderboard", "build", "--submissions", str(tmp_path / "subs"), "--out", str(tmp_path / "s")])
        == 0
    )
    assert "No submission was accepted yet" in Path(capsys.readouterr().out.strip()).read_text()


def test_serve_answers_on_this_machine_only_and_from_the_folder_only() -> None:
    with make_server(toy_site(), 0) as server:
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        Thread(target=server.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/boards/toy-v1-clicks.html") as answer:
            assert answer.read() == (toy_site() / "boards/toy-v1-clicks.html").read_bytes()
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/../submissions/toy-v1/alpha/verdict.json")
        with pytest.raises(ConfigError, match="choose another --port"):
            make_server(toy_site(), port)
        server.shutdown()


def test_a_long_table_of_pairs_is_folded(tmp_path: Path) -> None:
    few = {"clicks": CLICKS}
    for number in range(7):
        write_entry(tmp_path, f"m{number}", 0.1 * number, suite="tiny-v1", cases=9, roles=few, worst=False)
    standings = compute_standings(load_entries(tmp_path), {"tiny-v1": toy_suite("tiny-v1", 9, few)})
    files = Files()
    add_pages(files, standings)
    files.write(tmp_path / "site")
    page = (tmp_path / "site" / "boards" / "tiny-v1-clicks.html").read_text(encoding="utf-8")
    assert "<summary>All 21 pairs</summary>" in page
    small = (toy_site() / "boards" / "tiny-v1-clicks.html").read_text(encoding="utf-8")
    assert "Pair by pair" in small
    assert "pairs</summary>" not in small
