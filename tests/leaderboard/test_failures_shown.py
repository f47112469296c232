"""Episodes that ended in an error are told wherever a board shows the method, and nowhere else."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from made_entries import BOX, CLICK_NOISE, CLICKS, EVIL, toy_suite, write_entry

from simclick.leaderboard.boards import Board
from simclick.leaderboard.downloads import Files
from simclick.leaderboard.entries import load_entries
from simclick.leaderboard.episodes import _failure, strips
from simclick.leaderboard.method_tables import subset_grid
from simclick.leaderboard.pages import add_pages
from simclick.leaderboard.standings import Standing, compute_standings
from simclick.leaderboard.summary import share_text
from simclick.leaderboard.tables import board_grid
from simclick.report.latex import escape

_FOLDER = TemporaryDirectory(prefix="simclick-failures-")
ROLES = {"clicks": CLICKS, "box": BOX, "click_noise": CLICK_NOISE}
SAID = "3 of 24 episodes failed (12 %)"


@cache
def standing() -> Standing:
    root = Path(_FOLDER.name)
    write_entry(root, "disc", -1.0, cases=24, roles=ROLES, failed=1)
    write_entry(root, "frail", 1.0, cases=24, roles=ROLES, failed=3)
    write_entry(root, "sound", 0.5, cases=24, roles=ROLES)
    write_entry(root, "peeker", 2.0, cases=24, roles=ROLES, failed=2, oracle=True)
    return compute_standings(load_entries(root), {"toy-v1": toy_suite(cases=24, roles=ROLES)})[0]


@cache
def site() -> dict[str, str]:
    files = Files()
    add_pages(files, [standing()])
    return {name: data.decode() for name, data in files._content.items()}


def board(role: str = "clicks") -> Board:
    return standing().boards[role]


def words(page: str) -> str:
    """Return a page's text as a reader sees it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_a_board_counts_the_episodes_of_all_levels() -> None:
    assert board().failed("frail") == (3, 24)
    assert board().failed("sound") == (0, 24)
    cells = len(CLICK_NOISE.cells())
    assert board("click_noise").failed("frail") == (3 * cells, 24 * cells)
    marks = {row.name: row.marks for row in board_grid(board()).rows}
    assert marks["Frail"] == (SAID,)
    assert marks["Sound"] == ()
    assert marks["Disc"] == ("floor: sees no image", "1 of 24 episodes failed (4.2 %)")


def test_subsets_count_their_own() -> None:
    episodes = board().episodes
    for by in ("target", "modality"):
        grid = subset_grid(board(), board().methods["frail"], by)
        assert grid is not None
        mine = episodes[episodes["agent"] == "frail"]
        for row in grid.rows:
            must = (mine[mine[by] == row.name]["status"] == "failed").mean()
            assert row.values["failed"].value == pytest.approx(must)
        assert "failed" in [column.key for column in grid.columns]
        whole = subset_grid(board(), board().methods["sound"], by)
        assert whole is not None
        assert "failed" not in [column.key for column in whole.columns]
    ct, mr = standing().parts["clicks"]
    assert ct.failed("frail")[0] + mr.failed("frail")[0] == 3
    assert ct.failed("frail")[1] + mr.failed("frail")[1] == 24


def test_it_stands_beside_the_name_on_page_and_in_every_file() -> None:
    for page in ("index.html", "boards/toy-v1-clicks.html"):
        assert f"Frail {SAID}" in words(site()[page]), page
        assert "uses the truth (oracle) 2 of 24 episodes failed (8.3 %)" in words(site()[page]), page
        assert not re.search(r"Sound \d+ of \d+ episodes failed", words(site()[page])), page
    lines = {line["method"]: line for line in csv.DictReader(io.StringIO(site()["data/toy-v1-clicks.csv"]))}
    assert lines["Frail"]["marks"] == SAID
    assert lines["Sound"]["marks"] == ""
    rows = {row["name"]: row for row in json.loads(site()["data/toy-v1-clicks.json"])["rows"]}
    assert rows["Frail"]["marks"] == [SAID]
    assert r"3 of 24 episodes failed (12 \%)" in site()["data/toy-v1-clicks.tex"]


def rows_of(stem: str) -> dict[str, tuple[str, ...]]:
    """Return the marks of a table's rows by name, after all three files agree on them."""
    lines = list(csv.reader(io.StringIO(site()[f"{stem}.csv"])))
    shown = {row["name"]: tuple(row["marks"]) for row in json.loads(site()[f"{stem}.json"])["rows"]}
    assert {line[0]: line[1] for line in lines[1:]} == {k: "; ".join(marks) for k, marks in shown.items()}
    for mark in {mark for marks in shown.values() for mark in marks}:
        assert escape(mark) in site()[f"{stem}.tex"], stem
    return shown


def test_every_table_with_the_method_in_it_says_so() -> None:
    stems = {name.removesuffix(".csv") for name in site() if name.endswith(".csv")}
    found = {stem: rows for stem in stems if "Frail" in (rows := rows_of(stem))}
    for role in ("clicks", "click-noise"):
        ends = ("", "-cost", "-ranks", "-curves")
        assert {f"data/toy-v1-{role}{end}" for end in ends} <= set(found), role
    assert {"data/toy-v1-stability", "data/toy-v1-box-cost", "data/sound-toy-v1-clicks-against"} <= set(found)
    for stem, rows in found.items():
        share = {"ct": "(25 %)", "mr": None}.get(stem.split("-")[-1], "(12 %)")  # its cases are all CT
        assert [mark.split("failed ")[1] for mark in rows["Frail"]] == ([share] if share else []), stem
        assert rows.get("Sound", ()) == (), stem
    cells = len(CLICK_NOISE.cells())
    assert found["data/toy-v1-clicks-cost"]["Frail"] == (SAID,)
    assert found["data/toy-v1-click-noise-ranks"]["Frail"][0].startswith(f"{3 * cells} of {24 * cells} ")
    assert found["data/toy-v1-stability"]["Frail"][0].startswith(f"{3 * (cells + 2)} of {24 * (cells + 2)} ")
    assert found["data/toy-v1-clicks-curves"]["Peeker"][-1] == "2 of 24 episodes failed (8.3 %)"


def test_pairs_name_the_one_of_the_two() -> None:
    rows = rows_of("data/toy-v1-clicks-pairs")
    floor = "Disc: 1 of 24 episodes failed (4.2 %)"
    marks = {frozenset(name.split(" \u2212 ")): set(marks) for name, marks in rows.items()}
    assert marks == {
        frozenset({"Frail", "Sound"}): {f"Frail: {SAID}"},
        frozenset({"Frail", "Disc"}): {f"Frail: {SAID}", floor},
        frozenset({"Sound", "Disc"}): {floor},
    }
    assert f"Frail: {SAID}" in words(site()["boards/toy-v1-clicks.html"])


def test_levels_count_their_own() -> None:
    rows = rows_of("data/frail-toy-v1-click-noise-levels")
    per = {f"{v:g} px": sum(level == v for level, _ in CLICK_NOISE.cells()) for v in CLICK_NOISE.levels}
    assert rows == {name: (f"{3 * n} of {24 * n} episodes failed (12 %)",) for name, n in per.items()}
    assert set(rows_of("data/sound-toy-v1-click-noise-levels").values()) == {()}


def test_the_page_of_the_suite_and_the_key_of_every_chart_say_so() -> None:
    total = 24 * (len(CLICK_NOISE.cells()) + 2)
    page = site()["suites/toy-v1.html"]
    assert f"Frail {total // 8} of {total} episodes failed (12 %)" in words(page)
    assert "counted over all protocols of the suite" in words(page)
    assert not re.search(r"Sound \d+ of \d+ episodes failed", words(page))
    for name in ("suites/toy-v1.html", "boards/toy-v1-clicks.html", "compare.html", "methods/frail.html"):
        keys = re.findall(r'<ul class="key"[^>]*>(.*?)</ul>', site()[name], re.S)
        items = [words(item) for key in keys for item in re.findall(r"<li.*?</li>", key, re.S)]
        frail = [item for item in items if item.startswith("Frail")]
        assert frail, name
        assert all("episodes failed" in item for item in frail), name


def test_a_methods_page_says_it_board_by_board() -> None:
    page = words(site()["methods/frail.html"])
    cells = len(CLICK_NOISE.cells())
    assert SAID in page
    assert f"{3 * cells} of {24 * cells} episodes failed (12 %)" in page
    sound = site()["methods/sound.html"]
    assert not re.search(r"Sound \d+ of \d+ episodes failed", words(sound))
    own = re.search(r'<ul class="standing">(.*?)</ul>', sound, re.S)
    assert own is not None
    assert "failed" not in own[1]


def test_the_page_that_compares_has_a_line_of_them() -> None:
    data = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', site()["compare.html"], re.S
    )
    assert data is not None
    clicks = json.loads(data[1])["suites"][0]["boards"][0]
    assert clicks["columns"][-1]["head"] == "episodes that failed"
    assert clicks["rows"]["frail"][-1] == ["3 of 24", "[12 %]"]
    assert clicks["rows"]["sound"][-1] == ["0 of 24", ""]
    assert all(len(row) == len(clicks["columns"]) for row in clicks["rows"].values())


def test_reasons_are_escaped_if_they_show_at_all() -> None:
    assert not [name for name, text in site().items() if name.endswith(".html") and EVIL in text]


def test_shares_never_round_to_none_or_all() -> None:
    assert [share_text(1, n) for n in (1, 3, 8, 5040)] == ["100 %", "33 %", "12 %", "0.02 %"]
    assert share_text(5039, 5040) == "99.9802 %"


def test_a_worst_episode_that_failed_says_so(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, "frail", 1.0, cases=24, roles=ROLES, failed=3)
    story = folder / "worst" / f"{CLICKS.id}-1.json"
    content = json.loads(story.read_text())

    def headings() -> list[str]:
        entry = compute_standings(load_entries(tmp_path), {"toy-v1": toy_suite(cases=24, roles=ROLES)})[0]
        return [s.heading for s in strips(entry.boards["clicks"].methods["frail"])[CLICKS.id]]

    assert "failed" not in " ".join(headings())
    story.write_text(json.dumps({**content, "status": "failed"}))
    assert headings()[0].endswith(": failed")


def test_a_click_without_an_answer_is_no_dice_of_0_and_the_reason_is_told(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, "frail", 1.0, cases=24, roles=ROLES, failed=3)
    story = folder / "worst" / f"{CLICKS.id}-1.json"
    content = json.loads(story.read_text())
    content["steps"] = [{**content["steps"][0], "step": n, "cost": n, "dice": 0.0} for n in range(1, 11)]
    story.write_text(json.dumps({**content, "status": "failed", "final_dice": 0.0}))
    found = compute_standings(load_entries(tmp_path), {"toy-v1": toy_suite(cases=24, roles=ROLES)})[0]
    strip = strips(found.boards["clicks"].methods["frail"])[CLICKS.id][0]
    assert [row.values["dice"].text for row in strip.grid.rows] == [""] * 9 + ["no answer"]
    assert strip.grid.rows[8].values["dice"].value == 0.0  # an empty mask is an answer
    assert strip.reason == f"predict: {EVIL}"
    files = Files()
    add_pages(files, [found])
    page = files._content["methods/frail.html"].decode()
    assert EVIL not in page
    assert f"failed. The method's reason: predict: {EVIL}" in words(page)
    name = next(name for name in files._content if name.endswith("worst-1.csv"))
    lines = list(csv.DictReader(io.StringIO(files._content[name].decode())))
    assert lines[-1]["dice"] == "no answer"
    assert lines[0]["prompts"] == "positive click at (11, 20), meant (10, 20)"  # no formula, so no guard


def test_a_reason_is_cut() -> None:
    method = standing().boards["clicks"].methods["frail"]
    entry = method.entry
    film = {"protocol": CLICKS.id, "case_id": "case-000", "level": 0.0, "repeat": 0, "status": "failed"}
    frame = entry.episodes(CLICKS.id).assign(error="x" * 5000)
    with mock.patch.object(type(entry), "episodes", return_value=frame):
        steps, reason = _failure(method, film)
    assert steps == {10}
    assert len(reason) == 300
