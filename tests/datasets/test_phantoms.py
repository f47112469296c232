"""The generated data set: what it holds, and that it is the same everywhere."""

import ast
import hashlib
import inspect
import os
import pickle
import subprocess
import sys
from collections import defaultdict
from importlib import resources
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import ndimage, stats

import simclick.datasets.phantom
from simclick.datasets.phantom import FAMILIES
from simclick.datasets.phantoms import Phantoms
from simclick.errors import ConfigError

PINNED = "9d049fd3aca1fa635bf6e6760bd57e1f8bd6ea4beb34b811502a56774db4147a"
"""Over all default cases. Whoever changes a picture changes this and raises the data set's version."""

PLANTED = ("planted_contrast", "planted_noise", "planted_raggedness")


@pytest.fixture(scope="module")
def cases():
    return list(Phantoms())


def digest(cases):
    return hashlib.sha256("".join(case.sha256() for case in cases).encode()).hexdigest()


def test_default_is_pinned(cases):
    assert digest(cases) == PINNED


CHILD = """
import hashlib, itertools
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from simclick.datasets.phantoms import Phantoms
print(",".join(name for name in __cpu_dispatch__ if __cpu_features__[name]))
for case in itertools.islice(Phantoms(), {count}):
    print(case.sha256())
"""


def test_same_without_processor_features(cases):
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    optional = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    if not optional:
        pytest.skip("this processor has none of the features that NumPy can do without")
    count = sum(len(family.targets) for family in FAMILIES.values())  # one image of every family
    out = subprocess.run(
        [sys.executable, "-c", CHILD.format(count=count)],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": ",".join(optional)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert out[0] == ""  # the features are really off
    assert out[1:] == [case.sha256() for case in cases[:count]]


# What IEEE 754 fixes to the last bit, integer and logical operations, and moving values about.
EXACT_NUMPY = {
    "abs", "add", "arange", "argmax", "array", "asarray", "ascontiguousarray", "bincount", "bool_",
    "broadcast_arrays", "broadcast_to", "clip", "copyto", "float64", "floor", "frexp", "full",
    "full_like", "int32", "intp", "ldexp", "maximum", "minimum", "ones", "pad", "repeat",
    "searchsorted", "sqrt", "stack", "uint64", "uint8", "where", "zeros",
}  # fmt: skip
EXACT_MATH = {"ceil", "prod", "sqrt"}


SOURCES = sorted(Path(simclick.datasets.phantom.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "factors.py"], ids=lambda p: p.stem)
def test_pictures_use_exact_operations_only(path):
    """All files but `factors.py`, which measures pictures in integers and draws none."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            allowed = {"np": EXACT_NUMPY, "math": EXACT_MATH, "ndimage": {"label"}}.get(node.value.id)
            assert allowed is None or node.attr in allowed, f"{path.name}: {node.value.id}.{node.attr}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"sum", "mean", "std", "dot", "cumsum"}, f"{path.name}: .{node.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            # Python 3.12 adds floats up in another way than 3.11 does.
            assert node.func.id not in {"sum", "pow"}, f"{path.name}: {node.func.id}()"
        assert not isinstance(node, ast.MatMult), path.name
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            assert isinstance(node.left, ast.Constant), path.name
            assert isinstance(node.left.value, int), path.name


def test_size_of_the_default(cases):
    assert len({case.family for case in cases}) >= 8
    assert len({case.group for case in cases}) >= 24
    assert 72 <= len(cases) <= 130
    assert len({case.case_id for case in cases}) == len(cases)
    per_group = defaultdict(set)
    for case in cases:
        per_group[case.group].add(case.image_sha256())
    assert all(len(images) == 2 for images in per_group.values())
    assert any(case.size[0] != case.size[1] for case in cases)
    assert any(case.spacing and case.spacing[0] != case.spacing[1] for case in cases)
    assert any(case.spacing is None for case in cases)


def test_beginnings_are_varied(cases):
    assert len({case.family for case in cases[:24]}) == len(FAMILIES)
    assert len({case.group for case in cases[:48]}) >= 20
    assert len({case.group for case in cases[:63]}) == 30


def test_targets_of_an_image_are_neighbours_and_share_its_array(cases):
    runs = 1
    for before, case in pairwise(cases):
        if before.group == case.group and np.shares_memory(before.image, case.image):
            assert before.image_sha256() == case.image_sha256()
        else:
            runs += 1
    assert runs == len({case.image_sha256() for case in cases}) == 60


def hard_kinds(case):
    f = case.factors
    return {
        "large": f["area_fraction"] > 0.1,
        "tiny": f["area_px"] < 50,
        "ring": f["components"] == 1 and f["holes"] == 1,
        "several parts": f["components"] >= 5,
        "a pair": f["components"] == 2,
        "at the border": f["touches_border"] == 1,
        "low contrast": f["contrast_to_noise"] < 0.6,
        "thin and branching": f["area_px"] > 3000 and thickness(case.truth) < 3,
        "ragged": f["complexity"] > 1.8 and f["components"] == 1 and f["holes"] == 0,
    }


def thickness(mask):
    """Return the mean half width of a mask: twice the mean distance to its edge."""
    return 2 * ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][mask].mean()


def test_hard_kinds_of_target_are_there(cases):
    groups = defaultdict(set)
    for case in cases:
        for kind, there in hard_kinds(case).items():
            if there:
                groups[kind].add(case.group)
    short = {kind: len(groups[kind]) for kind in hard_kinds(cases[0]) if len(groups[kind]) < 3}
    assert not short


def test_named_targets_are_what_they_say(cases):
    by_target = defaultdict(list)
    for case in cases:
        by_target[case.family, case.target].append(case.factors)
    assert all(f["area_px"] < 50 for f in by_target["ct-abdomen", "liver-lesion"])
    assert all(f["area_px"] < 50 for f in by_target["chest-xray", "nodule"])
    assert all(f["holes"] == 1 and f["components"] == 1 for f in by_target["mr-cardiac", "myocardium"])
    assert all(f["components"] == 2 for f in by_target["ct-abdomen", "kidneys"])
    assert all(f["components"] == 2 for f in by_target["chest-xray", "lungs"])
    assert all(f["components"] > 12 and f["touches_border"] for f in by_target["nuclei", "nuclei"])
    assert any(f["touches_border"] for f in by_target["ct-abdomen", "liver"])


def aligned_overlap(a, b):
    """Return the Dice overlap of two masks moved to a common centre."""
    rows, columns = (round(x - y) for x, y in zip(centre(a), centre(b), strict=True))
    b = np.roll(b, (rows, columns), (0, 1))
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def centre(mask):
    return tuple(float(np.mean(axis)) for axis in np.nonzero(mask))


def test_slices_of_a_group_share_anatomy(cases):
    kin, strangers = defaultdict(list), defaultdict(list)
    for a, b in combinations(cases, 2):
        if (a.family, a.target, a.size) == (b.family, b.target, b.size):
            overlap = aligned_overlap(a.truth, b.truth)
            (kin if a.group == b.group else strangers)[a.family, a.target].append(overlap)
    alike = {key: np.mean(kin[key]) - np.mean(strangers[key]) for key in kin}
    # Round targets fit each other whoever they belong to; wherever shape tells, kin must tell.
    assert all(gain > -0.02 for gain in alike.values()), alike
    assert np.median(list(alike.values())) > 0.1


def test_slices_of_a_group_differ(cases):
    truths = defaultdict(set)
    for case in cases:
        truths[case.group, case.target].add(case.truth.tobytes())
    assert all(len(found) == 2 for found in truths.values())


def test_factors_are_finite_and_the_same_keys(cases):
    keys = set(cases[0].factors)
    assert set(PLANTED) < keys
    for case in cases:
        assert set(case.factors) == keys
        assert all(np.isfinite(value) for value in case.factors.values())
        assert 0.25 <= case.factors["planted_contrast"] <= 1
        assert 0.25 <= case.factors["planted_noise"] <= 1.5
        assert 0 <= case.factors["planted_raggedness"] <= 1


def rank_correlation(rows, a, b):
    return stats.spearmanr([row[a] for row in rows], [row[b] for row in rows]).statistic


@pytest.mark.parametrize("seed", range(8))
def test_planted_factors_are_independent_and_spread(seed):
    data = Phantoms(seed=seed)
    studies = [(data._study(reference), reference.target) for reference in data.references()]
    rows = [
        dict(zip(PLANTED, (study.contrast[target], study.noise, study.raggedness[target]), strict=True))
        for study, target in studies
    ]
    for a, b in combinations(PLANTED, 2):
        assert abs(rank_correlation(rows, a, b)) < 0.2
    for name, low, high in zip(PLANTED, (0.25, 0.25, 0), (1, 1.5, 1), strict=True):
        shares = np.histogram([row[name] for row in rows], bins=4, range=(low, high))[0] / len(rows)
        assert shares.min() > 0.15


def test_planted_effects_can_be_measured(cases):
    """Within a target, more of what was planted is measured: contrast at most targets, noise at all."""
    targets = defaultdict(list)
    for case in cases:
        targets[case.family, case.target].append(case.factors)
    for planted, measured, least in (
        ("planted_contrast", "contrast", 0.5),
        ("planted_noise", "noise", 0.9),
    ):
        effects = [rank_correlation(rows, planted, measured) for rows in targets.values()]
        assert np.median(effects) > least


@pytest.mark.parametrize("family", FAMILIES)
def test_raggedness_alone_raises_complexity(family):
    from dataclasses import replace

    from simclick.datasets.phantom.factors import measured_factors

    data = Phantoms(families=[family])
    gains = []
    for reference in data.references()[: len(FAMILIES[family].targets)]:
        study = data._study(reference)
        smooth, ragged = (
            FAMILIES[family].draw(replace(study, raggedness=dict.fromkeys(study.raggedness, value)))
            for value in (0.0, 1.0)
        )
        before, after = (
            measured_factors(picture.image, picture.masks[reference.target])["complexity"]
            for picture in (smooth, ragged)
        )
        gains.append(after / before)
    assert max(gains) > 1.1
    assert min(gains) > 0.95


def test_a_case_depends_on_its_reference_alone(cases):
    known = {case.case_id: case.sha256() for case in cases}
    chosen = list(Phantoms(families=["nuclei", "ct-abdomen"], patients=4, slices=1))
    assert [case.family for case in chosen[:5]] == ["nuclei"] * 2 + ["ct-abdomen"] * 3
    shared = [case for case in chosen if case.case_id in known]
    assert len(shared) == 15
    assert all(known[case.case_id] == case.sha256() for case in shared)


def test_loading_out_of_order_changes_nothing(cases):
    data = Phantoms(families=["fundus", "dermoscopy"])
    known = {case.case_id: case.sha256() for case in cases}
    for reference in reversed(data.references()[:6]):
        case = data.load(reference)
        assert known[case.case_id] == case.sha256()


def test_pickled_data_set_loads_the_same():
    data = Phantoms(families=["dermoscopy"])
    case = data.load(data.references()[0])
    copy = pickle.loads(pickle.dumps(data))
    assert copy.load(pickle.loads(pickle.dumps(data.references()[0]))).sha256() == case.sha256()
    assert len(pickle.dumps(data)) < 5000  # pictures do not travel


def test_another_seed_shares_nothing(cases):
    count = sum(len(family.targets) for family in FAMILIES.values())
    others = [case for _, case in zip(range(count), Phantoms(seed=1), strict=False)]
    for part in ("case_id", "group"):
        assert not {getattr(case, part) for case in cases} & {getattr(case, part) for case in others}
    assert not {case.image_sha256() for case in cases} & {case.image_sha256() for case in others}
    assert not {case.truth.tobytes() for case in cases} & {case.truth.tobytes() for case in others}
    first = {case.target: case.factors for case in cases[:count]}
    assert all(case.factors["planted_contrast"] != first[case.target]["planted_contrast"] for case in others)


@pytest.mark.parametrize("size", [128, 320])
def test_other_sizes(size):
    found = Phantoms(size=size, patients=1, slices=1)
    for case in found:
        assert size in case.size or size * 9 // 8 in case.size or size * 5 // 4 in case.size
        assert case.factors["area_px"] > 5
        if case.target in {"nodule"}:
            assert case.factors["area_px"] < 50


def test_names_and_modalities():
    data = Phantoms()
    assert data.info.name == "phantoms"
    assert data.info.version == "1"
    assert len(data) == len(data.references()) == 126
    case = data.load(data.references()[0])
    assert (case.case_id, case.group) == ("ct-abdomen-0-0-0-liver", "ct-abdomen-0-0")
    assert (case.modality, case.family, case.label) == ("ct", "ct-abdomen", "liver")
    assert case.unit == "mm"


def test_configuration_has_the_constructors_defaults():
    text = resources.files("simclick.conf").joinpath("dataset", "phantoms.yaml").read_text()
    options = yaml.safe_load(text)
    assert options.pop("name") == "phantoms"
    assert options.pop("limit") is None
    parameters = inspect.signature(Phantoms).parameters
    assert options == {name: parameter.default for name, parameter in parameters.items()}
    assert all(name in text for name in FAMILIES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": ["fundos"]}, "did you mean 'fundus'"),
        ({"families": "fundus"}, "must be a list"),
        ({"families": []}, "at least one"),
        ({"families": ["fundus", "fundus"]}, "once"),
        ({"size": 64}, "at least 128"),
        ({"size": 4096}, "at most 2048"),
        ({"patients": 0}, "dataset.patients=0"),
        ({"slices": 1.5}, "dataset.slices=1.5"),
        ({"seed": -1}, "dataset.seed=-1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        Phantoms(**options)
