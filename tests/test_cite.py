"""What a run cites."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from simclick import registry
from simclick.baselines import RECIPES
from simclick.citations import ENTRIES, bibtex, cite, papers_of
from simclick.cli import main
from simclick.protocol import protocol_names


def run(**changes: object) -> dict[str, object]:
    return {
        "agent": {"name": "sam_vit_b"},
        "specs": {"agent": {"name": "sam_vit_b"}},
        "dataset": {"name": "cosmos"},
        "protocol": {"id": "cosmos-s5-v1"},
        **changes,
    }


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE)


def test_every_entry_is_well_formed() -> None:
    for key, entry in ENTRIES.items():
        assert keys(entry) == [key]
        assert entry.count("{") == entry.count("}")
        assert re.search(r"^  title +=", entry, re.MULTILINE)
        assert re.search(r"^  year +=", entry, re.MULTILINE)


def test_agent_dataset_and_protocol_each_paper_once() -> None:
    text = cite(run())
    assert keys(text) == ["simclick", "kirillov2023sam", "huang2024cosmos"]
    assert "% Protocol: cosmos-s5-v1\n\n% see above" in text


def test_a_changed_protocol_keeps_its_papers() -> None:
    assert keys(papers_of("protocol", "noc-v1+")) == ["xu2016dios", "sofiiuk2022ritm"]


def test_what_an_agent_brings_counts_first() -> None:
    own = "@misc{mine,\n  title = {Mine},\n  year = {2026},\n}"
    text = cite(run(agent={"name": "sam_vit_b", "citation": own}))
    assert keys(text)[:2] == ["simclick", "mine"]
    assert "kirillov2023sam" not in text


@pytest.mark.parametrize("specs", [{"agent": {"name": "process"}}, {"agent": {"name": "custom"}}, {}, None])
def test_a_name_that_a_method_gave_itself_brings_no_papers(specs: object) -> None:
    text = cite(run(specs=specs))
    assert "kirillov2023sam" not in text
    assert "% Agent: sam_vit_b\n\n% no paper is known: ask the method's authors" in text


def test_silence_is_said_in_words() -> None:
    text = cite(
        run(
            agent={"name": "mine", "source": "a page"},
            dataset={"name": "folder"},
            protocol={"id": "click-noise-v1"},
        )
    )
    assert "no BibTeX is known; its source: a page" in text
    assert "cite the data's owner" in text
    assert "% Protocol: click-noise-v1\n\n% defined by simclick" in text


def test_names_in_the_tables_exist() -> None:
    from simclick.citations import _AGENTS, _DATASETS, _PROTOCOLS

    for table, names in (
        (_AGENTS, [*registry.agents.entries, *RECIPES]),
        (_DATASETS, registry.datasets.entries),
        (_PROTOCOLS, protocol_names()),
    ):
        for key in table:
            assert any(name == key or name.startswith(key) for name in names), key


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(json.dumps(run()))
    assert main(["cite", str(tmp_path)]) == 0
    assert keys(capsys.readouterr().out) == ["simclick", "kirillov2023sam", "huang2024cosmos"]
    assert main(["cite", str(tmp_path / "none")]) == 2
    assert "is no run directory" in capsys.readouterr().err
    (tmp_path / "run.json").write_text("[1]")
    assert main(["cite", str(tmp_path)]) == 2


def test_a_real_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "agent=grabcut",
        "dataset=phantoms",
        "dataset.limit=1",
        "protocol.budget=1",
        "protocol.surface_at=[]",
    ]
    assert main(["run", *words, f"out={tmp_path / 'r'}", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["cite", str(tmp_path / "r")]) == 0
    assert keys(capsys.readouterr().out)[:2] == ["simclick", "rother2004grabcut"]


def test_bibtex_of_several() -> None:
    assert keys(bibtex("ma2024medsam", "kirillov2023sam")) == ["ma2024medsam", "kirillov2023sam"]
