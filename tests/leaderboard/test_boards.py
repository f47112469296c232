from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_entries import CLICK_NOISE, CLICKS, toy_entries, toy_standings, toy_suite, toy_suites, write_entry

from simclick.errors import ConfigError
from simclick.leaderboard.boards import Board
from simclick.leaderboard.charts import front
from simclick.leaderboard.downloads import Files
from simclick.leaderboard.entries import load_entries
from simclick.leaderboard.pages import add_pages
from simclick.leaderboard.standings import compute_standings
from simclick.leaderboard.tables import apart_grid, board_grid, pairs_grid
from simclick.statistics.comparison import holm


def board(role: str = "clicks") -> Board:
    return next(s for s in toy_standings() if s.suite.name == "toy-v1").boards[role]


def rows(slug: str, table: str = "steps", protocol: str = "noc-v1") -> pd.DataFrame:
    entry = next(e for e in toy_entries() if e.suite == "toy-v1" and e.slug == slug)
    return entry.steps(protocol) if table == "steps" else entry.episodes(protocol)


def test_the_outcome_is_the_mean_dice_over_all_clicks_and_cases() -> None:
    for slug in ("alpha", "disc"):
        assert board().outcome(slug).value == pytest.approx(rows(slug)["dice"].mean(), abs=1e-8)
    assert board().statistic == "area"


def test_a_board_of_boxes_is_ordered_by_the_dice_after_the_box() -> None:
    boxes = board("box")
    assert boxes.statistic == "final_dice"
    assert boxes.outcome("alpha").value == pytest.approx(
        rows("alpha", protocol="cosmos-s5-v1")["dice"].mean(), abs=1e-8
    )


def test_under_noise_the_outcome_is_the_mean_over_levels_above_zero() -> None:
    steps = rows("alpha", protocol="click-noise-short-v1")
    noisy = steps[steps["level"] > 0]
    assert board("click_noise").outcome("alpha").value == pytest.approx(noisy["dice"].mean(), abs=1e-8)


def test_places_follow_from_the_tests_alone() -> None:
    found = {place.name: place for place in board().places}
    assert [found[s].text for s in ("alpha", "disc")] == ["1", "4"]
    near = [s for s in found if s not in ("alpha", "disc")]  # two of nearly the same skill
    assert [found[s].text for s in near] == ["2–3", "2–3"]  # noqa: RUF001
    assert found[near[0]].letters == found[near[1]].letters
    tests = board().pairs[board().pairs["statistic"] == "area"]
    assert len(tests) == 6  # all pairs of four ranked methods, one family
    np.testing.assert_allclose(tests["p_holm"], holm(tests["p"].to_numpy()), atol=1e-7)


def test_a_method_that_uses_the_truth_is_apart_and_in_no_test() -> None:
    table = board_grid(board())
    assert "Peeker" not in [row.name for row in table.rows]
    apart = apart_grid(board())
    assert apart is not None
    assert [(row.name, row.marks) for row in apart.rows] == [("Peeker", ("uses the truth (oracle)",))]
    assert "peeker" not in {*board().pairs["agent_a"], *board().pairs["agent_b"]}
    pairs = pairs_grid(board())
    assert pairs is not None
    assert not any("Peeker" in row.name for row in pairs.rows)


def test_the_floor_is_ranked_and_marked() -> None:
    row = next(row for row in board_grid(board()).rows if row.name == "Disc")
    assert row.marks == ("floor: sees no image",)
    assert row.values["rank"].text == "4"


def test_the_oracle_gap_is_of_methods_with_several_masks_only() -> None:
    steps = rows("alpha")
    gap = (steps["oracle_dice"] - steps["dice"]).mean()
    assert board().oracle_gap["alpha"].value == pytest.approx(gap, abs=1e-8)
    assert set(board().oracle_gap) == {"alpha"}


def test_declared_columns_are_marked() -> None:
    columns = {c.key: c.over for c in board_grid(board()).columns}
    assert {columns[key] for key in ("seconds", "parameters", "overlap")} == {"declared"}
    assert columns["outcome"] != "declared"


def test_boards_of_one_modality_rest_on_its_cases() -> None:
    standing = next(s for s in toy_standings() if s.suite.name == "toy-v1")
    ct, mr = standing.parts["clicks"]
    assert (ct.modality, mr.modality) == ("ct", "mr")
    assert ct.size[0] + mr.size[0] == board().size[0]
    steps = rows("alpha")
    assert ct.outcome("alpha").value == pytest.approx(
        steps[steps["modality"] == "ct"]["dice"].mean(), abs=1e-8
    )
    tiny = next(s for s in toy_standings() if s.suite.name == "tiny-v1")
    assert all(not parts for parts in tiny.parts.values()) == (
        len(tiny.boards["clicks"].subsets("modality")) == 1
    )


def test_an_entry_without_all_episodes_is_refused(tmp_path: Path) -> None:
    roles = {"clicks": CLICKS}
    write_entry(tmp_path, "whole", 0.0, cases=9, roles=roles)
    write_entry(tmp_path, "short", 0.0, cases=6, roles=roles)
    with pytest.raises(ConfigError, match=r"short.*noc-v1 episodes are not those of|whole.*are not those of"):
        compute_standings(load_entries(tmp_path), {"toy-v1": toy_suite(cases=9, roles=roles)})


def test_an_unknown_or_another_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="suite 'tiny-v1' is not known here"):
        compute_standings(toy_entries(), {"toy-v1": toy_suite()})
    suites = toy_suites()
    suites["toy-v1"] = replace(suites["toy-v1"], digest="cd" * 32)
    with pytest.raises(ConfigError, match="made for another toy-v1"):
        compute_standings(toy_entries(), suites)


def test_two_methods_of_one_name_are_told_apart(tmp_path: Path) -> None:
    roles = {"clicks": CLICKS}
    for slug, version in (("one", "1"), ("two", "2"), ("three", "2")):
        write_entry(tmp_path, slug, 0.0, cases=9, roles=roles, name="Net", version=version)
    standing = compute_standings(load_entries(tmp_path), {"toy-v1": toy_suite(cases=9, roles=roles)})[0]
    assert {m.slug: m.label for m in standing.methods} == {
        "one": "Net 1",
        "two": "Net 2 (two)",
        "three": "Net 2 (three)",
    }


def test_the_front_holds_what_nobody_beats() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (2.0, 0.7), (3.0, 0.7), (0.5, float("nan")), (1.0, 0.5)]
    assert front(points) == [0, 5, 2]  # equal points stay both; dearer at the same quality does not
    assert front([]) == []


def test_a_method_of_clicks_alone_stands_on_the_boards_of_clicks_alone(tmp_path: Path) -> None:
    clicks = {"clicks": CLICKS, "click_noise": CLICK_NOISE}
    write_entry(tmp_path, "both", 0.5, cases=12)
    write_entry(tmp_path, "another", 0.3, cases=12)
    write_entry(tmp_path, "only-clicks", 0.1, cases=12, roles=clicks, worst=False)
    entries, suites = load_entries(tmp_path), {"toy-v1": toy_suite(cases=12)}
    (standing,) = compute_standings(entries, suites)
    assert set(standing.boards["clicks"].methods) == {"both", "another", "only-clicks"}
    assert set(standing.boards["box"].methods) == {"both", "another"}
    assert "only-clicks" not in standing.robust["box_noise"]
    # Rank changes are told only of methods that stand under every protocol.
    assert standing.stability is not None
    assert set(standing.stability.ranks["agent"]) == {"both", "another"}
    files = Files()
    add_pages(files, [standing])
    page = files._content["methods/only-clicks.html"].decode()
    assert 'href="../boards/toy-v1-clicks.html"' in page
    assert 'href="../boards/toy-v1-box.html"' not in page
