"""Every field of an agent's information is checked, and the words name it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from simclick.agent import FAMILIES, AgentInfo
from simclick.agent_info import _CHECKS, LONGEST, check_info, is_shipped, refuse_shipped_name
from simclick.testing import check_agent
from support import Painter

GOOD = AgentInfo(
    "mine",
    "2.1",
    frozenset({"click", "text"}),
    {"radius": 3, "names": ["a", None], "deep": {"x": 0.5}},
    parameters=0,
    image_size=256,
    training_data="COCO + LVIS",
    overlap={"cosmos": "likely"},
    licence="MIT",
    weights_sha256="0123456789abcdef" * 4,
    source="https://example.org/paper",
    citation="@misc{mine,\n\ttitle = {Größe},\n}",
    family="classical",
)

BAD: list[tuple[str, Any, str]] = [
    ("name", "", "must not be empty"),
    ("name", "  ", "must not be empty"),
    ("name", " a", "must not begin or end with white space"),
    ("name", 5, r"must be a text, not 5 \(int\)"),
    ("name", None, r"must be a text, not None \(NoneType\)"),
    ("name", "a\nb", r"printable text on one line; it holds U\+000A"),
    ("name", "x" * 81, "at most 80 characters, not 81"),
    ("name", "two words", r"must have ASCII letters, digits and _ \. \+ - alone"),
    ("name", "\u0455am", "must have ASCII letters"),
    ("name", "a|b<script>", "must have ASCII letters"),
    ("name", "../../x", "a letter or digit first"),
    ("name", "=cmd()", "must have ASCII letters"),
    ("version", 2, r"must be a text, not 2"),
    ("version", "", "must not be empty"),
    ("accepts", frozenset(), "must hold one or more of click, .*, not none"),
    ("accepts", frozenset({"tap", "click"}), "must hold one or more of click, .*, not tap"),
    ("accepts", "click", "must be a set of kinds of prompt, not click"),
    ("accepts", frozenset({3}), "not 3"),
    ("settings", [1], "must be a mapping with texts as keys"),
    ("settings", {1: 2}, "must be a mapping with texts as keys"),
    ("settings", {"a": {1}}, "must be JSON-able"),
    ("settings", {"a": float("nan")}, "must be JSON-able"),
    ("settings", {"a": "x" * 100_001}, "at most 100000 characters as JSON"),
    ("parameters", -1, "must be a whole number from 0, or None, not -1"),
    ("parameters", True, "must be a whole number from 0, or None, not True"),
    ("parameters", 1.5, "must be a whole number from 0, or None, not 1.5"),
    ("parameters", "3 M", "must be a whole number from 0, or None, not 3 M"),
    ("image_size", 0, "must be a whole number from 1, or None, not 0"),
    ("image_size", [256, 256], "must be a whole number from 1"),
    ("training_data", ["COCO"], "must be a text"),
    ("training_data", "x" * 2001, "at most 2000 characters"),
    ("overlap", "none", "must be a mapping from data sets to words"),
    ("overlap", {"cosmos": 0.5}, "must be a mapping from data sets to words, not {'cosmos': 0.5}"),
    ("overlap", {"cosmos": "a\x1b[2J"}, r"U\+001B"),
    ("overlap", {"cosmos": "x" * 1001}, "at most 1000 characters"),
    ("overlap", {str(i): "" for i in range(1001)}, "at most 1000 data sets"),
    ("licence", None, "must be a text"),
    ("licence", "free\x1b[31m", r"U\+001B"),
    ("weights_sha256", "abc", "must be a SHA-256"),
    ("weights_sha256", "A" * 64, "must be a SHA-256"),
    ("weights_sha256", 5, "must be a SHA-256"),
    ("random_weights", 1, "must be True or False, not 1"),
    ("uses_truth", "no", "must be True or False, not no"),
    ("uses_previous", None, "must be True or False"),
    ("source", b"x", "must be a text"),
    ("citation", "Liu et al. 2023", "must be BibTeX"),
    ("citation", "@misc{a}\x1b", r"U\+001B"),
    ("citation", "@" + "x" * 20_000, "at most 20000 characters"),
    ("family", "transformer", f"must be one of {', '.join(FAMILIES)}, or empty, not transformer"),
    ("family", None, "must be a text"),
]


def test_a_complete_one_passes() -> None:
    check_info(GOOD)
    check_info(AgentInfo("x"))
    assert {field.name for field in fields(AgentInfo)} == set(_CHECKS)
    assert set(LONGEST) <= set(_CHECKS)


@pytest.mark.parametrize(("field", "value", "words"), BAD)
def test_a_wrong_field_is_named(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=rf"^info\.{field} .*{words}") as caught:
        check_info(replace(GOOD, **{field: value}))
    assert str(caught.value).isprintable()


def test_every_field_can_be_wrong() -> None:
    assert {field for field, _, _ in BAD} == set(_CHECKS)


def test_the_conformance_check_asks_the_same() -> None:
    agent = Painter()
    agent.info = replace(agent.info, family="sam")
    with pytest.raises(AssertionError, match=r"info\.family must be one of"):
        check_agent(agent)


@pytest.mark.parametrize(
    "name",
    [
        *("sam_vit_b", "SAM_VIT_B", "sam-vit-b", "sam_vit_b-own", "oracle", "Oracle", "process", "custom"),
        *("\uff53am_vit_b", "pocket-sam+", "grabcut"),
    ],
)
def test_a_shipped_name_is_refused_to_others(name: str) -> None:
    with pytest.raises(ValueError, match="is that of simclick's own"):
        refuse_shipped_name(name)


def test_other_names_are_free_and_shipped_ones_known() -> None:
    for name in ("mine", "sam_vit_b-tuned", "oracles", "my-sam"):
        refuse_shipped_name(name)
    assert is_shipped("sam_vit_b")
    assert not any(is_shipped(name) for name in ("custom", "process", "mine", ""))
