"""Entries of a suite say the same of its cases: who says otherwise is refused; nothing is divided by 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pytest
from made_entries import CLICKS, toy_suite, write_entry

from simclick.errors import ConfigError
from simclick.leaderboard.entries import Entry, load_entries
from simclick.leaderboard.method_tables import subset_grid
from simclick.leaderboard.site import write_site
from simclick.leaderboard.standings import Standing, compute_standings
from simclick.report.grid import MISSING, value_text

ROLES = {"clicks": CLICKS}
ABOUT = ["group", "modality", "target"]
Change: TypeAlias = Callable[[pd.DataFrame], None]


def altered(entry: Entry, change: Change) -> Entry:
    """Return an entry with other episodes, whatever a reader would say of such a file."""

    class Altered(Entry):
        def episodes(self, protocol: str) -> pd.DataFrame:
            frame = super().episodes(protocol)
            change(frame)
            return frame

        def steps(self, protocol: str) -> pd.DataFrame:
            about = self.episodes(protocol)[["case_id", *ABOUT]].drop_duplicates("case_id")
            return super().steps(protocol).drop(columns=ABOUT).merge(about, on="case_id")

    return Altered(**{field.name: getattr(entry, field.name) for field in fields(Entry)})


def put(column: str, value: object, where: object = slice(None)) -> Change:
    def change(frame: pd.DataFrame) -> None:
        frame.loc[where, column] = value

    return change


def entries(root: Path, **changes: Change) -> list[Entry]:
    for slug, skill in (("disc", -1.0), ("alpha", 1.0), ("beta", 0.5)):
        write_entry(root, slug, skill, cases=9, roles=ROLES, failed=1)
    return [altered(e, changes[e.slug]) if e.slug in changes else e for e in load_entries(root)]


def standing(root: Path, **changes: Change) -> Standing:
    return compute_standings(entries(root, **changes), {"toy-v1": toy_suite(cases=9, roles=ROLES)})[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("modality", "xray", 4), r"the modality of case-004 is 'xray', but 'mr' in"),
        (put("modality", None), "its noc-v1 episodes lack a modality;"),
        (put("target", "liver", 5), r"the target of case-005 is 'liver', but 'vessel <script>.*' in"),
        (put("repeat", 7, 0), "its noc-v1 episodes are not those of"),
        (put("modality", "\x1b[2J\u202e", 0), r"the modality of case-000 is '\ufffd\[2J\ufffd', but 'ct' in"),
        (put("group", "patient-99", 8), r"the group of case-008 is 'patient-99', but 'patient-02' in"),
    ],
)
@pytest.mark.parametrize("slug", ["alpha", "disc"])
def test_who_says_otherwise_is_named_wherever_it_stands(
    tmp_path: Path, slug: str, change: Change, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        standing(tmp_path, **{slug: change})
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'toy-v1' / slug}: ")
    assert "take the folder away" in line
    assert "\n" not in line


def test_of_two_both_are_named(tmp_path: Path) -> None:
    two = [e for e in entries(tmp_path, beta=put("modality", "us")) if e.slug != "disc"]
    suites = {"toy-v1": toy_suite(cases=9, roles=ROLES)}
    with pytest.raises(ConfigError, match=r"beta: in its .* is 'us', but 'ct' in .*alpha;"):
        write_site(two, suites, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_case_that_is_two_things_at_once(tmp_path: Path) -> None:
    def twice(frame: pd.DataFrame) -> None:
        frame.loc[len(frame)] = {**frame.loc[0], "repeat": 1, "modality": "us"}

    with pytest.raises(ConfigError, match="alpha: its noc-v1 episodes say two things of the case case-000"):
        standing(tmp_path, alpha=twice)


def test_a_suite_in_which_no_case_has_a_modality_is_refused_too(tmp_path: Path) -> None:
    whole = {slug: put("modality", None) for slug in ("disc", "alpha", "beta")}
    with pytest.raises(ConfigError, match="its noc-v1 episodes lack a modality; run"):
        standing(tmp_path, **whole)


def test_a_group_in_which_a_method_has_no_case_shows_a_dash(tmp_path: Path) -> None:
    board = standing(tmp_path).boards["clicks"]
    mine = board.episodes["agent"] == "alpha"
    kept = board.episodes[~(mine & (board.episodes["modality"] == "mr"))]
    object.__setattr__(board, "episodes", kept)
    grid = subset_grid(board, board.methods["alpha"], "modality")
    assert grid is not None
    cells = {row.name: value_text(row.values["failed"], "share") for row in grid.rows}
    assert cells["mr"] == MISSING
    assert cells["ct"].endswith(" %")
