"""Text from elsewhere, made fit for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.texts import plain, stray


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb \n c", "a b c"),
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("title\x1b]0;x\x07", "title\ufffd]0;x\ufffd"),
        ("c1 \x9b2J", "c1 \ufffd2J"),
        ("turned \u202e gnip", "turned \ufffd gnip"),
        ("lone \udc80", "lone \ufffd"),
        ("Größe 5 µm → 3", "Größe 5 µm → 3"),
        (KeyError("x"), "'x'"),
        ("", ""),
    ],
)
def test_what_is_shown(text: object, shown: str) -> None:
    assert plain(text) == shown


def test_what_is_cut() -> None:
    assert plain("x" * 10, 10) == "x" * 10
    assert plain("x" * 11, 10) == "x" * 9 + "…"
    assert plain("x" * 10**7, 10) == "x" * 9 + "…"


@settings(deadline=None, max_examples=60)
@given(st.text(), st.integers(1, 50))
def test_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


def test_the_first_stray_character_is_named() -> None:
    assert stray("fine ü →") is None
    assert stray("a\nb\x1b") == "U+000A"
    assert stray("a\nb\x1b", "\n") == "U+001B"
