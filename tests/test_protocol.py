from __future__ import annotations

from dataclasses import replace

import pytest

from simclick.errors import ConfigError
from simclick.protocol import FROZEN, Protocol, load_protocol, protocol_names


@pytest.mark.parametrize("name", protocol_names())
def test_shipped_protocols_are_frozen(name: str) -> None:
    """A failure here means that a published protocol changed: make a new version instead."""
    protocol = load_protocol(name)
    assert protocol.id == name
    assert protocol.summary
    assert FROZEN[name] == protocol.digest


def test_every_frozen_digest_has_its_protocol() -> None:
    assert sorted(FROZEN) == protocol_names()


def test_noc_v1_is_the_fields_protocol() -> None:
    p = load_protocol("noc-v1")
    assert (p.annotator, p.noise, p.budget, p.select) == ("center-click", "none", 20, "score")
    assert p.surface_at == (1, 3, 5, 10, 20)
    assert p.cells() == [(0.0, 0)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("budget", 5),
        ("annotator", "random-click"),
        ("select", "oracle"),
        ("repeats", 3),
        ("surface_at", (1,)),
        ("nsd_tolerance", 1.0),
        ("costs", {"click": 2}),
    ],
)
def test_whatever_changes_a_number_changes_the_digest_and_marks_the_id(key: str, value: object) -> None:
    shipped = load_protocol("noc-v1")
    changed = shipped.with_overrides({key: value})
    assert changed.id == "noc-v1+"
    assert changed.digest != shipped.digest
    assert changed.with_overrides({"budget": changed.budget}).id == "noc-v1+"


def test_words_do_not_change_the_digest() -> None:
    shipped = load_protocol("noc-v1")
    assert replace(shipped, summary="other words").digest == shipped.digest
    assert shipped.with_overrides({"budget": 20, "levels": [0]}) is shipped


def test_cells_without_chance_run_once() -> None:
    noisy = Protocol("p", "center-click", noise="gaussian-click", levels=(0, 5), repeats=3)
    assert noisy.cells() == [(0.0, 0), (5.0, 0), (5.0, 1), (5.0, 2)]
    drawn = Protocol("p", "random-click", repeats=2)
    assert drawn.cells() == [(0.0, 0), (0.0, 1)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"budget": -3}, "budget=-3"),
        ({"budget": 2.5}, "whole number"),
        ({"repeats": 0}, "repeats=0"),
        ({"levels": ()}, "at least one level"),
        ({"levels": (1.0,)}, "needs a noise"),
        ({"noise": "gaussian-click", "levels": (0, -1)}, "≥ 0"),
        ({"noise": "gaussian-click", "levels": (1, 1)}, "must not repeat"),
        ({"select": "best"}, "score, first, largest, oracle"),
        ({"costs": {"klick": 1}}, "klick"),
        ({"surface_at": (0,)}, "≥ 1"),
    ],
)
def test_values_that_no_run_could_mean_are_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Protocol("p", "center-click", **changes)  # type: ignore[arg-type]


def test_wrong_names_are_answered_with_choices() -> None:
    with pytest.raises(ConfigError, match="did you mean 'noc-v1'"):
        load_protocol("noc-v2")
    with pytest.raises(ConfigError, match="did you mean 'budget'"):
        load_protocol("noc-v1").with_overrides({"budgett": 3})
    with pytest.raises(ConfigError, match="center-click"):
        _ = Protocol("p", "centre-click").digest
    with pytest.raises(ConfigError, match=r"protocol.annotator \(center-click\)"):
        _ = Protocol("p", "center-click", annotator_options={"no_such": 1}).digest
