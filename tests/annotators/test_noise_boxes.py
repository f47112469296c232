"""Noise on boxes: what moves where, crossing edges, borders."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_hand import WIDE, draws, landed_of, shifts, small_case
from scipy import stats

from simclick.annotators.noise_boxes import BoxEdges, BoxGrow, BoxRing, BoxScale, BoxShift, BoxShrink
from simclick.annotators.noise_clicks import RingClick
from simclick.prompts import Round, box, click

LARGE = box(1500, 1600, 2500, 2600)
OUT = np.array([-1, -1, 1, 1])
GOLDEN_EDGES = [[12, 6, 19, 3], [-18, 7, 2, 12], [16, 13, 14, 1]]
GOLDEN_SHIFT = [[12, 6, 12, 6], [-18, 7, -18, 7], [16, 13, 16, 13]]


def uniforms(seed: int, n: int) -> np.ndarray:
    return draws(seed).stream("noise", 0).uniform(n)


def half_up(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).astype(int)


def test_version_1_never_changes() -> None:
    """Published numbers rest on these."""
    at = box(1100, 1100, 1180, 1160)
    assert shifts(BoxEdges(), at, 20.0, 3).tolist() == GOLDEN_EDGES
    assert shifts(BoxShift(), at, 20.0, 3).tolist() == GOLDEN_SHIFT


def test_edges_move_alone() -> None:
    found = shifts(BoxEdges(), LARGE, 200.0, 1000)
    assert np.abs(found).max() <= 200
    for edge in range(4):
        assert stats.kstest(found[:, edge] / 200.0, "uniform", (-1, 2)).pvalue > 1e-3
    assert np.abs(np.corrcoef(found.T) - np.eye(4)).max() < 0.12


def test_shift_is_rigid() -> None:
    found = shifts(BoxShift(), LARGE, 200.0, 1000)
    assert np.array_equal(found[:, :2], found[:, 2:])
    assert np.abs(found).max() <= 200
    for axis in range(2):
        assert stats.kstest(found[:, axis] / 200.0, "uniform", (-1, 2)).pvalue > 1e-3


def test_crossing_edges_change_places() -> None:
    boxes = landed_of(BoxEdges(), box(2000, 2000, 2000, 2000), 20.0, 40)
    moved = 2000 + half_up(20 * np.array([2 * uniforms(s, 4) - 1 for s in range(40)]))
    assert (moved[:, 0] > moved[:, 2]).any()
    low, high = np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])
    assert np.array_equal(boxes, np.concatenate([low, high], 1))


def test_a_shift_over_the_border_is_cut_off() -> None:
    case = small_case(np.ones((20, 20), bool))
    for seed in range(40):
        dx, dy = half_up(15 * (2 * uniforms(seed, 2) - 1)).tolist()
        [moved] = BoxShift().perturb(Round((box(5, 6, 10, 12),)), case, draws(seed), 15.0).prompts
        assert moved.landed == tuple(min(max(v, 0), 19) for v in (5 + dx, 6 + dy, 10 + dx, 12 + dy))


def test_growth_is_uniform_outwards_edge_by_edge() -> None:
    outwards = shifts(BoxGrow(), LARGE, 200.0, 1000) * OUT
    assert outwards.min() >= 0
    assert outwards.max() <= 200
    for edge in range(4):
        assert stats.kstest(outwards[:, edge] / 200.0, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(outwards.T) - np.eye(4)).max() < 0.12


def test_growth_of_all_sides_alike() -> None:
    outwards = shifts(BoxGrow(sides="same"), LARGE, 200.0, 200) * OUT
    assert np.abs(outwards - outwards[:, :1]).max() <= 1, "but for the rounding of halves"
    assert np.array_equal(outwards[:, 2], half_up(200 * np.array([uniforms(s, 1)[0] for s in range(200)])))


def test_shrinking_mirrors_growth_where_there_is_room() -> None:
    for sides in ("each", "same"):
        out = shifts(BoxGrow(sides=sides), LARGE, 200.0, 100)  # type: ignore[arg-type]
        inwards = shifts(BoxShrink(sides=sides), LARGE, 200.0, 100)  # type: ignore[arg-type]
        assert np.abs(out + inwards).max() <= 1


def test_shrinking_edges_stop_where_they_meet() -> None:
    found = landed_of(BoxShrink(), box(2000, 2000, 2010, 2003), 20.0, 200)
    met = 0
    for seed, (x0, y0, x1, y1) in enumerate(found):
        a, b, c, d = half_up(20 * uniforms(seed, 4))
        for first, last, at, low, high in ((a, c, 2000, x0, x1), (b, d, 2000, y0, y1)):
            side = 10 if (low, high) == (x0, x1) and first is a else 3
            if first + last > side:
                expected = at + math.floor(side * first / (first + last) + 0.5)
                assert low == high == expected
                met += 1
            else:
                # Inward moves of last edges are rounded from the other side at exact halves only.
                assert (low, high) == (at + first, at + side - last)
    assert met > 100


def test_shrinking_keeps_a_pixel_of_the_box() -> None:
    for at in (box(7, 8, 7, 8), box(3, 3, 4, 9)):
        for level in (0.4, 1.0, 3.0, 500.0):
            for x0, y0, x1, y1 in landed_of(BoxShrink(), at, level, 60).tolist():
                assert at.meant[0] <= x0 <= x1 <= at.meant[2]
                assert at.meant[1] <= y0 <= y1 <= at.meant[3]


@pytest.mark.parametrize(
    ("direction", "low", "high"), [("any", 0.7, 1.3), ("out", 1.0, 1.3), ("in", 0.7, 1.0)]
)
def test_scaling_has_one_factor_about_the_centre(direction: Any, low: float, high: float) -> None:
    boxes = landed_of(BoxScale(direction=direction), box(1501, 1801, 2500, 2200), 0.3, 600)
    widths, heights = boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1
    u = np.array([uniforms(s, 1)[0] for s in range(600)])
    factor = 1 + 0.3 * {"any": 2 * u - 1, "out": u, "in": -u}[direction]
    assert np.abs(widths - 1000 * factor).max() <= 1
    assert np.abs(heights - 400 * factor).max() <= 1
    assert np.abs(boxes[:, 0] + boxes[:, 2] - 4001).max() <= 1
    assert np.abs(boxes[:, 1] + boxes[:, 3] - 4001).max() <= 1
    assert stats.kstest((widths / 1000 - low) / (high - low), "uniform").pvalue > 1e-3


def test_a_factor_below_0_leaves_the_centre() -> None:
    boxes = landed_of(BoxScale(direction="in"), box(1000, 1000, 1010, 1020), 1e4, 30)
    assert np.array_equal(boxes, np.tile([1005, 1010, 1005, 1010], (30, 1)))


@pytest.mark.parametrize(("level", "inner"), [(10.0, 0), (20.0, 10), (30.0, 20)])
@pytest.mark.parametrize("direction", ["any", "out", "in"])
def test_rings_of_edges(direction: Any, level: float, inner: int) -> None:
    outwards = shifts(BoxRing(direction=direction), LARGE, level, 400) * OUT
    distances = np.abs(outwards)
    assert (distances.min(), distances.max()) == (inner, level)
    if direction == "out":
        assert (outwards >= 0).all()
    elif direction == "in":
        assert (outwards <= 0).all()
    else:
        assert 0.4 < (outwards > 0).mean() < 0.6
        assert np.abs(np.corrcoef(np.sign(outwards).T) - np.eye(4)).max() < 0.2


def test_directions_of_a_ring_share_the_distances() -> None:
    far = {d: shifts(BoxRing(direction=d), LARGE, 100.0, 80) for d in ("any", "out", "in")}  # type: ignore[arg-type]
    assert np.abs(far["out"] + far["in"]).max() <= 1
    assert np.abs(np.abs(far["any"]) - np.abs(far["out"])).max() <= 1


def test_ring_of_edges_distribution() -> None:
    outwards = shifts(BoxRing(direction="out", width=200.0), LARGE, 500.0, 1000) * OUT
    for edge in range(4):
        assert stats.kstest((outwards[:, edge] - 300) / 200, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(outwards.T) - np.eye(4)).max() < 0.12


def test_a_rigid_ring_moves_the_box_as_a_click() -> None:
    found = shifts(BoxRing(mode="rigid"), LARGE, 30.0, 100)
    assert np.array_equal(found[:, :2], found[:, 2:])
    assert np.array_equal(found[:, :2], shifts(RingClick(), click(2000, 2000), 30.0, 100))


def test_inward_rings_never_cross() -> None:
    for x0, y0, x1, y1 in landed_of(BoxRing(direction="in"), box(2000, 2000, 2012, 2030), 30.0, 100):
        assert 2000 <= x0 <= x1 <= 2012
        assert 2000 <= y0 <= y1 <= 2030


@pytest.mark.parametrize(
    ("cls", "options", "why"),
    [
        (BoxGrow, {"sides": "both"}, "sides='both' must be one of each, same"),
        (BoxShrink, {"sides": 4}, "sides=4"),
        (BoxScale, {"direction": "up"}, "direction='up' must be one of any, out, in"),
        (BoxRing, {"mode": "corner"}, "mode='corner' must be one of edges, rigid"),
        (BoxRing, {"mode": "rigid", "direction": "out"}, "needs mode=edges"),
        (BoxRing, {"width": -2.0}, "width=-2.0 must be a finite number > 0"),
    ],
)
def test_refuses_bad_options(cls: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        cls(**options)


NOISES = [
    BoxEdges(), BoxShift(), BoxGrow(), BoxShrink(sides="same"), BoxScale(), BoxRing(), BoxRing(mode="rigid"),
    BoxRing(direction="in", width=0.5), BoxEdges(unit="box"), BoxEdges(border="reject"),
]  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(NOISES),
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0, 1e6),
    st.integers(0, 1000),
    st.data(),
)
def test_lands_inside_and_in_order(
    noise: Any, height: int, width: int, level: float, seed: int, data: st.DataObject
) -> None:
    case = small_case(np.ones((height, width), bool))
    xs = sorted(data.draw(st.tuples(*[st.integers(0, width - 1)] * 2)))
    ys = sorted(data.draw(st.tuples(*[st.integers(0, height - 1)] * 2)))
    [moved] = noise.perturb(Round((box(xs[0], ys[0], xs[1], ys[1]),)), case, draws(seed), level).prompts
    x0, y0, x1, y1 = moved.landed
    assert 0 <= x0 <= x1 < width
    assert 0 <= y0 <= y1 < height


def test_draws_do_not_depend_on_the_box() -> None:
    one, other = (shifts(BoxEdges(), b, 50.0, 30, WIDE) for b in (LARGE, box(100, 200, 3000, 3100)))
    assert np.array_equal(one, other)
