"""Hand-computed clicks: ties, borders, rings, single pixels, empty and perfect masks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from simclick.annotators.base import Annotator
from simclick.annotators.clicks import (
    CenterClick,
    CenterClickDiverse,
    LargestComponentClick,
    RandomClick,
    landed_clicks,
)
from simclick.case import Case
from simclick.prompts import Prompt, Round, box, click
from simclick.seeding import Draws

ALL = [CenterClick(), CenterClickDiverse(), RandomClick(), LargestComponentClick()]
CENTRAL = [CenterClick(), CenterClickDiverse(), LargestComponentClick()]
Place = tuple[int, int]


def grid(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def case_of(truth: np.ndarray, ignore: np.ndarray | None = None) -> Case:
    image = np.zeros((*truth.shape, 3), np.uint8)
    return Case("c", "hand", image, truth, "g", "none", "shape", ignore=ignore)


def ask(
    annotator: Annotator,
    truth: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    ignore: np.ndarray | None = None,
    clicked: tuple[Place, ...] = (),
    seed: int = 0,
) -> tuple[int, int, bool] | None:
    """The next click as (x, y, positive)."""
    mask = np.zeros_like(truth) if mask is None else mask
    history = [Round((click(x, y),)) for x, y in clicked]
    draws = Draws(seed, "hand", "c", 0, len(clicked) + 1)
    [round_] = annotator.propose(case_of(truth, ignore), mask[None], [history], [draws])
    if round_ is None:
        return None
    [prompt] = round_.prompts
    assert prompt.kind == "click"
    assert prompt == click(*prompt.landed, prompt.positive), "nothing but noise moves a click"
    return *prompt.landed, prompt.positive  # type: ignore[return-value]


def rectangle(shape: Place, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.mark.parametrize("annotator", ALL, ids=lambda a: a.name)
class TestNothingLeft:
    def test_perfect_mask(self, annotator: Annotator) -> None:
        truth = rectangle((9, 9), 2, 7, 2, 7)
        assert ask(annotator, truth, truth) is None

    def test_empty_truth_and_empty_mask(self, annotator: Annotator) -> None:
        assert ask(annotator, np.zeros((9, 9), bool)) is None

    def test_only_ignored_pixels_are_wrong(self, annotator: Annotator) -> None:
        truth = rectangle((9, 9), 2, 7, 2, 7)
        assert ask(annotator, truth, ignore=truth) is None

    def test_every_wrong_pixel_was_clicked(self, annotator: Annotator) -> None:
        truth = rectangle((9, 9), 4, 5, 3, 5)
        assert ask(annotator, truth, clicked=((3, 4),)) == (4, 4, True)
        assert ask(annotator, truth, clicked=((3, 4), (4, 4))) is None


@pytest.mark.parametrize("annotator", ALL, ids=lambda a: a.name)
class TestLabels:
    def test_single_missing_pixel(self, annotator: Annotator) -> None:
        assert ask(annotator, rectangle((5, 6), 3, 4, 2, 3)) == (2, 3, True)

    def test_single_extra_pixel(self, annotator: Annotator) -> None:
        extra = rectangle((5, 6), 3, 4, 2, 3)
        assert ask(annotator, np.zeros((5, 6), bool), extra) == (2, 3, False)

    def test_image_of_one_pixel(self, annotator: Annotator) -> None:
        one, none = np.ones((1, 1), bool), np.zeros((1, 1), bool)
        assert ask(annotator, one) == (0, 0, True)
        assert ask(annotator, none, one) == (0, 0, False)
        assert ask(annotator, one, clicked=((0, 0),)) is None


@pytest.mark.parametrize("annotator", CENTRAL, ids=lambda a: a.name)
class TestDepth:
    def test_the_edge_of_the_image_is_a_border(self, annotator: Annotator) -> None:
        # Without the border the corner (0, 0) would be deepest.
        assert ask(annotator, rectangle((9, 9), 0, 5, 0, 5)) == (2, 2, True)
        assert ask(annotator, np.ones((7, 7), bool)) == (3, 3, True)

    def test_larger_depth_wins(self, annotator: Annotator) -> None:
        truth, mask = rectangle((12, 12), 0, 5, 0, 5), rectangle((12, 12), 6, 9, 6, 9)
        assert ask(annotator, truth, mask) == (2, 2, True)
        assert ask(annotator, mask, truth) == (2, 2, False)

    def test_equal_depths_are_negative(self, annotator: Annotator) -> None:
        truth, mask = rectangle((12, 12), 0, 5, 0, 5), rectangle((12, 12), 6, 11, 6, 11)
        assert ask(annotator, truth, mask) == (8, 8, False)

    def test_a_false_positive_is_a_border_of_a_false_negative(self, annotator: Annotator) -> None:
        # Merged, the 5 x 10 error would be deepest along its middle row, across the seam.
        truth, mask = rectangle((7, 12), 1, 6, 1, 6), rectangle((7, 12), 1, 6, 6, 11)
        assert ask(annotator, truth, mask) == (8, 3, False)

    def test_a_correct_part_is_a_border(self, annotator: Annotator) -> None:
        truth = rectangle((9, 20), 1, 8, 1, 19)
        mask = rectangle((9, 20), 1, 8, 1, 12)
        assert ask(annotator, truth, mask) == (15, 4, True)

    def test_ignored_pixels_are_a_border(self, annotator: Annotator) -> None:
        truth = rectangle((9, 20), 1, 8, 1, 19)
        assert ask(annotator, truth, ignore=rectangle((9, 20), 0, 9, 0, 12)) == (15, 4, True)

    def test_clicked_pixels_are_no_border(self, annotator: Annotator) -> None:
        truth = rectangle((15, 15), 1, 14, 1, 14)
        first = ask(annotator, truth)
        assert first == (7, 7, True)
        second = ask(annotator, truth, clicked=((7, 7),))
        assert second is not None
        # Depth 6 all around the centre, had the click not changed the depths; 1 if it had.
        if not isinstance(annotator, CenterClickDiverse):
            assert second == (6, 6, True)

    def test_where_clicks_landed_counts_not_where_they_were_meant(self, annotator: Annotator) -> None:
        truth = rectangle((15, 7), 2, 5, 2, 5)
        missed = click(3, 3).moved((0, 14))
        case, draws = case_of(truth), [Draws(0, "hand", "c", 0, 2)]
        [round_] = annotator.propose(case, np.zeros((1, 15, 7), bool), [[Round((missed,))]], draws)
        assert round_ == Round((click(3, 3),))


class TestCenterClick:
    def test_ties_are_taken_in_row_major_order(self) -> None:
        # 64 x 20: every row from 9 on is as deep as the middle; so are columns 9 and 10.
        assert ask(CenterClick(), np.ones((64, 20), bool)) == (9, 9, True)
        assert ask(CenterClick(), np.ones((20, 64), bool)) == (9, 9, True)

    def test_ring(self) -> None:
        truth = rectangle((13, 13), 0, 13, 0, 13) & ~rectangle((13, 13), 5, 8, 5, 8)
        # Corners of the ring: (2, 2) has 3 to the edges; (3, 3) has 8 to the hole and 16 to the edges.
        assert ask(CenterClick(), truth) == (2, 2, True)

    def test_an_unresponsive_agent_gets_a_walk(self) -> None:
        truth = rectangle((119, 119), 1, 118, 1, 118)
        clicked: list[Place] = []
        for _ in range(4):
            found = ask(CenterClick(), truth, clicked=tuple(clicked))
            assert found is not None
            clicked.append(found[:2])
        assert clicked == [(59, 59), (58, 58), (59, 58), (60, 58)]

    def test_diagonal_distances(self) -> None:
        # In a right-angled corner the inscribed circle touches the hypotenuse: exact distances matter.
        y, x = np.indices((20, 20))
        truth = x + y <= 16
        # (4, 4): 25 to the edges, 41 to (9, 8); (5, 5): 36 to the edges, 25 to (8, 9) and (9, 8).
        assert ask(CenterClick(), truth) == (4, 4, True)


class TestCenterClickDiverse:
    def test_ties_go_to_the_middle(self) -> None:
        # Tied: columns 9 and 10 of rows 9 to 54; their centroid is (9.5, 31.5).
        assert ask(CenterClickDiverse(), np.ones((64, 20), bool)) == (9, 31, True)
        assert ask(CenterClickDiverse(), np.ones((20, 64), bool)) == (31, 9, True)
        assert ask(CenterClickDiverse(), np.ones((21, 65), bool)) == (32, 10, True)

    def test_the_middle_is_one_of_the_tied(self) -> None:
        # Two equal squares: the centroid lies between them, both centres are as near.
        truth = rectangle((5, 19), 0, 5, 0, 5) | rectangle((5, 19), 0, 5, 14, 19)
        assert ask(CenterClickDiverse(), truth) == (2, 2, True)

    def test_only_the_winning_kind_ties(self) -> None:
        truth = rectangle((5, 40), 0, 5, 0, 9)
        mask = rectangle((5, 40), 0, 5, 20, 31)
        assert ask(CenterClickDiverse(), truth, mask) == (25, 2, False)

    def test_radius_is_included(self) -> None:
        line = np.ones((1, 9), bool)
        # All nine tie; their centroid is x = 4. Within 2 of it: 2 to 6. Of the rest (0, 1, 7, 8),
        # with the same centroid, 1 and 7 are as near and 1 is first.
        assert ask(CenterClickDiverse(radius=2), line) == (4, 0, True)
        assert ask(CenterClickDiverse(radius=2), line, clicked=((4, 0),)) == (1, 0, True)
        assert ask(CenterClickDiverse(radius=3), line, clicked=((4, 0),)) == (0, 0, True)

    def test_distance_is_euclidean(self) -> None:
        truth = np.zeros((9, 9), bool)
        truth[4 + 3, 4 + 4] = truth[4 - 4, 4 + 4] = True  # at 5 and √32 from (4, 4)
        assert ask(CenterClickDiverse(radius=5), truth, clicked=((4, 4),)) == (8, 0, True)

    def test_negative_clicks_and_boxes(self) -> None:
        truth = np.ones((1, 9), bool)
        history = [Round((box(0, 0, 8, 0), click(4, 0, False)))]
        case, draws = case_of(truth), [Draws(0, "hand", "c", 0, 2)]
        [round_] = CenterClickDiverse(2).propose(case, np.zeros((1, 1, 9), bool), [history], draws)
        assert round_ == Round((click(1, 0),)), "negative clicks keep others away, boxes do not"

    def test_falls_back_to_the_clicked_pixels(self) -> None:
        truth = rectangle((9, 9), 3, 6, 3, 6)
        assert ask(CenterClickDiverse(radius=5), truth, clicked=((4, 4),)) == (4, 3, True)

    def test_an_error_beyond_the_radius_comes_before_a_deeper_one_within(self) -> None:
        truth = rectangle((9, 30), 0, 9, 0, 9) | rectangle((9, 30), 4, 5, 28, 29)
        assert ask(CenterClickDiverse(radius=20), truth, clicked=((4, 4),)) == (28, 4, True)

    def test_radius_0_differs_from_center_click_in_ties_alone(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(50):
            truth, mask = rng.random((2, 9, 9)) < 0.5
            a, b = ask(CenterClick(), truth, mask), ask(CenterClickDiverse(radius=0), truth, mask)
            assert a is not None
            assert b is not None
            assert a[2] == b[2]

    @pytest.mark.parametrize("radius", [-1, 1_000_001, 2.5, "5", True, None])
    def test_refuses_a_bad_radius(self, radius: Any) -> None:
        with pytest.raises(ValueError, match=r"radius=.* must be a whole number of pixels from 0"):
            CenterClickDiverse(radius=radius)


class TestRandomClick:
    def test_every_wrong_pixel_is_as_likely(self) -> None:
        truth, mask = grid("##..", "....", "...#"), grid("..#.", "....", "...#")
        ignore = grid("#...", "....", "....")
        n = 3000
        counts = Counter(ask(RandomClick(), truth, mask, ignore=ignore, seed=s) for s in range(n))
        assert set(counts) == {(1, 0, True), (2, 0, False)}
        assert abs(counts[1, 0, True] - n / 2) < 4 * (n / 4) ** 0.5

    def test_it_is_the_draw_th_pixel_in_row_major_order(self) -> None:
        truth = grid("#.#", ".##", "###")
        places = [(int(x), int(y)) for y, x in np.argwhere(truth)]
        for seed in range(20):
            k = Draws(seed, "hand", "c", 0, 1).stream("annotator").integer(7)
            assert ask(RandomClick(), truth, seed=seed) == (*places[k], True)

    def test_clicked_pixels_are_never_clicked_again(self) -> None:
        truth = grid("####")
        clicked: tuple[Place, ...] = ()
        for _ in range(4):
            found = ask(RandomClick(), truth, clicked=clicked)
            assert found is not None
            clicked += (found[:2],)
        assert len(set(clicked)) == 4
        assert ask(RandomClick(), truth, clicked=clicked) is None

    def test_clicks_that_landed_outside_are_of_no_account(self) -> None:
        assert ask(RandomClick(), grid(".#"), clicked=((-1, 0), (9, 9))) == (1, 0, True)


class TestLargestComponentClick:
    def test_a_long_vessel_beats_a_deep_blob(self) -> None:
        vessel, blob = rectangle((120, 240), 5, 7, 5, 235), rectangle((120, 240), 50, 60, 50, 60)
        assert (vessel.sum(), blob.sum()) == (460, 100)
        assert ask(LargestComponentClick(), vessel | blob) == (5, 5, True)
        assert ask(CenterClick(), vessel | blob) == (54, 54, True)

    def test_errors_of_two_kinds_are_not_merged(self) -> None:
        truth = rectangle((6, 20), 1, 5, 1, 8)  # 28 missing
        mask = rectangle((6, 20), 1, 5, 8, 16)  # 32 too many, beside them
        assert ask(LargestComponentClick(), truth, mask) == (9, 2, False)

    def test_corners_connect(self) -> None:
        truth = grid("##.....", "##.....", "..##...", "..##.##", ".....##", ".......")
        # The diagonal pair has 8 pixels and counts as one; no pixel is deeper than 1.
        assert ask(LargestComponentClick(), truth) == (0, 0, True)
        assert ask(LargestComponentClick(), truth, clicked=((0, 0),)) == (1, 0, True)

    def test_equal_areas_prefer_false_positives_then_the_first(self) -> None:
        truth, mask = grid("##....", "......"), grid("......", "....##")
        assert ask(LargestComponentClick(), truth, mask) == (4, 1, False)
        truth = grid("....#", "##..#")
        assert ask(LargestComponentClick(), truth) == (4, 0, True)

    def test_depth_is_to_the_outside_of_its_own_component(self) -> None:
        # An ignored line splits what would be one 5 x 11 region.
        truth = np.ones((5, 11), bool)
        line = rectangle((5, 11), 0, 5, 5, 6)
        assert ask(LargestComponentClick(), truth, ignore=line) == (2, 2, True)

    def test_a_region_clicked_all_over_gives_way(self) -> None:
        truth = grid("##..", "....", "...#")
        assert ask(LargestComponentClick(), truth, clicked=((0, 0),)) == (1, 0, True)
        assert ask(LargestComponentClick(), truth, clicked=((0, 0), (1, 0))) == (3, 2, True)

    def test_clicks_elsewhere_do_not_shift_into_the_region(self) -> None:
        truth = rectangle((20, 20), 10, 15, 10, 15)
        assert ask(LargestComponentClick(), truth, clicked=((2, 2),)) == (12, 12, True)
        assert ask(LargestComponentClick(), truth, clicked=((12, 12),)) == (11, 11, True)


def test_landed_clicks_are_those_of_clicks_in_order() -> None:
    moved: Prompt = click(3, 4).moved((5, 6))
    history = [Round((box(0, 0, 2, 2), moved)), Round((click(1, 1, False), click(9, 8)))]
    assert landed_clicks(history) == [(5, 6), (1, 1), (9, 8)]


def test_episodes_are_independent() -> None:
    truth = rectangle((9, 9), 2, 7, 2, 7)
    masks = np.stack([np.zeros_like(truth), truth, ~truth])
    histories = [(), (), (Round((click(4, 4),)),)]
    draws = [Draws(0, "hand", "c", r, 1) for r in range(3)]
    answer = CenterClick().propose(case_of(truth), masks, histories, draws)
    assert answer == [Round((click(4, 4),)), None, Round((click(3, 3),))]
    with pytest.raises(ValueError, match=r"shorter|longer"):
        CenterClick().propose(case_of(truth), masks, histories[:2], draws)
