import hashlib
import pickle
import socket

import numpy as np
import pytest

from simclick.datasets.mni152 import MNI152
from simclick.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def cases():
    pytest.importorskip("nilearn", reason="mni152 needs the extra 'demo'")
    return list(MNI152())


def test_content_is_pinned(cases):
    digest = hashlib.sha256("".join(case.sha256() for case in cases).encode()).hexdigest()
    assert digest == "27cf07ef7a93c6ec0a1eada50f002559b83b3f040ff2d4ef22ba3b696caa7921"


def test_what_there_is(cases):
    assert len(cases) == 36
    assert len({case.case_id for case in cases}) == 36
    assert [case.case_id for case in cases[:4]] == [
        "axial_z-16_brain",
        "axial_z-16_grey-matter",
        "axial_z-16_white-matter",
        "axial_z+0_brain",
    ]
    assert {(case.group, case.modality, case.spacing) for case in cases} == {("mni152", "mr", (1.0, 1.0))}
    assert {case.size for case in cases} == {(233, 197), (189, 197), (189, 233)}
    assert "one brain" in MNI152().info.note
    for brain, grey, white in zip(cases[::3], cases[1::3], cases[2::3], strict=True):
        assert brain.image_sha256() == grey.image_sha256() == white.image_sha256()
        assert not (grey.truth & white.truth).any()
        assert white.truth.sum() > 3000
        assert (brain.truth | ~(grey.truth | white.truth)).mean() > 0.99
        assert grey.image[grey.truth].mean() < white.image[white.truth].mean()  # T1


def test_orientation(cases):
    by_id = {case.case_id: case for case in cases}
    # The sagittal slice shows the cerebellum low and, with anterior at the left, to the right.
    brain = by_id["sagittal_x-8_brain"].truth
    rows, columns = np.argwhere(brain).mean(axis=0)
    lowest = np.argwhere(brain)[-50:, 1].mean()
    assert lowest > columns
    assert rows < brain.shape[0] * 0.7


@pytest.mark.slow  # importing nilearn takes long
def test_equal_to_nilearns_own_loaders(cases):
    loaders = pytest.importorskip("nilearn.datasets")
    template = loaders.load_mni152_template(resolution=1)
    grey = loaders.load_mni152_gm_template(resolution=1).get_fdata()
    mask = loaders.load_mni152_brain_mask(resolution=1).get_fdata()
    index = int(np.rint((np.linalg.inv(template.affine) @ [0, 0, 16, 1])[2]))
    by_id = {case.case_id: case for case in cases}

    def shown(volume):
        return volume[:, :, index][::-1, ::-1].T

    np.testing.assert_array_equal(by_id["axial_z+16_brain"].truth, shown(mask) > 0)
    np.testing.assert_array_equal(by_id["axial_z+16_grey-matter"].truth, shown(grey) >= 0.5)
    picture = by_id["axial_z+16_brain"].image[..., 0] / 255.0
    np.testing.assert_allclose(picture, shown(template.get_fdata()), atol=1e-6)


def test_the_network_is_never_touched_and_nothing_heavy_travels(cases, monkeypatch):
    def never(*_args, **_kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", never)
    dataset = MNI152()
    reference = dataset.references()[-1]
    assert dataset.load(reference).sha256() == cases[-1].sha256()
    assert str(reference) == "sagittal_x+24_white-matter"
    assert len(pickle.dumps(dataset)) < 2000
    assert pickle.loads(pickle.dumps(dataset)).load(reference).sha256() == cases[-1].sha256()


def test_without_nilearn(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"pip install 'simclick\[demo\]'"):
        MNI152()


def test_a_nilearn_without_the_files(cases, monkeypatch, tmp_path):
    monkeypatch.setattr("simclick.datasets.mni152._nilearn_data", lambda: tmp_path)
    with pytest.raises(DataError, match="no such file"):
        next(iter(MNI152()))
