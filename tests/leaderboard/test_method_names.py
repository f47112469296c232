"""Names of methods: in paths, and whose they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from submission_support import found, made, with_submission

from simclick import cli
from simclick.baselines import AGENTS
from simclick.errors import ConfigError
from simclick.leaderboard.limits import RefusedError
from simclick.leaderboard.method import TEMPLATE, check_filled, read_card
from simclick.leaderboard.names import OPEN, check_name, shipped_name, slug
from simclick.leaderboard.pack import pack_bytes


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("watershed", "watershed"),
        ("Disc", "disc"),
        ("ｄｉｓｃ", "disc"),  # noqa: RUF001
        ("dísc", "disc"),
        ("disс", "disc"),  # noqa: RUF001
        ("ԁіѕс", "disc"),  # noqa: RUF001
        ("graph-cut 2", "graph-cut"),
        ("Graph Cut (v3)", "graph-cut"),
        ("disc 1.0", "disc"),
        ("SAM ViT-B", "sam_vit_b"),
        ("ᴅɪꜱᴄ", "disc"),
        ("dɩsc", "disc"),  # noqa: RUF001
        ("Grabcut™", "grabcut"),
        ("Grab™cut", "grabcut"),
        ("disc® v2", "disc"),
        ("disc II", "disc"),
        ("discⅡ", "disc"),
        ("disc²", "disc"),
        ("RITM-2", "ritm"),
        ("MedSAM²", None),
        ("disc & co", None),
        ("discii", None),
        ("disc X", None),
        ("MedSAM 3", "medsam"),
        ("MedSAM2", None),
        ("MedSAM-2", None),
        ("disc net", None),
        ("my graph-cut", None),
        ("custom", None),
        ("分割网络 1", None),
    ],
)
def test_which_names_would_be_taken_for_ours(name: str, agent: str | None) -> None:
    assert shipped_name(name) == agent
    if agent is None:
        check_name(name, "mine")
    else:
        with pytest.raises(RefusedError, match=r"mixes|would be taken for"):
            check_name(name, "mine")


def test_no_other_name_leads_to_the_folder_of_one_of_ours() -> None:
    for agent in (name for name in AGENTS if name not in OPEN):
        for name in (f"{slug(agent)}™", f"☂ {agent}", f"{agent.title()}…"):
            assert slug(name) == slug(agent)
            with pytest.raises(RefusedError, match="choose another name"):
                check_name(name, "mine")
            check_name(name, agent)


def test_every_agent_of_ours_may_have_its_own_name() -> None:
    for name in AGENTS:
        check_name(name, name)
    check_name("Watershed 2", "watershed")
    with pytest.raises(RefusedError, match="another name"):
        check_name("watershed", "disc")


@pytest.mark.parametrize("name", ["Nеt", "μSAM", "disc\u3164x"])  # noqa: RUF001
def test_scripts_are_not_mixed_within_a_word(name: str) -> None:
    with pytest.raises(RefusedError, match=r"mixes|cannot be seen"):
        check_name(name, "mine")


@pytest.mark.parametrize("name", ["β-VAE", "Сеть", "SAM分割", "U-Net 日本語カナ"])
def test_names_in_any_script_are_taken(name: str) -> None:
    check_name(name, "mine")
    card = read_card(TEMPLATE.replace("My method  ", f"{name}  ").encode())
    assert card.name == name
    assert slug(name).isascii()


def test_a_slug_that_loses_letters_ends_with_a_hash() -> None:
    assert slug("Graph Cut 2") == "graph-cut-2"
    assert slug("x" * 60) == "x" * 60
    for name, head in (("分割网络 1", "1-"), ("分割网络", ""), ("Café", "caf-"), ("x" * 80, "x" * 51 + "-")):
        assert slug(name).startswith(head)
        assert len(slug(name)) == len(head) + 8
    assert slug("分割网络 1") != slug("分割方法 1")
    assert slug("Cafe\u0301") == slug("Café")
    assert slug("!!!") == ""


def test_an_impostor_is_neither_packed_nor_verified_nor_loaded(tmp_path: Path) -> None:
    it = made()
    for name in ("watershed", "Graph-Cut 2"):
        with pytest.raises(ConfigError, match="taken for simclick's own agent"):
            pack_bytes(it.runs, replace(it.card, name=name), it.suite)
        data = with_submission(it.data, lambda s, name=name: s["method"].update(name=name))  # type: ignore[misc]
        assert "taken for" in found(it.write(tmp_path, data), it.suite_file)["findings"]["card"]
    fine = with_submission(it.data, lambda s: s["method"].update(name="Disc"))
    assert found(it.write(tmp_path, fine), it.suite_file)["findings"] == {}


def test_a_template_that_nobody_filled_in_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["submit", "--template"]) == 0
    card = read_card(capsys.readouterr().out.encode())
    with pytest.raises(RefusedError, match="name, description, authors: still the template's words"):
        check_filled(card)
    with pytest.raises(RefusedError, match="card: authors:"):
        check_filled(replace(card, name="Net", description=""))
    check_filled(replace(card, name="Net", description="", authors=("Ann",)))
    it = made()
    with pytest.raises(ConfigError, match="template"):
        pack_bytes(it.runs, replace(card, prompts=it.card.prompts), it.suite)
