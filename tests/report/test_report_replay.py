from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from made_runs import SMALL
from PIL import Image

from simclick.agent import Request
from simclick.errors import ConfigError, DataError
from simclick.harness.reading import read_run
from simclick.harness.run import RunSpec, execute
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.report.films import CaseLoader, load_films
from simclick.report.replay import replay
from simclick.report.sheets import make_sheet, strip_tiles
from support import Painter, make_case


def test_a_film_is_the_episode_that_was_run(toy_run: Path) -> None:
    run = read_run(toy_run)
    film = load_films(run, [("case-001", 0.0, 0)])[0]
    case = CaseLoader().load(run, "case-001")
    steps = run.table("steps")
    steps = steps[steps["case_id"] == "case-001"]
    assert [shot.dice for shot in film.shots] == list(steps["dice"])
    assert len(film.rounds) == len(film.shots)
    assert film.has_masks
    # The agent, asked the same again, gives the masks of the film.
    agent = Painter()
    embedding = agent.encode([case.image])[0]
    for shot in film.shots:
        mask = agent.segment(case.image, Request(embedding, case.size, film.rounds[: shot.step]))
        np.testing.assert_array_equal(shot.mask, mask)
        both = 2 * np.count_nonzero(mask & case.truth) / (mask.sum() + case.truth.sum())
        assert shot.dice == pytest.approx(both)


def test_a_picture_per_step_a_sheet_and_an_animation(toy_run: Path, tmp_path: Path) -> None:
    paths = replay(toy_run, "case-001", tmp_path / "out")
    assert [p.name for p in paths] == [*(f"step-{i:02d}.png" for i in range(7)), "sheet.png", "episode.gif"]
    frames = [np.asarray(Image.open(p).convert("RGB"), dtype=int) for p in paths[:7]]
    assert all(np.abs(a - b).max() > 50 for a, b in itertools.pairwise(frames))
    with Image.open(paths[-1]) as gif:
        assert gif.n_frames == 7
        assert gif.size == (frames[0].shape[1], frames[0].shape[0])


def test_without_masks_prompts_alone_and_a_line_that_says_so(toy: None, tmp_path: Path) -> None:
    run = read_run(_run(tmp_path / "run"))
    film = load_films(run, [("case-000", 0.0, 0)])[0]
    assert not film.has_masks
    assert all(shot.mask is None for shot in film.shots)
    tiles = strip_tiles(film, make_case(0))
    assert len(tiles) == 2
    assert tiles[1].caption.startswith("6 clicks: Dice 0.")
    episodes = run.table("episodes").assign(area=0.5)
    sheet = make_sheet("painter", run, CaseLoader(), episodes)
    assert "save_masks=true" in sheet.note
    assert (tmp_path / "pictures" / "step-06.png") in replay(run.path, "case-000", tmp_path / "pictures")


def _run(out: Path, how: str = "Painter", **more: object) -> Path:
    agent = AgentSpec("custom", {"target": f"support:{how}"})
    execute(RunSpec(agent, DatasetSpec("toy", {"n": 2}), SMALL, out, **more))  # type: ignore[arg-type]
    return out


def test_a_failed_episode_shows_the_round_it_failed_at(toy: None, tmp_path: Path) -> None:
    run = read_run(_run(tmp_path / "run", "Broken", save_masks=True))
    film = load_films(run, [("case-000", 0.0, 0)])[0]
    assert film.error == "predict: RuntimeError: out of ideas"
    assert (len(film.shots), len(film.rounds), film.final_dice) == (1, 2, 0.0)
    paths = replay(run.path, "case-000", tmp_path / "out")
    assert [p.name for p in paths[:3]] == ["step-00.png", "step-01.png", "step-02.png"]
    sheet = make_sheet("broken", run, CaseLoader(), run.table("episodes").assign(area=[0.1, 0.2]))
    assert [s.case_id for s in sheet.strips] == ["case-001", "case-001", "case-000"]
    assert sheet.strips[0].text == "The agent failed: predict: RuntimeError: out of ideas"


def test_best_median_and_worst(toy_run: Path) -> None:
    run = read_run(toy_run)
    episodes = run.table("episodes").assign(area=[0.5, 0.9, 0.9, 0.1, 0.1])
    sheet = make_sheet("painter", run, CaseLoader(), episodes)
    chosen = [(s.rank, s.case_id, s.value) for s in sheet.strips]
    # Ties go to the first case.
    assert chosen == [("best", "case-001", 0.9), ("median", "case-000", 0.5), ("worst", "case-003", 0.1)]
    assert [t.caption.split(":")[0] for t in sheet.strips[0].tiles][1:] == ["1 click", "5 clicks", "6 clicks"]


def test_wrong_names_are_answered_with_near_ones(toy_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'case-01'; did you mean 'case-001'\?.*case-004"):
        replay(toy_run, "case-01", tmp_path)
    with pytest.raises(ConfigError, match=r"'case-001' has no level 2 in .*\(choices: 0\)"):
        replay(toy_run, "case-001", tmp_path, level=2.0)
    with pytest.raises(ConfigError, match=r"'case-001' has no repeat 3 at level 0 in .*\(choices: 0\)"):
        replay(toy_run, "case-001", tmp_path, repeat=3)
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_changed_is_not_shown(
    toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import support

    def other(index: int = 0) -> object:
        return make_case(index, size=(40, 50))

    monkeypatch.setattr(support, "make_case", other)
    with pytest.raises(DataError, match="case toy/case-001: its image or mask changed since the run"):
        replay(toy_run, "case-001", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_case_is_found_when_its_place_moved(toy_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import support

    monkeypatch.setattr(support.ToyDataset, "references", lambda self: [4, 3, 2, 1, 0])
    run = read_run(toy_run)
    loader = CaseLoader()
    assert loader.load(run, "case-001").case_id == "case-001"
    monkeypatch.setattr(support.ToyDataset, "references", lambda self: [4])
    with pytest.raises(DataError, match="no such case any more"):
        CaseLoader().load(run, "case-001")
