"""``simclick list agents``: prompts, readiness, and the way out in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simclick import registry, weights
from simclick.baselines import AGENTS, RECIPES
from simclick.cli import main
from simclick.harness.specs import AgentSpec
from simclick.listing import rows


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path))
    return tmp_path / "checkpoints"


def agents() -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in rows("agents")}


def test_the_methods_of_the_field_are_there_with_a_reason() -> None:
    table = agents()
    for name in ("sam_vit_b", "sam_med2d", "medsam", "ritm", "simpleclick", "focalclick"):
        assert table[name]["ready"].startswith("no: "), name
        assert "\n" not in table[name]["ready"]
    assert table["medsam"]["accepts"] == "box"
    assert table["oracle"]["accepts"] == "all prompts"
    assert table["custom"]["accepts"] == "as it says itself"


def test_a_missing_package_counts_before_a_missing_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.Entry, "missing", lambda self: ["torch"] if self.requires else [])
    assert agents()["ritm"]["ready"] == "no: pip install 'simclick[ritm]'"
    monkeypatch.setattr(registry.Entry, "missing", lambda self: [])
    assert agents()["ritm"]["ready"] == "no: no checkpoint: simclick weights fetch ritm_h18_itermask"
    assert agents()["sam_med2d"]["ready"] == "no: no checkpoint: simclick weights import sam_med2d FILE"


def test_a_checkpoint_in_the_cache_makes_it_ready(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.Entry, "missing", lambda self: [])
    empty_cache.mkdir(parents=True)
    (empty_cache / "medsam_vit_b.pth").write_bytes(b"x")
    assert agents()["medsam"]["ready"].startswith("no: nothing says what medsam_vit_b.pth in the cache is")
    weights.write_record(empty_cache / "medsam_vit_b.pth", {"sha256": "0" * 64})
    assert agents()["medsam"]["ready"] == "yes"


@pytest.mark.parametrize("name", RECIPES)
def test_a_method_of_another_environment_says_how_it_is_run(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", f"agent={name}"]) == 2
    assert "docs/agents-out-of-process.md" in capsys.readouterr().err


@pytest.mark.parametrize("name", [n for n, e in AGENTS.items() if e.accepts and not e.checkpoint])
def test_the_prompts_in_the_table_are_those_of_the_agent(name: str) -> None:
    if AGENTS[name].missing():
        pytest.skip(AGENTS[name].install_hint())
    assert AgentSpec(name).make().info.accepts == frozenset(AGENTS[name].accepts)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "agents", "--json"]) == 0
    assert {"name", "summary", "accepts", "ready"} == set(json.loads(capsys.readouterr().out)[0])
