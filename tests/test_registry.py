from __future__ import annotations

import pytest

from simclick import registry
from simclick.errors import ConfigError


@pytest.mark.parametrize("name", ["agents", "annotators", "noises", "datasets"])
def test_every_registered_target_exists(name: str) -> None:
    things = getattr(registry, name)
    assert things.entries
    for key, entry in things.entries.items():
        assert entry.summary
        assert len(entry.summary) < 100, key
        if key != "custom" and not entry.missing():
            assert things.load(key) is not None


def test_a_wrong_name_lists_choices_and_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown agent 'grabcat'; did you mean 'grabcut'\? \(choices: .*disc"
    ):
        registry.agents.load("grabcat")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nocolon", "not of the form"),
        ("no_such_module_at_all:X", "no module named 'no_such_module_at_all'"),
        ("simclick.prompts:clik", "did you mean 'click'"),
        (":X", "not of the form"),
    ],
)
def test_a_wrong_target_says_what_is_wrong(target: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        registry.load_object(target)


def test_a_module_that_raises_is_reported(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "raises_at_import.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ConfigError, match="raised ZeroDivisionError"):
        registry.load_object("raises_at_import:X")
