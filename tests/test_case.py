from __future__ import annotations

import pickle

import numpy as np
import pytest

from simclick.errors import DataError
from support import make_case


def test_arrays_are_read_only_and_shared_not_copied() -> None:
    image = np.zeros((5, 6, 3), np.uint8)
    case = make_case(image=image, truth=np.zeros((5, 6), bool))
    assert np.shares_memory(case.image, image)
    assert image.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        case.image[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        case.truth[0] = True


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": np.zeros((40, 48), np.uint8)}, "UInt8"),
        ({"image": np.zeros((40, 48, 3), np.float32)}, "UInt8"),
        ({"truth": np.zeros((40, 48), np.uint8)}, "mask is uint8"),
        ({"truth": np.zeros((40, 47), bool)}, "mask is bool"),
        ({"image": np.zeros((0, 48, 3), np.uint8), "truth": np.zeros((0, 48), bool)}, "no pixels"),
        ({"spacing": (0.0, 1.0)}, "spacing"),
        ({"spacing": (float("nan"), 1.0)}, "spacing"),
        ({"ignore": np.zeros((4, 4), bool)}, "ignore"),
    ],
)
def test_bad_content_is_named(changes: dict[str, object], why: str) -> None:
    with pytest.raises(DataError, match=f"toy/case-000.*{why}"):
        make_case(**changes)


def test_hash_changes_with_content_and_only_with_content() -> None:
    case = make_case()
    flipped = case.truth.copy()
    flipped[0, 0] ^= True
    changed = [
        make_case(truth=flipped),
        make_case(spacing=(1.0, 1.0)),
        make_case(group="other"),
        make_case(target="other"),
        make_case(ignore=np.zeros((40, 48), bool)),
        make_case(image=case.image ^ 1),
    ]
    hashes = {c.sha256() for c in changed}
    assert len(hashes) == len(changed)
    assert case.sha256() not in hashes
    assert (
        case.sha256()
        == make_case(factors={"noise": 1.0}).sha256()
        == pickle.loads(pickle.dumps(case)).sha256()
    )
    assert make_case(image=np.asfortranarray(case.image)).sha256() == case.sha256()


def test_arrays_stay_read_only_through_pickle() -> None:
    case = pickle.loads(pickle.dumps(make_case()))
    assert not case.image.flags.writeable
    assert not case.truth.flags.writeable


def test_unit_follows_spacing() -> None:
    assert make_case().unit == "px"
    assert make_case(spacing=(0.7, 0.7)).unit == "mm"
