"""The shipped protocols named after other evaluators give the rounds that those give."""

from __future__ import annotations

import pytest
from peer_cases import drawn

from simclick.episode import Episode, Ground, Rules
from simclick.episode import ask as ask_episode
from simclick.protocol import Protocol, load_protocol

CLICK, BOX, PAIR = ("click",), ("box",), ("click", "click")


def kinds_of(protocol: Protocol) -> list[tuple[str, ...]]:
    """Play a protocol with an agent that always misses a row and adds another."""
    case, mask = drawn("n" * 30, "o" * 30, "p" * 30, "." * 30)
    episode = Episode(Ground(case), Rules(protocol, seed=0))
    kinds = []
    while episode.status == "running":
        [round_] = ask_episode([episode])
        if round_ is not None:
            kinds.append(tuple(prompt.kind for prompt in round_.prompts))
            episode.answer(mask)
    return kinds


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("segnext-sam-v1", [CLICK] * 20),
        ("mazurowski-xor-v1", [CLICK] * 20),
        ("micro-sam-v1", [BOX] + [PAIR] * 7),
        ("micro-sam-point-v1", [CLICK] + [PAIR] * 7),
        ("radioactive-v1", [CLICK] * 6),
        ("cvpr25-v1", [BOX] + [CLICK] * 5),
        ("medsam-box-v1", [BOX]),
        ("sam-hq-box-v1", [BOX]),
    ],
)
def test_rounds_of_a_whole_episode(name: str, kinds: list[tuple[str, ...]]) -> None:
    protocol = load_protocol(name)
    assert kinds_of(protocol) == kinds
    assert max(protocol.surface_at) <= protocol.budget


def test_segnext_clicks_as_noc_does() -> None:
    """Its agent answers with three masks; the protocol is the field's own."""
    assert load_protocol("segnext-sam-v1").digest == load_protocol("noc-v1").digest
