from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.envs.rendering import COLOURS, crop_around, draw, factor_for
from simclick.prompts import Round, box, click, everything, scribble, text

GREY = np.full((64, 64, 3), 100, np.uint8)


def shape(image, *prompts, **options):
    """Which pixels of the picture the prompts change, Bool[h, w]."""
    rounds = [Round((prompt,)) for prompt in prompts]
    return (draw(image, rounds=rounds, **options) != draw(image, **options)).any(axis=2)


def close_to(picture, colour, tolerance=40):
    return (np.abs(picture.astype(int) - colour) <= tolerance).all(axis=2)


@pytest.mark.parametrize(
    "size,factor",
    [((1, 1), 512), ((7, 13), 40), ((256, 256), 2), ((300, 200), 2), ((512, 100), 1), ((2000, 9), 1)],
)
def test_the_longer_side_reaches_512_pixels(size, factor):
    assert factor_for(size) == factor
    assert draw(np.zeros((*size, 3), np.uint8)).shape == (size[0] * factor, size[1] * factor, 3)


@pytest.mark.parametrize("size,factor", [((20, 30), None), ((20, 30), 1), ((20, 30), 3), ((600, 40), None)])
def test_where_nothing_is_drawn_the_picture_is_the_enlarged_image(size, factor):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    f = factor or factor_for(size)
    expected = cv2.resize(image, (size[1] * f, size[0] * f), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(draw(image, factor=factor), expected)
    corner = draw(image, rounds=[Round((click(size[1] - 1, size[0] - 1),))], factor=factor)
    assert np.array_equal(corner[: 5 * f, : 5 * f], expected[: 5 * f, : 5 * f])


def test_arguments_stay_as_they_are_and_the_picture_is_new():
    image, mask = GREY.copy(), np.eye(64, dtype=bool)
    draw(image, mask, mask, [Round((click(5, 5),))])
    assert np.array_equal(image, GREY)
    assert np.array_equal(mask, np.eye(64, dtype=bool))
    draw(image, mask=mask, factor=1)
    assert np.array_equal(image, GREY)
    big = np.zeros((2100, 9, 3), np.uint8)
    big.flags.writeable = False
    picture = draw(big)
    picture[:] = 1
    assert not np.shares_memory(picture, big)


def test_the_mask_is_tinted_exactly_and_outlined():
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    picture = draw(GREY, mask=mask)
    tint = np.rint(100 * 0.65 + np.array(COLOURS["mask"]) * 0.35).astype(np.uint8)
    assert (picture[8 * 20 : 8 * 44, 8 * 20 : 8 * 44] == tint).all()
    outside = np.ones(picture.shape[:2], bool)
    outside[8 * 16 - 3 : 8 * 48 + 3, 8 * 16 - 3 : 8 * 48 + 3] = False
    assert (picture[outside] == 100).all()
    edge = picture[8 * 32, 8 * 16 - 3 : 8 * 16 + 4]
    assert close_to(edge[None], COLOURS["mask"]).any()


def test_the_truth_is_drawn_only_where_it_is_given_and_dashed():
    truth = np.zeros((64, 64), bool)
    truth[16:48, 16:48] = True
    mask = np.zeros((64, 64), bool)
    without = draw(GREY, mask=mask)
    assert not close_to(without, COLOURS["truth"]).any()
    picture = draw(GREY, truth, mask)
    top = close_to(picture[8 * 16 - 3 : 8 * 16 + 4, 8 * 18 : 8 * 46], COLOURS["truth"], 60).any(axis=0)
    assert 0.2 < top.mean() < 0.8
    assert np.count_nonzero(np.diff(top.astype(int))) >= 10
    assert (picture[8 * 20 : 8 * 44, 8 * 20 : 8 * 44] == 100).all()


def test_a_click_is_centred_on_its_pixel():
    """The badge's inner disc, without the number, by its centre of mass."""
    for x, y in ((10, 20), (40, 50)):
        drawn = close_to(draw(GREY, rounds=[Round((click(x, y),))]), COLOURS["positive"])
        rows, columns = np.nonzero(drawn)
        assert rows.mean() == pytest.approx(8 * y + 3.5, abs=0.2)
        assert columns.mean() == pytest.approx(8 * x + 3.5, abs=0.2)


def test_positive_and_negative_differ_without_colour():
    at = 8 * 32 + 3
    plus, minus = (draw(GREY, rounds=[Round((click(32, 32, p),))]).mean(axis=2) for p in (True, False))
    for grey in (plus, minus):
        assert grey[at, at - 2 : at + 3].min() > 200  # The bar across is there in both.
    assert plus[at - 2 : at + 3, at].min() > 200
    assert minus[at - 3, at] < 150
    assert minus[at + 4, at] < 150


def test_the_number_of_the_round_is_beside_the_badge():
    rounds = [Round((click(32, 32),)), Round((click(10, 10), click(50, 50)))]
    base = draw(GREY, rounds=rounds)
    swapped = draw(GREY, rounds=rounds[::-1])
    changed = (base != swapped).any(axis=2)
    assert changed.any()
    for x, y in ((32, 32), (10, 10), (50, 50)):
        badge = np.s_[8 * y - 4 : 8 * y + 12, 8 * x - 4 : 8 * x + 12]
        assert np.array_equal(base[badge], swapped[badge])
    assert (changed[8 * 28 : 8 * 37, 8 * 28 : 8 * 37]).any()


@pytest.mark.parametrize("shade", [0, 255])
def test_a_number_can_be_read_on_black_and_on_white(shade):
    one, eight = (
        draw(np.full_like(GREY, shade), rounds=[Round((everything(),))] * n + [Round((click(32, 32),))])
        for n in (0, 7)
    )
    for picture, other in ((one, eight), (eight, one)):
        ink = picture[(picture != other).any(axis=2)]
        assert (ink.min(axis=1) > 230).sum() > 10
        assert (ink.max(axis=1) < 40).sum() > 5


def test_a_number_at_the_border_stays_in_the_picture():
    def digits(x, y):
        """Pixels in which the numbers 1 and 8 differ."""
        later = [*[Round((everything(),))] * 7, Round((click(x, y),))]
        return (draw(GREY, rounds=later) != draw(GREY, rounds=later[-1:])).any(axis=2).sum()

    for x, y in product((0, 32, 63), repeat=2):
        assert digits(x, y) > 0.8 * digits(32, 32)


def test_a_moved_click_shows_where_it_was_meant():
    moved = click(10, 10).moved((40, 30))
    plain = shape(GREY, click(40, 30))
    both = shape(GREY, moved)
    assert (both | ~plain).all()
    extra = both & ~plain
    assert extra[8 * 10 - 4 : 8 * 10 + 12, 8 * 10 - 4 : 8 * 10 + 12].any()
    assert extra[8 * 20 + 3, 8 * 25 - 8 : 8 * 25 + 16].any()  # Half way: the line that joins them.
    assert not extra[8 * 10 + 3 : 8 * 10 + 5, 8 * 10 + 3 : 8 * 10 + 5].any()  # The mark is hollow.
    seen = draw(GREY, rounds=[Round((moved,)).seen()])
    assert np.array_equal(seen, draw(GREY, rounds=[Round((click(40, 30),))]))


def test_a_box_goes_around_its_last_pixels_and_its_meaning_is_dashed():
    drawn = close_to(draw(GREY, rounds=[Round((box(20, 24, 40, 44),))]), COLOURS["positive"])
    rows, columns = np.nonzero(drawn[:, 8 * 24 :])  # Without the badge in the corner.
    assert abs(rows.min() - 8 * 24) <= 3
    assert abs(rows.max() - (8 * 45 - 1)) <= 3
    assert abs(columns.max() + 8 * 24 - (8 * 41 - 1)) <= 3
    moved = box(10, 10, 30, 30).moved((20, 24, 40, 44))
    extra = shape(GREY, moved) & ~shape(GREY, box(20, 24, 40, 44))
    side = extra[8 * 12 : 8 * 22, 8 * 10 - 2 : 8 * 10 + 3].any(axis=1)
    assert 0.2 < side.mean() < 0.95
    assert np.count_nonzero(np.diff(side.astype(int))) >= 4


def test_a_scribble_passes_through_its_points_and_is_not_closed():
    drawn = shape(GREY, scribble([(10, 10), (50, 10), (50, 50)], False))
    for x, y in ((10, 10), (30, 10), (50, 10), (50, 30), (50, 50)):
        assert drawn[8 * y + 3, 8 * x + 3]
    assert not drawn[8 * 30 - 8 : 8 * 30 + 8, 8 * 30 - 8 : 8 * 30 + 8].any()


def test_prompts_without_a_place_are_not_drawn():
    rounds = [Round((text("liver"), everything()))]
    assert np.array_equal(draw(GREY, rounds=rounds), draw(GREY))


def test_lines_grow_with_the_picture():
    areas = [
        shape(np.full((n, n, 3), 100, np.uint8), click(n // 2, n // 2)).mean() for n in (512, 1024, 1536)
    ]
    assert areas[1] == pytest.approx(areas[0], rel=0.25)
    assert areas[2] == pytest.approx(areas[0], rel=0.25)


def test_a_crop_shows_that_part_and_no_outline_where_the_mask_goes_on():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (100, 120, 3), dtype=np.uint8)
    picture = draw(image, crop=(30, 20, 69, 49), factor=2)
    part = cv2.resize(image[20:50, 30:70], (80, 60), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(picture, part)
    mask = np.ones((100, 120), bool)
    flat = np.full((100, 120, 3), 100, np.uint8)
    inner = draw(flat, mask, mask, crop=(30, 20, 69, 49))
    assert (inner == inner[0, 0]).all()
    assert not (draw(flat, mask, mask) == draw(flat, mask, mask)[50, 50]).all()  # The image's edge has one.
    a = draw(flat, rounds=[Round((click(50, 30),))], crop=(30, 20, 69, 49))
    b = draw(flat[20:50, 30:70], rounds=[Round((click(20, 10),))])
    assert np.array_equal(a, b)
    outside = draw(flat, rounds=[Round((click(5, 5),))], crop=(30, 20, 69, 49))
    assert np.array_equal(outside, draw(flat, crop=(30, 20, 69, 49)))


@pytest.mark.parametrize(
    "options,message",
    [
        ({"mask": np.zeros((3, 3), bool)}, r"the mask is bool\[3, 3\]"),
        ({"truth": np.zeros((64, 64), np.uint8)}, r"the truth is uint8"),
        ({"factor": 0}, "factor must be"),
        ({"crop": (0, 0, 64, 10)}, "crop"),
        ({"crop": (9, 0, 3, 10)}, "crop"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        draw(GREY, **options)
    with pytest.raises(ValueError, match="image"):
        draw(np.zeros((4, 4), np.uint8))


def test_crop_around_by_hand():
    mask = np.zeros((200, 300), bool)
    mask[100:121, 150:191] = True  # 41 wide, 21 high: 41 and 20 more on every side, square.
    assert crop_around([mask]) == (130, 70, 210, 150)
    assert crop_around([mask], margin=0.0) == (134, 74, 206, 146)  # At least 16 pixels.
    assert crop_around([np.zeros((200, 300), bool)]) == (0, 0, 299, 199)
    corner = np.zeros((200, 300), bool)
    corner[0, 0] = True
    assert crop_around([corner]) == (0, 0, 32, 32)
    assert crop_around([mask], [Round((click(0, 110),))]) == (0, 0, 299, 199)
    assert crop_around([corner, np.zeros((200, 300), bool)], [Round((click(9, 3),))]) == (0, 0, 41, 41)


SIDES = st.integers(1, 40)
COORDINATE = st.integers(-5, 45)
PROMPTS = st.one_of(
    st.builds(
        lambda x, y, p, m: click(x, y, p).moved(m),
        COORDINATE,
        COORDINATE,
        st.booleans(),
        st.tuples(COORDINATE, COORDINATE),
    ),
    st.builds(box, COORDINATE, COORDINATE, COORDINATE, COORDINATE),
    st.builds(scribble, st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=5), st.booleans()),
)


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, st.lists(PROMPTS, max_size=6), st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_any_prompts_on_any_size_give_the_same_picture_twice(height, width, prompts, seed, factor):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    truth, mask = rng.random((2, height, width)) < 0.4
    rounds = [Round((prompt,)) for prompt in prompts]
    picture = draw(image, truth, mask, rounds, factor=factor)
    assert picture.shape == (height * factor, width * factor, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, draw(image, truth, mask, rounds, factor=factor))
    x0, y0, x1, y1 = crop_around([truth, mask])
    assert 0 <= x0 <= x1 < width
    assert 0 <= y0 <= y1 < height
    rows, columns = np.nonzero(truth | mask)
    assert ((rows >= y0) & (rows <= y1) & (columns >= x0) & (columns <= x1)).all()
