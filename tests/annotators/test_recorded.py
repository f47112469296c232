"""Replays: of runs, which must give the same prompts and scores again, and of people's scribbles."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from simclick import registry, testing_annotator
from simclick.annotators.base import Annotator
from simclick.annotators.recorded import Recorded, scribbles_of
from simclick.annotators.tracing import joined
from simclick.case import Case
from simclick.errors import ConfigError, DataError
from simclick.harness.engine import Engine
from simclick.harness.reading import read_run
from simclick.harness.records import SCHEMAS, Rows
from simclick.harness.run import RunSpec, execute
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.prompts import Prompt, Round, box, click, scribble, text
from simclick.protocol import Protocol
from simclick.seeding import Draws
from simclick.testing_annotator import check_annotator

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"

Episodes = dict[tuple[str, str, float, int], list[Round]]


def write_log(path: Path, episodes: Episodes, failed: tuple[Any, ...] = ()) -> Path:
    """A run directory as far as a replay reads it."""
    rows = Rows()
    for (dataset, case_id, level, repeat), rounds in episodes.items():
        key = ("agent", "p", dataset, case_id, "none", level, repeat)
        status = "failed" if (case_id, repeat) in failed else "ok"
        end = (status, None, len(rounds), 1.0, 0.0, "", "")
        rows.add("episodes", *key, "g", "none", "t", *end)
        for step, round_ in enumerate(rounds, start=1):
            for index, p in enumerate(round_.prompts):
                what = (p.kind, p.positive, p.meant_positive, p.landed, p.meant, p.label, 1)
                rows.add("prompts", *key, step, index, *what)
    for name in ("episodes", "prompts"):
        (path / name).mkdir(parents=True)
        assert rows.table(name).schema.equals(SCHEMAS[name])
        pq.write_table(rows.table(name), path / name / "part-00000.parquet")
    (path / "run.json").write_text("{}")
    return path


def case_of(truth: np.ndarray, case_id: str = "c", dataset: str = "d") -> Case:
    return Case(case_id, dataset, np.zeros((*truth.shape, 3), np.uint8), truth, "g", "none", "shape")


def rectangle(shape: tuple[int, int], y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


TRUTH = rectangle((20, 30), 5, 15, 5, 25)


def replay(annotator: Any, case: Case, repeat: int = 0, rounds: int = 9) -> list[Round]:
    """All rounds that it gives against an agent that never answers."""
    history: list[Round] = []
    for step in range(1, rounds + 1):
        draws = Draws(0, case.dataset, case.case_id, repeat, step)
        [round_] = annotator.propose(case, np.zeros((1, *case.size), bool), [history], [draws])
        if round_ is None:
            break
        history.append(round_)
    return history


class TestHandMadeLog:
    rounds = (
        Round((click(6, 6), click(0, 0, False).moved((1, 2), True))),
        Round((scribble([(5, 5), (9, 9), (9, 12)], False), box(5, 5, 24, 14), text("liver"))),
    )

    def test_rounds_come_back_as_they_were(self, tmp_path: Path) -> None:
        log = write_log(tmp_path / "run", {("d", "c", 0.0, 0): [*self.rounds]})
        annotator = Recorded(path=str(log))
        assert replay(annotator, case_of(TRUTH)) == [*self.rounds]
        assert annotator.kinds == {"click", "scribble", "box", "text"}
        assert not annotator.draws_chance

    def test_a_right_mask_ends_it(self, tmp_path: Path) -> None:
        annotator = Recorded(path=str(write_log(tmp_path / "run", {("d", "c", 0.0, 0): [*self.rounds]})))
        draws = [Draws(0, "d", "c", 0, 1)]
        assert annotator.propose(case_of(TRUTH), TRUTH[None], [()], draws) == [None]

    def test_repeats_levels_and_episodes_without_prompts(self, tmp_path: Path) -> None:
        first, second = self.rounds
        log = {("d", "c", 0.0, 0): [first], ("d", "c", 0.0, 1): [second], ("d", "c", 5.0, 0): [first, second],
               ("d", "empty", 0.0, 0): []}  # fmt: skip
        path = str(write_log(tmp_path / "run", log))
        case = case_of(TRUTH)
        own = Recorded(path=path)
        assert own.draws_chance
        assert [replay(own, case, repeat) for repeat in (0, 1)] == [[first], [second]]
        assert replay(Recorded(path=path, repeat=1), case, 0) == [second]
        assert not Recorded(path=path, repeat=1).draws_chance
        assert replay(Recorded(path=path, level=5.0), case) == [first, second]
        assert replay(own, case_of(TRUTH, "empty")) == []

    def test_what_is_not_in_the_log_is_an_error(self, tmp_path: Path) -> None:
        log = {("d", "c", 0.0, 0): [*self.rounds], ("d", "bad", 0.0, 0): [self.rounds[0]]}
        annotator = Recorded(path=str(write_log(tmp_path / "run", log, failed=(("bad", 0),))))
        for case, repeat in (
            (case_of(TRUTH, "other"), 0),
            (case_of(TRUTH, dataset="other"), 0),
            (case_of(TRUTH), 1),
            (case_of(TRUTH, "bad"), 0),
        ):
            with pytest.raises(DataError, match="no finished episode"):
                replay(annotator, case, repeat)
        with pytest.raises(DataError, match="outside its image"):
            replay(annotator, case_of(TRUTH[:10, :10]))

    def test_a_log_with_a_hole_is_refused(self, tmp_path: Path) -> None:
        log = write_log(tmp_path / "run", {("d", "c", 0.0, 0): [*self.rounds]})
        file = log / "prompts" / "part-00000.parquet"
        table = pq.read_table(file, partitioning=None)
        pq.write_table(table.filter(np.array(table["step"]) == 2), file)
        with pytest.raises(DataError, match="lacks a round"):
            Recorded(path=str(log))
        file.write_bytes(b"no parquet")
        with pytest.raises(DataError, match="cannot be read"):
            Recorded(path=str(log), repeat=0)

    def test_fingerprint_is_of_what_is_replayed(self, tmp_path: Path) -> None:
        first, second = self.rounds
        a = write_log(tmp_path / "a", {("d", "c", 0.0, 0): [first], ("d", "c", 1.0, 0): [second]})
        b = write_log(tmp_path / "b", {("d", "c", 1.0, 0): [first], ("d", "c", 0.0, 0): [first]})
        c = write_log(tmp_path / "c", {("d", "c", 0.0, 0): [second]})
        d = write_log(tmp_path / "d", {("d", "other", 0.0, 0): [first]})
        prints = [Recorded(path=str(path)).fingerprint for path in (a, b, c, d)]
        assert prints[0] == prints[1], "another path, and another level that is not replayed"
        assert len(set(prints)) == 3
        assert len(prints[0]) == 64

    def test_conformance(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        episodes: Episodes = {}
        for case, _ in testing_annotator._cases():
            height, width = case.size
            for repeat in (0, 1):
                spots = rng.integers((width, height), size=(3, 2)).tolist()
                spots = [(int(x), int(y)) for x, y in spots]
                prompts: list[Prompt] = [click(*spots[0], bool(repeat)), scribble(spots, True)]
                key = (case.dataset, case.case_id, 0.0, repeat)
                episodes[key] = [Round(tuple(prompts)), Round((click(*spots[1]),))]
        path = str(write_log(tmp_path / "run", episodes))
        annotator = Recorded(path=path)
        assert isinstance(annotator, Annotator)
        assert registry.annotators.load("recorded") is Recorded
        check_annotator(annotator, rounds=3)
        check_annotator(Recorded(path=path, repeat=0), rounds=1)


@pytest.mark.parametrize("noise", ["none", "gaussian-click"])
def test_a_replayed_run_gives_the_same_prompts_and_scores(tmp_path: Path, noise: str) -> None:
    levels = (0.0,) if noise == "none" else (0.0, 6.0)
    repeats = 1 if noise == "none" else 2
    original = Protocol("original", "random-click", noise=noise, levels=levels, budget=3, repeats=repeats)

    def run(protocol: Protocol) -> Path:
        out = tmp_path / protocol.id
        execute(RunSpec(agent=AgentSpec("disc"), dataset=DatasetSpec("phantoms"), protocol=protocol,
                        out=out, limit=3, engine=Engine(workers=1)))  # fmt: skip
        return out

    log = run(original)
    options = {"path": str(log), "level": levels[-1]}
    again = run(Protocol("again", "recorded", annotator_options=options, budget=3, repeats=repeats))
    changed = ["protocol", "noise", "level"]
    for name, dropped in (("prompts", []), ("steps", ["seconds_predict", "seconds_annotate"])):
        before = read_run(log).table(name)
        before = before[before["level"] == levels[-1]].drop(columns=changed + dropped)
        after = read_run(again).table(name).drop(columns=changed + dropped)
        assert len(after) >= 3 * repeats
        pd.testing.assert_frame_equal(before.reset_index(drop=True), after)


def brushed(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for y0, y1, x0, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def example(root: Path, name: str = "SRC/LABEL/p1_axis0_midslice", rater: int = 0) -> Path:
    """Two positive strokes (one longer), one negative, and a soft rim that does not count."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "img.npy", np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30))
    np.save(folder / "seg.npy", TRUTH.astype(np.float32))
    positive = brushed((6, 9, 6, 12), (11, 14, 6, 24)).astype(np.float32)
    negative = brushed((1, 2, 3, 20)).astype(np.float32)
    negative[2, 3:20] = 0.49
    np.save(folder / f"scribble_{rater}.npy", np.stack([positive, negative]))
    return folder


class TestScribblesOfPeople:
    def test_order_labels_and_places(self, tmp_path: Path) -> None:
        example(tmp_path)
        case = case_of(TRUTH, "SRC_LABEL_p1_axis0_midslice", "medscribble")
        each = replay(Recorded(path=str(tmp_path), rounds="each"), case)
        assert [len(r.prompts) for r in each] == [1, 1, 1]
        long, negative, short = (r.prompts[0] for r in each)
        assert (long.positive, negative.positive, short.positive) == (True, False, True)
        assert set(long.landed[1::2]) <= {11, 12, 13}  # the skeleton forks at its ends
        assert long.landed[1::2].count(12) >= 2
        assert np.ptp(long.landed[::2]) >= 14
        assert sorted([negative.landed[:2], negative.landed[2:]]) == [(3, 1), (19, 1)]
        assert 6 <= short.landed[1] < 9
        [once] = replay(Recorded(path=str(tmp_path)), case)
        assert once.prompts == (long, negative, short)
        assert Recorded(path=str(tmp_path)).kinds == {"scribble"}
        assert not Recorded(path=str(tmp_path)).draws_chance

    def test_labels_are_the_persons(self, tmp_path: Path) -> None:
        example(tmp_path)
        case = case_of(~TRUTH, "SRC_LABEL_p1_axis0_midslice", "medscribble")
        [once] = replay(Recorded(path=str(tmp_path)), case)
        assert [p.positive for p in once.prompts] == [True, False, True]
        assert not Recorded.truthful

    def test_a_rater_or_an_example_that_is_not_there(self, tmp_path: Path) -> None:
        example(tmp_path)
        with pytest.raises(DataError, match=r"scribble_2\.npy: no such file"):
            replay(Recorded(path=str(tmp_path), rater=2), case_of(TRUTH, "SRC_LABEL_p1_axis0_midslice"))
        with pytest.raises(DataError, match="no example 'c'"):
            replay(Recorded(path=str(tmp_path)), case_of(TRUTH))

    def test_fingerprint_is_of_the_persons_scribbles(self, tmp_path: Path) -> None:
        for root in ("a", "b"):
            example(tmp_path / root)
            other = example(tmp_path / root, rater=1) / "scribble_1.npy"
            np.save(other, np.load(other)[:, ::-1])
        a, b = (Recorded(path=str(tmp_path / root)).fingerprint for root in ("a", "b"))
        assert a == b
        assert a != Recorded(path=str(tmp_path / "a"), rater=1).fingerprint

    def test_wrong_shapes(self, tmp_path: Path) -> None:
        folder = example(tmp_path)
        np.save(folder / "scribble_0.npy", np.zeros((3, 20, 30), np.float32))
        with pytest.raises(DataError, match=r"\[2, H, W\] is expected"):
            replay(Recorded(path=str(tmp_path)), case_of(TRUTH, "SRC_LABEL_p1_axis0_midslice"))

    def test_nothing_drawn(self, tmp_path: Path) -> None:
        folder = example(tmp_path)
        np.save(folder / "scribble_0.npy", np.zeros((2, 20, 30), np.float32))
        for rounds in ("once", "each"):
            annotator = Recorded(path=str(tmp_path), rounds=rounds)  # type: ignore[arg-type]
            assert replay(annotator, case_of(TRUTH, "SRC_LABEL_p1_axis0_midslice")) == []

    def test_a_closed_stroke_is_one_scribble_around(self) -> None:
        y, x = np.indices((60, 60))
        radius = np.hypot(y - 30, x - 30)
        ring = (radius <= 22) & (radius >= 18)
        [prompt] = scribbles_of(np.stack([ring, np.zeros_like(ring)]))
        path = joined(np.array(prompt.landed).reshape(-1, 2))
        angles = np.arctan2(path[:, 1] - 30, path[:, 0] - 30)
        assert np.histogram(angles, bins=24, range=(-math.pi, math.pi))[0].min() > 0
        assert ring[path[:, 1], path[:, 0]].all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "path"),
        ({"path": "/nowhere/at/all"}, "path"),
        ({"rater": -1}, "rater"),
        ({"rounds": "some"}, "rounds"),
        ({"repeat": -2}, "repeat"),
        ({"level": math.nan}, "level"),
        ({"level": 3.0}, "no episode has level"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    if options and "path" not in options:
        options = {"path": str(write_log(tmp_path / "run", {("d", "c", 0.0, 0): []})), **options}
    with pytest.raises(ValueError, match=words):
        Recorded(**options)
    with pytest.raises(ConfigError, match=r"protocol\.annotator"):
        Protocol("p", "recorded", annotator_options=options).make_annotator()


def test_a_folder_with_neither(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no MedScribble example"):
        Recorded(path=str(tmp_path))


@pytest.mark.data
def test_real_scribbles() -> None:
    root = SHARED / "medscribble"
    if not root.is_dir():
        pytest.skip("the shared real scribbles are absent (medscribble)")
    from simclick.datasets.medscribble import MedScribble

    for case in MedScribble(root):
        for rater in range(3):
            [once] = replay(Recorded(path=str(root), rater=rater), case)
            folder = next(f for f in root.rglob(f"{case.case_id.split('_', 3)[-1]}*") if f.is_dir())
            mask = np.load(folder / f"scribble_{rater}.npy") >= 0.5
            for prompt in once.prompts:
                path = joined(np.array(prompt.landed).reshape(-1, 2))
                assert mask[0 if prompt.positive else 1][path[:, 1], path[:, 0]].all()
            negatives = [joined(np.array(p.landed).reshape(-1, 2)) for p in once.prompts if not p.positive]
            on_object = np.concatenate([case.truth[p[:, 1], p[:, 0]] for p in negatives])
            assert on_object.mean() < 0.2, "people mostly know what is background"
