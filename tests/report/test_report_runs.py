from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from made_runs import NOC, planned_cases, write_run

from simclick.agent import AgentInfo
from simclick.errors import DataError, StoreError
from simclick.protocol import Protocol
from simclick.report.boards import make_boards
from simclick.report.runs import load_sections, open_run, open_runs

SHORT = Protocol("short-v1", "center-click", budget=3)
CASES = planned_cases(4, 1)


def short(path: Path, agent: AgentInfo | str = "a", **more: object) -> Path:
    return write_run(path, agent, **{"protocol": SHORT, "cases": CASES, **more})  # type: ignore[arg-type]


def test_protocols_digests_and_seeds_stand_apart(tmp_path: Path) -> None:
    changed = dataclasses.replace(SHORT, budget=2)
    paths = [
        short(tmp_path / "1"),
        short(tmp_path / "2", "b"),
        short(tmp_path / "3", seed=5),
        short(tmp_path / "4", protocol=changed),
        write_run(tmp_path / "5", "a", cases=CASES, protocol=NOC),
    ]
    sections = load_sections(open_runs(paths))
    assert [(s.protocol["id"], s.budget, s.seed, sorted(s.entrants)) for s in sections] in (
        [("noc-v1", 20, 0, ["a"]), *order]
        for order in (
            [("short-v1", 3, 0, ["a", "b"]), ("short-v1", 3, 5, ["a"]), ("short-v1", 2, 0, ["a"])],
            [("short-v1", 2, 0, ["a"]), ("short-v1", 3, 0, ["a", "b"]), ("short-v1", 3, 5, ["a"])],
        )
    )
    stems = [s.stem for s in sections]
    assert stems[0] == "noc-v1"
    assert len(set(stems)) == 4
    assert all(s.stem.endswith(f"-seed{s.seed}") for s in sections[1:])


def test_agents_of_one_name_are_told_apart_by_their_digest(tmp_path: Path) -> None:
    first, second = AgentInfo("a", settings={"k": 1}), AgentInfo("a", settings={"k": 2})
    runs = open_runs(
        [short(tmp_path / "1", first), short(tmp_path / "2", second), short(tmp_path / "3", "b")]
    )
    (section,) = load_sections(runs)
    assert set(section.entrants) == {f"a ({first.digest[:6]})", f"a ({second.digest[:6]})", "b"}
    assert set(section.episodes["agent"]) == set(section.entrants)
    assert set(section.steps["agent"]) == set(section.entrants)


def test_the_same_folder_twice_counts_once(tmp_path: Path) -> None:
    path = short(tmp_path / "1")
    assert len(open_runs([path, tmp_path / "." / "1"])) == 1


def test_two_folders_with_the_same_run_are_refused(tmp_path: Path) -> None:
    paths = [short(tmp_path / "1"), short(tmp_path / "2")]
    with pytest.raises(StoreError, match=r"1 and .*2 hold the same agent, .*give one of them"):
        open_runs(paths)


def test_a_case_with_another_content_is_refused(tmp_path: Path) -> None:
    other = (dataclasses.replace(CASES[0], sha256="f" * 64), *CASES[1:])
    paths = [short(tmp_path / "1"), short(tmp_path / "2", "b", cases=other)]
    with pytest.raises(DataError, match=r"case toy/case-00-0 is not the same .*report these runs apart"):
        open_runs(paths)


def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run directory"):
        open_run(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"agent": {}}))
    with pytest.raises(StoreError, match="lacks dataset, protocol") as error:
        open_run(tmp_path)
    assert "\n" not in str(error.value)


def test_a_sealed_run_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = short(tmp_path / "1")
    file = next((path / "steps").iterdir())
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(StoreError, match="changed after the run was sealed"):
        open_runs([path])


def test_only_finished_honest_agents_on_all_cases_are_ranked(tmp_path: Path) -> None:
    paths = [
        short(tmp_path / "1", "whole", skill=0.0),
        short(tmp_path / "2", "better", skill=1.0),
        short(tmp_path / "3", AgentInfo("oracle", uses_truth=True)),
        short(tmp_path / "4", AgentInfo("net", random_weights=True)),
        short(tmp_path / "5", "late", only=2, seal=False),
        short(tmp_path / "6", "unsealed", seal=False),
        short(tmp_path / "7", "fewer", cases=CASES[:3]),
    ]
    (section,) = load_sections(open_runs(paths))
    (board,) = make_boards(section)
    assert [s.label for s in board.ranked] == ["better", "whole"]
    others = {s.label: (s.marks, s.unranked, s.caution) for s in board.standings if not s.ranked}
    assert others == {
        "oracle": (("uses truth",), "uses the truth", "bound"),
        "net": (("random weights",), "random weights", "random"),
        "late": (("incomplete: 2 of 4 cases",), "not all cases", "part"),
        "unsealed": (("incomplete: not sealed",), "not all cases", "part"),
        "fewer": (("3 of 4 cases",), "not all cases", "part"),
    }
    assert {*board.pairs["agent_a"], *board.pairs["agent_b"]} == {
        "whole",
        "better",
        "late",
        "unsealed",
        "fewer",
    }


def test_a_run_without_an_episode_has_no_board(tmp_path: Path) -> None:
    (section,) = load_sections(open_runs([short(tmp_path / "1", only=0, seal=False)]))
    assert list(make_boards(section)) == []


def test_all_data_sets_together_come_last_and_rank_who_did_all(tmp_path: Path) -> None:
    more = planned_cases(6, 1, prefix="more")
    paths = [
        short(tmp_path / "1", "both", dataset="few"),
        short(tmp_path / "2", "both", dataset="more", cases=more),
        short(tmp_path / "3", "one", dataset="more", cases=more),
    ]
    (section,) = load_sections(open_runs(paths))
    boards = list(make_boards(section))
    assert [b.dataset for b in boards] == ["more", "few", ""]  # most groups first
    assert [[s.label for s in b.ranked] for b in boards][1:] == [["both"], ["both"]]
    assert boards[2].size == (10, 10)  # a group of the same name in another data set is another group


def test_every_noise_level_has_its_board(tmp_path: Path) -> None:
    noisy = dataclasses.replace(SHORT, noise="gaussian-click", levels=(0.0, 2.0), repeats=2)
    (section,) = load_sections(open_runs([short(tmp_path / "1", protocol=noisy)]))
    boards = list(make_boards(section))
    assert [(b.level, b.standings[0].n_episodes, b.standings[0].n_cases) for b in boards] == [
        (0.0, 4, 4),
        (2.0, 8, 4),
    ]
    assert "gaussian-click at level 2" in boards[1].title
