"""No character that steers a terminal or turns the writing direction leaves the writers of the site."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from made_entries import CLICKS, toy_suite, write_entry

from simclick.leaderboard.downloads import Files, json_text, plainly
from simclick.leaderboard.entries import Entry, load_entries
from simclick.leaderboard.pages import add_pages
from simclick.leaderboard.standings import compute_standings
from simclick.report.grid import Column, Grid, Row, Value

_FOLDER = TemporaryDirectory(prefix="simclick-plain-")
STEERING = "a\x1b[2J\x9b\u202eb\u2066\ud800\x00c"
SHOWN = "a\ufffd[2J\ufffd\ufffdb\ufffd\ufffd\ufffdc"
ROLES = {"clicks": CLICKS}


def steering(entry: Entry) -> Entry:
    """Return an entry whose card holds what a reader would have refused."""
    card = replace(
        entry.card, name=STEERING, description=STEERING, hardware=STEERING, authors=(STEERING,),
        licence=STEERING, paper=f"https://example.org/{STEERING}", training_data=STEERING, version=STEERING,
    )  # fmt: skip
    checks = [{"name": STEERING, "verdict": "pass", "detail": STEERING}]
    return replace(entry, card=card, verdict={**entry.verdict, "checks": checks})


@cache
def site() -> dict[str, bytes]:
    root = Path(_FOLDER.name)
    for slug, skill in (("disc", -1.0), ("alpha", 1.0)):
        write_entry(root, slug, skill, cases=9, roles=ROLES)
    entries = [steering(e) if e.slug == "alpha" else e for e in load_entries(root)]
    files = Files()
    add_pages(files, compute_standings(entries, {"toy-v1": toy_suite(cases=9, roles=ROLES)}))
    return files._content


def stray(text: str) -> set[str]:
    return {c for c in text if not c.isprintable() and c not in "\n\t"}


def texts(content: object) -> list[str]:
    """Return all texts of parsed JSON, keys too."""
    if isinstance(content, dict):
        return [text for pair in content.items() for part in pair for text in texts(part)]
    if isinstance(content, list):
        return [text for item in content for text in texts(item)]
    return [content] if isinstance(content, str) else []


def test_no_file_holds_one() -> None:
    assert {name: stray(data.decode()) for name, data in site().items() if stray(data.decode())} == {}
    for name in ("methods/alpha.html", "index.html", "compare.html", "data/toy-v1-clicks.csv"):
        assert SHOWN.encode() in site()[name] or rb"\ufffd[2J" in site()[name], name
    assert SHOWN in json.loads(site()["data/alpha-toy-v1-checks.json"])["rows"][0]["name"]


def test_nor_does_what_scripts_and_readers_of_json_make_of_it() -> None:
    page = site()["compare.html"].decode()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert data is not None
    read = [json.loads(data[1]), *(json.loads(d) for n, d in site().items() if n.endswith(".json"))]
    assert not [text for content in read for text in texts(content) if not text.isprintable()]
    assert json.loads(data[1])["suites"][0]["cards"]["alpha"]["name"] == SHOWN


def test_a_table_is_made_plain_uncut_and_else_stays_as_it_is() -> None:
    long = "word " * 400 + "end"
    cells = {"a": Value(0.5, 0.25, 0.75, strong=True), "b": Value(text="two\nlines\x1b")}
    columns = (Column("a", "A"), Column("b", "B", "text"))
    grid = Grid("n", "t", "s", columns, (Row(f"={STEERING}", cells, (STEERING,)),), (long,), {"k": 1})
    found = plainly(grid)
    assert found == replace(
        grid, rows=(Row(f"={SHOWN}", {**cells, "b": Value(text="two lines\ufffd")}, (SHOWN,)),)
    )
    assert json.loads(json_text(found))["notes"] == [long]
    files = Files()
    files.table(grid)
    line = list(csv.reader(io.StringIO(files._content["data/n.csv"].decode())))[1]
    assert line == [f"'={SHOWN}", SHOWN, "0.5", "0.25", "0.75", "two lines\ufffd", "1"]
