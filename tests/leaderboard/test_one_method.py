"""Folders of one name under several suites share a page, so they must be of one method."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_entries import CLICKS, toy_suites, write_entry
from submission_support import found, made

from simclick.errors import ConfigError
from simclick.leaderboard import accept
from simclick.leaderboard.entries import load_entries
from simclick.leaderboard.one_method import check_one_method
from simclick.leaderboard.standings import compute_standings
from simclick.leaderboard.verify import Check, _verdict

FEW = {"clicks": CLICKS}


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("name", {"name": "SEG-net!"}),
        ("authors", {"authors": ("A", "C")}),
        ("authors", {"authors": ("B", "A")}),
    ],
)
def test_two_methods_of_one_slug_are_refused_in_a_line(
    field: str, other: dict[str, object], tmp_path: Path
) -> None:
    mine = {"name": "Seg Net", "authors": ("A", "B")}
    one = write_entry(tmp_path, "seg-net", 1.0, cases=9, suite="tiny-v1", roles=FEW, **mine)
    two = write_entry(tmp_path, "seg-net", 1.0, cases=9, roles=FEW, **{**mine, **other})
    with pytest.raises(ConfigError) as said:
        compute_standings(load_entries(tmp_path), toy_suites())
    text = str(said.value)
    assert str(one) in text
    assert str(two) in text
    assert f"card's {field}: " in text
    assert "choose another name" in text
    assert "\n" not in text


def test_one_method_may_stand_under_several_suites_in_several_versions(tmp_path: Path) -> None:
    for suite, version in (("tiny-v1", "1"), ("toy-v1", "2")):
        write_entry(
            tmp_path, "seg-net", 1.0, cases=9, suite=suite, roles=FEW, authors=("A",), version=version,
            description=version,
        )  # fmt: skip
    write_entry(tmp_path, "other", 1.0, cases=9, roles=FEW, authors=("B",))
    check_one_method(load_entries(tmp_path))


def test_none_is_accepted_beside_another_method_of_its_slug(tmp_path: Path) -> None:
    it = made()
    result = found(it.write(tmp_path), it.suite_file, replay=False, accept=True)
    verdict = _verdict(result, Check("reproduced", "skipped", "not asked"), False)
    verdict = replace(verdict, suite=it.suite_file)
    root = tmp_path / "submissions"
    other = write_entry(root, "disc", 1.0, cases=9, roles=FEW, authors=("Somebody",), name=it.card.name)
    with pytest.raises(ConfigError, match=r"card's authors: 'The simclick authors'.*'Somebody'") as said:
        accept.write_entry(verdict, root)
    assert str(said.value).startswith(f"{root / 'tiny-v1' / 'disc'}: ")
    assert str(other) in str(said.value)
    assert not (root / "tiny-v1").exists()
    shutil.rmtree(other)
    write_entry(root, "disc", 1.0, cases=9, roles=FEW, authors=it.card.authors, name=it.card.name)
    assert accept.write_entry(verdict, root).is_dir()
