"""Scribbles: where they may be, what breaks and bends them, hand-computed shapes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.annotators.scribbles import CenterlineScribble, ContourScribble, LineScribble, _noise
from simclick.annotators.tracing import joined
from simclick.case import Case
from simclick.episode import Episode, Ground, Rules, ask
from simclick.geometry import connected_components
from simclick.prompts import Prompt
from simclick.protocol import load_protocol
from simclick.seeding import Draws
from simclick.testing_annotator import check_annotator

KINDS = [LineScribble, CenterlineScribble, ContourScribble]
PLAIN = {"breaks": False, "warp": False}


def case_of(truth: np.ndarray, ignore: np.ndarray | None = None) -> Case:
    return Case("c", "hand", np.zeros((*truth.shape, 3), np.uint8), truth, "g", "none", "s", ignore=ignore)


def rectangle(shape: tuple[int, int], y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def ask_one(
    annotator: Any,
    truth: np.ndarray,
    mask: np.ndarray | None = None,
    seed: int = 0,
    ignore: np.ndarray | None = None,
) -> Prompt | None:
    mask = np.zeros_like(truth) if mask is None else mask
    [round_] = annotator.propose(case_of(truth, ignore), mask[None], [()], [Draws(seed, "hand", "c", 0, 1)])
    if round_ is None:
        return None
    [prompt] = round_.prompts
    assert prompt.kind == "scribble"
    assert prompt.landed == prompt.meant
    assert prompt.positive == prompt.meant_positive
    return prompt


def points(prompt: Prompt | None) -> np.ndarray:
    assert prompt is not None
    return np.array(prompt.landed).reshape(-1, 2)


def drawn(prompt: Prompt | None, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    path = joined(points(prompt))
    mask[path[:, 1], path[:, 0]] = True
    return mask


@pytest.mark.parametrize("kind", KINDS)
class TestAll:
    def test_nothing_wrong(self, kind: Any) -> None:
        truth = rectangle((9, 9), 2, 7, 2, 7)
        assert ask_one(kind(), truth, truth) is None
        assert ask_one(kind(), truth, ignore=truth) is None

    def test_one_pixel_is_one_vertex(self, kind: Any) -> None:
        truth = rectangle((9, 9), 4, 5, 3, 4)
        for options in ({}, PLAIN, {"region": "random"}):
            prompt = ask_one(kind(**options), truth)
            assert prompt is not None
            assert (prompt.landed, prompt.positive) == ((3, 4), True)

    def test_largest_region_and_its_label(self, kind: Any) -> None:
        truth = rectangle((20, 40), 2, 8, 2, 12)  # 60 pixels missed
        extra = rectangle((20, 40), 10, 18, 20, 38)  # 144 too many
        for seed in range(5):
            prompt = ask_one(kind(), truth, extra, seed)
            assert prompt is not None
            assert not prompt.positive
            assert not (drawn(prompt, truth.shape) & ~extra).any()
            prompt = ask_one(kind(), truth | extra, seed=seed)
            assert prompt is not None
            assert prompt.positive

    def test_equal_regions_give_way_to_the_false_positive(self, kind: Any) -> None:
        truth, extra = rectangle((9, 20), 1, 5, 1, 5), rectangle((9, 20), 1, 5, 10, 14)
        prompt = ask_one(kind(), truth, extra)
        assert prompt is not None
        assert not prompt.positive

    def test_random_regions_by_area(self, kind: Any) -> None:
        truth = rectangle((12, 30), 1, 11, 1, 7)  # 60 missed
        extra = rectangle((12, 30), 1, 5, 10, 15)  # 20 too many
        found = [ask_one(kind(region="random", **PLAIN), truth, extra, seed) for seed in range(200)]
        share = np.mean([p.positive for p in found if p is not None])
        assert 0.65 < share < 0.85
        for prompt in found:
            assert prompt is not None
            assert not (drawn(prompt, truth.shape) & ~(truth if prompt.positive else extra)).any()

    def test_ignored_pixels_are_no_part_of_it(self, kind: Any) -> None:
        truth = rectangle((20, 30), 2, 18, 2, 28)
        ignore = rectangle((20, 30), 0, 20, 0, 15)
        for seed in range(5):
            assert not (drawn(ask_one(kind(), truth, seed=seed, ignore=ignore), truth.shape) & ignore).any()

    @settings(deadline=None, max_examples=25)
    @given(data=st.data())
    def test_every_pixel_lies_in_one_wrong_region(self, kind: Any, data: st.DataObject) -> None:
        height, width = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 24))
        rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
        truth, mask = (rng.random((height, width)) < p for p in rng.random(2))
        options = {
            "region": data.draw(st.sampled_from(["largest", "random"])),
            "breaks": data.draw(st.booleans()),
            "warp": data.draw(st.booleans()),
        }
        prompt = ask_one(kind(**options), truth, mask, int(rng.integers(100)))
        if prompt is None:
            assert (truth == mask).all()
            return
        wrong = (truth & ~mask) if prompt.positive else (mask & ~truth)
        labels, _ = connected_components(wrong)
        found = np.unique(labels[drawn(prompt, truth.shape)])
        assert found.size == 1
        assert found[0] > 0
        if options["region"] == "largest":
            areas = [np.bincount(connected_components(m)[0].ravel())[1:].max(initial=0)
                     for m in (truth & ~mask, mask & ~truth)]  # fmt: skip
            assert np.count_nonzero(labels == found[0]) == max(areas)

    @pytest.mark.parametrize("option", [{"region": "all"}, {"breaks": 1}, {"warp": "yes"}])
    def test_bad_options(self, kind: Any, option: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(option))):
            kind(**option)

    def test_five_of_them_fill_the_protocols_budget(self, kind: Any) -> None:
        protocol = load_protocol(f"{kind.name}-v1")
        assert protocol.annotator == kind.name
        truth = rectangle((30, 30), 5, 25, 5, 25)
        episode = Episode(Ground(case_of(truth)), Rules(protocol, seed=0))
        while episode.status == "running":
            [round_] = ask([episode])
            assert round_ is not None
            episode.answer(np.zeros_like(truth))
        assert (episode.step, episode.cost, episode.status) == (5, 15, "truncated")
        assert len({p.landed for r in episode.rounds for p in r.prompts}) == 5, "each round has its own draws"


class TestLine:
    def test_plain_lines_are_straight_between_uniform_pixels(self) -> None:
        truth = rectangle((6, 8), 1, 4, 2, 5)
        ends = Counter()
        for seed in range(600):
            prompt = ask_one(LineScribble(**PLAIN), truth, seed=seed)
            found = [tuple(p) for p in points(prompt).tolist()]
            ends.update([found[0], found[-1]])
        assert len(ends) == 9
        # 1200 draws over 9 pixels: 133 expected, a standard deviation of 11.
        assert all(85 < count < 185 for count in ends.values())

    def test_a_line_that_leaves_the_region_is_cut_to_its_longest_part(self) -> None:
        truth = rectangle((20, 20), 2, 18, 2, 18) & ~rectangle((20, 20), 2, 14, 6, 14)  # a U
        cut = 0
        for seed in range(60):
            mask = drawn(ask_one(LineScribble(**PLAIN), truth, seed=seed), truth.shape)
            assert not (mask & ~truth).any()
            cut += connected_components(mask)[1] == 1
        assert cut == 60

    def test_not_broken_unless_asked(self) -> None:
        assert LineScribble() == LineScribble(breaks=False)
        assert CenterlineScribble() == CenterlineScribble(breaks=True)


class TestCenterline:
    def test_a_thin_line_is_its_own_middle(self) -> None:
        truth = rectangle((7, 30), 3, 4, 4, 25)
        for mask, positive in ((None, True), (truth, False)):
            target = truth if positive else np.zeros_like(truth)
            prompt = ask_one(CenterlineScribble(**PLAIN), target, mask)
            assert prompt is not None
            assert prompt.positive is positive
            assert sorted(points(prompt).tolist()) == [[4, 3], [24, 3]]

    def test_a_bar_is_scribbled_along_its_middle_row(self) -> None:
        truth = rectangle((15, 60), 5, 10, 5, 55)
        path = joined(points(ask_one(CenterlineScribble(**PLAIN), truth)))
        assert set(path[4:-4, 1].tolist()) == {7}
        assert np.ptp(path[:, 0]) > 40

    def test_breaks_keep_one_part_of_it(self) -> None:
        truth = rectangle((15, 128), 5, 10, 2, 126)
        whole = joined(points(ask_one(CenterlineScribble(**PLAIN), truth)))
        lengths = []
        for seed in range(40):
            part = joined(points(ask_one(CenterlineScribble(warp=False), truth, seed=seed)))
            starts = [
                i for i in range(len(whole) - len(part) + 1) if (whole[i : i + len(part)] == part).all()
            ]
            assert len(starts) == 1, "a run of the whole path, in its order"
            lengths.append(len(part))
        assert 8 < np.mean(lengths) < 80
        assert len(set(lengths)) > 10

    def test_warp_moves_it_but_not_far(self) -> None:
        truth = rectangle((64, 128), 10, 54, 2, 126)
        whole = joined(points(ask_one(CenterlineScribble(**PLAIN), truth)))
        for seed in range(20):
            bent = joined(points(ask_one(CenterlineScribble(breaks=False), truth, seed=seed)))
            away = np.sqrt(((bent[:, None] - whole[None]) ** 2).sum(axis=2).min(axis=1))
            assert 0 < away.max() <= np.hypot(6.5, 6.5)

    def test_without_chance_it_says_so(self) -> None:
        assert not CenterlineScribble(**PLAIN).draws_chance
        assert CenterlineScribble(region="random", **PLAIN).draws_chance
        assert CenterlineScribble.draws_chance
        check_annotator(CenterlineScribble(**PLAIN), rounds=1)


class TestContour:
    def test_of_a_rectangle_is_a_rectangle_inside(self) -> None:
        truth = rectangle((11, 13), 2, 9, 2, 11)  # 7 rows, 9 columns: depths 1 to 4
        seen = Counter()
        for seed in range(200):
            found = points(ask_one(ContourScribble(**PLAIN), truth, seed=seed))
            inset = int(found[:, 1].min()) - 2
            seen[inset] += 1
            expected = rectangle((11, 13), 2 + inset, 9 - inset, 2 + inset, 11 - inset)
            inner = rectangle((11, 13), 3 + inset, 8 - inset, 3 + inset, 10 - inset)
            prompt = ask_one(ContourScribble(**PLAIN), truth, seed=seed)
            np.testing.assert_array_equal(drawn(prompt, truth.shape), expected & ~inner)
            assert found[0].tolist() == found[-1].tolist(), "closed"
        # A threshold uniform in [1, 4): depth 1 exactly has no chance, 2, 3 and 4 have a third each.
        assert set(seen) <= {0, 1, 2, 3}
        assert seen[0] == 0
        assert all(40 < seen[inset] < 95 for inset in (1, 2, 3))

    def test_holes_have_no_contour(self) -> None:
        ring = rectangle((30, 30), 2, 28, 2, 28) & ~rectangle((30, 30), 14, 16, 14, 16)
        tested = 0
        for seed in range(20):
            mask = drawn(ask_one(ContourScribble(**PLAIN), ring, seed=seed), ring.shape)
            rows = np.flatnonzero(mask.any(axis=1))
            inside = rectangle((30, 30), rows[0] + 1, rows[-1], rows[0] + 1, rows[-1])
            if rows[0] <= 6:  # shrunken by at most five: still a square ring around its hole
                assert not (mask & inside).any()
                tested += 1
        assert tested > 3

    def test_broken_across_its_beginning(self) -> None:
        truth = rectangle((40, 40), 2, 38, 2, 38)
        for seed in range(30):
            path = joined(points(ask_one(ContourScribble(warp=False), truth, seed=seed)))
            assert len(np.unique(path, axis=0)) >= len(path) - 1


def test_noise_is_linear_interpolation_of_a_lattice() -> None:
    from scipy.ndimage import map_coordinates

    path = np.stack(np.meshgrid(np.arange(50), np.arange(37)), axis=2).reshape(-1, 2)
    draws = Draws(3, "d", "c", 0, 1)
    values = _noise(draws.stream("annotator"), 0.5, (37, 50), path)
    again = draws.stream("annotator")
    spacing, phase_x, phase_y = again.uniform(3)
    spacing = 0.5 * (4 + 12 * spacing)
    rows, columns = int(36 / spacing + 1) + 2, int(49 / spacing + 1) + 2
    lattice = 2 * again.uniform(rows * columns).reshape(rows, columns) - 1
    at = [path[:, 1] / spacing + phase_y, path[:, 0] / spacing + phase_x]
    np.testing.assert_allclose(values, map_coordinates(lattice, at, order=1), atol=1e-12)
    assert -1 <= values.min() < 0 < values.max() < 1
    field = values.reshape(37, 50)
    assert np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    "annotator",
    [
        LineScribble(region="random", breaks=True),
        LineScribble(breaks=True, warp=False),
        ContourScribble(**PLAIN),
    ],
    ids=str,
)
def test_conformance_with_options(annotator: Any) -> None:
    check_annotator(annotator, rounds=1)
