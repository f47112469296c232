"""What all readers of files have in common."""

import inspect
import unicodedata
from importlib.resources import files

import pytest
import yaml
from reader_files import write_json

from simclick.datasets.disk import read_json, safe_id
from simclick.errors import DataError
from simclick.registry import load_object

READERS = {
    "folder": "simclick.datasets.folder:Folder",
    "nifti": "simclick.datasets.nifti:Nifti",
    "cosmos": "simclick.datasets.cosmos:Cosmos",
    "sam_med2d": "simclick.datasets.sam_med2d:SamMed2D",
    "medscribble": "simclick.datasets.medscribble:MedScribble",
    "mni152": "simclick.datasets.mni152:MNI152",
}


@pytest.mark.parametrize("name", READERS)
def test_yaml_lists_every_option_in_order_with_its_default(name):
    text = (files("simclick.conf.dataset") / f"{name}.yaml").read_text(encoding="utf-8")
    options = yaml.safe_load(text)
    assert next(iter(options)) == "name"
    assert options.pop("name") == name
    assert options.pop("limit") is None
    parameters = inspect.signature(load_object(READERS[name])).parameters
    assert list(options.items()) == [(key, parameter.default) for key, parameter in parameters.items()]
    commented = [line for line in text.splitlines() if line.startswith("#")]
    assert len(commented) > len(options)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["a", "liver"], "a_liver"),
        (["a", ""], "a"),
        (["a/b:c", "x y"], "a_b_c_x_y"),
        ([".hidden"], "hidden"),
        (["...", "a"], "_a"),
        ([unicodedata.normalize("NFD", "é"), "肝"], unicodedata.normalize("NFC", "é") + "_肝"),
    ],
)
def test_safe_ids(parts, expected):
    assert safe_id(*parts) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must hold a JSON object, not a list"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_bad_json(tmp_path, text, reason):
    path = write_json(tmp_path / "a.json", text)
    with pytest.raises(DataError, match=reason) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_missing_json_and_one_with_a_byte_order_mark(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path / "none.json")
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf{}")
    assert read_json(tmp_path / "a.json") == {}
