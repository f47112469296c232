import math
import pickle

import numpy as np
import pytest
from scipy import ndimage

from simclick.metrics.surface import Surface, SurfaceTruth, border, measure_surface

INF = math.inf


def masks(seed, n, shapes=((1, 1), (1, 9), (7, 1), (5, 5), (6, 9), (12, 12), (16, 11))):
    """Random and degenerate masks: empty, full, single pixels, lines, checkerboards, holes, blobs."""
    rng = np.random.default_rng(seed)
    for k in range(n):
        shape = shapes[k % len(shapes)]
        kind = k // len(shapes) % 9
        mask = np.zeros(shape, dtype=bool)
        if kind == 1:
            mask[:] = True
        elif kind == 2:
            mask[rng.integers(shape[0]), rng.integers(shape[1])] = True
        elif kind == 3:
            mask[rng.integers(shape[0])] = True
        elif kind == 4:
            mask[np.indices(shape).sum(0) % 2 == 0] = True
        elif kind == 5:
            mask[:] = True
            mask[shape[0] // 4 : -(shape[0] // 4) or None, shape[1] // 4 : -(shape[1] // 4) or None] = False
        elif kind == 6:
            mask = ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > 0.05
        elif kind == 7:
            mask = rng.random(shape) < rng.random()
        elif kind == 8:
            mask[shape[0] // 3 :, : shape[1] // 2 + 1] = True
        yield mask


def pairs(seed, n):
    """Pairs of one shape; a third are a mask and a slightly changed copy."""
    rng = np.random.default_rng(seed + 1)
    first = list(masks(seed, n))
    by_shape = {}
    for mask in first:
        by_shape.setdefault(mask.shape, []).append(mask)
    for k, mask in enumerate(first):
        if k % 3 == 0:
            yield mask, mask ^ (rng.random(mask.shape) < 0.1)
        else:
            others = by_shape[mask.shape]
            yield mask, others[rng.integers(len(others))]


def naive_border(mask):
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def naive(a, b, tolerance, spacing=(1.0, 1.0)):
    """All pairs of border pixels; NumPy's own percentile."""
    pa, pb = (np.argwhere(naive_border(m)) * np.array(spacing) for m in (a, b))
    if not len(pa) or not len(pb):
        return (0.0, 0.0, 0.0, 1.0) if len(pa) == len(pb) else (INF, INF, INF, 0.0)
    distances = np.sqrt(((pa[:, None] - pb[None]) ** 2).sum(-1))
    ab, ba = distances.min(1), distances.min(0)
    both = np.concatenate([ab, ba])
    return (
        both.max(),
        max(np.percentile(ab, 95), np.percentile(ba, 95)),
        both.mean(),
        np.mean(both <= tolerance + 1e-7),
    )


def as_tuple(s: Surface):
    return (s.hd, s.hd95, s.assd, s.nsd)


@pytest.mark.parametrize("spacing", [None, (0.7, 0.7), (0.5, 1.25), (3.0, 0.4)])
def test_equals_all_pairs_of_border_pixels(spacing):
    for k, (a, b) in enumerate(pairs(3, 1000)):
        tolerance = (0.0, 0.5, 1.0, 2.0, 1.4)[k % 5]
        expected = naive(a, b, tolerance, spacing or (1.0, 1.0))
        np.testing.assert_allclose(as_tuple(measure_surface(a, b, tolerance, spacing)), expected, atol=2e-9)


def test_border_equals_shifted_masks_and_scipys_erosion():
    for mask in masks(7, 400):
        found = border(mask)
        np.testing.assert_array_equal(found, naive_border(mask))
        np.testing.assert_array_equal(found, mask & ~ndimage.binary_erosion(mask))


def test_symmetric_and_blind_to_transposition():
    for a, b in pairs(11, 300):
        result = measure_surface(a, b, 1.0, (0.5, 1.25))
        assert result == measure_surface(b, a, 1.0, (0.5, 1.25))
        turned = measure_surface(a.T, b.T, 1.0, (1.25, 0.5))
        assert as_tuple(turned) == pytest.approx(as_tuple(result), abs=1e-9)


def test_equal_spacing_scales_pixels():
    for a, b in pairs(13, 200):
        px, mm = measure_surface(a, b, 2.0), measure_surface(a, b, 1.0, (0.5, 0.5))
        assert (mm.hd, mm.hd95, mm.assd) == pytest.approx((px.hd / 2, px.hd95 / 2, px.assd / 2), abs=1e-9)
        assert mm.nsd == px.nsd


def test_hand_computed():
    a, b = np.zeros((1, 30), dtype=bool), np.zeros((1, 30), dtype=bool)
    a[0, :21] = True
    b[0, :1] = True
    # a -> b: 0, 1, ..., 20 (95th percentile 19); b -> a: 0.
    assert measure_surface(a, b, 4) == Surface(hd=20.0, hd95=19.0, assd=round(210 / 22, 9), nsd=6 / 22)
    ten = np.arange(10)[None] >= 0
    # Ten pixels: the percentile lies 0.55 of the way from the ninth to the tenth.
    assert measure_surface(ten, np.arange(10)[None] == 0, 0).hd95 == 8.55


def test_hd95_is_the_larger_direction_and_not_the_pool():
    a, b = np.zeros((1, 60), dtype=bool), np.zeros((1, 60), dtype=bool)
    a[0, 0] = a[0, 50] = True
    b[0, :40] = True
    # a -> b: 0 and 11; b -> a: at most 20, in the middle. Pooled, the percentile would be lower.
    to_b, to_a = [0, 11], [min(i, 50 - i) for i in range(40)]
    pooled = np.percentile(to_b + to_a, 95)
    expected = max(np.percentile(to_b, 95), np.percentile(to_a, 95))
    assert measure_surface(a, b, 1).hd95 == expected
    assert expected != pooled


def test_the_image_edge_is_outside_the_mask():
    full = np.ones((5, 5), dtype=bool)
    assert border(full).sum() == 16
    core = np.zeros((5, 5), dtype=bool)
    core[2, 2] = True
    assert measure_surface(full, core, 2).hd == pytest.approx(math.sqrt(8), abs=1e-9)


def test_empty_masks():
    empty, dot = np.zeros((4, 4), dtype=bool), np.eye(4, dtype=bool)
    assert measure_surface(empty, empty, 0) == Surface(0.0, 0.0, 0.0, 1.0)
    for a, b in ((empty, dot), (dot, empty)):
        assert measure_surface(a, b, 100) == Surface(INF, INF, INF, 0.0)
    assert measure_surface(dot, dot, 0) == Surface(0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("spacing, tolerance", [((0.1, 0.1), 0.3), ((0.1, 7.0), 0.3), ((0.7, 0.7), 2.1)])
def test_a_distance_equal_to_the_tolerance_is_within(spacing, tolerance):
    a, b = np.zeros((9, 3), dtype=bool), np.zeros((9, 3), dtype=bool)
    a[1, 1] = b[4, 1] = True
    assert measure_surface(a, b, tolerance, spacing).nsd == 1.0
    assert measure_surface(a, b, tolerance - 1e-6, spacing).nsd == 0.0


def test_ignored_pixels_leave_both_masks():
    rng = np.random.default_rng(5)
    for a, b in pairs(17, 200):
        ignore = rng.random(a.shape) < 0.2
        assert measure_surface(a, b, 1, None, ignore) == measure_surface(a & ~ignore, b & ~ignore, 1)


def test_one_truth_measures_many_masks_and_travels():
    shape = (40, 30)
    truth = np.zeros(shape, dtype=bool)
    truth[10:20, 5:25] = True
    kept = SurfaceTruth(truth, (0.5, 0.5))
    for k in range(5):
        mask = np.roll(truth, k, axis=1)
        assert kept.measure(mask, 1.0) == measure_surface(mask, truth, 1.0, (0.5, 0.5))
    mask = np.asfortranarray(np.roll(truth, 3, axis=0))
    assert pickle.loads(pickle.dumps(kept)).measure(mask, 1.0) == kept.measure(mask.copy(), 1.0)


def test_far_apart_in_a_large_image():
    a, b = np.zeros((3000, 3000), dtype=bool), np.zeros((3000, 3000), dtype=bool)
    a[0, 0] = b[2999, 2998] = True
    assert measure_surface(a, b, 1).hd == round(math.sqrt(2999**2 + 2998**2), 9)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": math.nan}, "tolerance"),
        ({"spacing": (0.0, 1.0)}, "spacing"),
        ({"mask": np.zeros((4, 5), dtype=bool)}, r"bool\[4, 4\]"),
        ({"mask": np.zeros((4, 4), dtype=np.uint8)}, r"bool\[4, 4\]"),
        ({"ignore": np.zeros((4, 5), dtype=bool)}, r"bool\[4, 4\]"),
        ({"truth": np.zeros(4, dtype=bool)}, "Bool"),
    ],
)
def test_wrong_input_is_refused(change, message):
    good = {"mask": np.eye(4, dtype=bool), "truth": np.eye(4, dtype=bool), "tolerance": 1.0}
    with pytest.raises(ValueError, match=message):
        measure_surface(**{**good, **change})


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [None, (0.5, 0.5), (0.5, 1.25)])
def test_equals_monai(spacing):
    monai = pytest.importorskip("monai.metrics", reason="MONAI is not installed")
    torch = pytest.importorskip("torch")
    options = {"include_background": True} | ({} if spacing is None else {"spacing": spacing})
    for a, b in pairs(19, 1200):
        if not a.any() or not b.any():
            continue  # MONAI gives NaN here; ours is defined, and tested above
        ta, tb = (torch.from_numpy(m[None, None].copy()) for m in (a, b))
        ours = measure_surface(a, b, 1.0, spacing)
        expected = (
            monai.compute_hausdorff_distance(ta, tb, **options).item(),
            monai.compute_hausdorff_distance(ta, tb, percentile=95, **options).item(),
            monai.compute_average_surface_distance(ta, tb, symmetric=True, **options).item(),
            monai.compute_surface_dice(ta, tb, class_thresholds=[1.0], **options).item(),
        )
        assert as_tuple(ours) == pytest.approx(expected, abs=2e-5)
