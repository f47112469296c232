from __future__ import annotations

from itertools import product

import numpy as np

from simclick.envs.canvas import Canvas


def test_what_leaves_the_picture_is_cut_off_in_its_place():
    """A cover laid over a border equals the same cover on a wider picture, cut to the border."""
    rng = np.random.default_rng(0)
    cover = rng.integers(0, 256, (9, 7), dtype=np.uint8)
    picture = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for x, y in product((-8, -3, 0, 5, 26, 40), repeat=2):
        wide, narrow = (Canvas(p, 1) for p in (picture, picture[20:50, 20:50]))
        fine = wide._fine
        big = cover.repeat(fine, axis=0).repeat(fine, axis=1)
        wide._blend(big, ((x + 20) * fine, (y + 20) * fine), (9, 99, 199))
        narrow._blend(big, (x * fine, y * fine), (9, 99, 199))
        assert np.array_equal(wide.picture()[20:50, 20:50], narrow.picture())
