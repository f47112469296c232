"""A method whose training data overlap a suite's is marked wherever it is ranked."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from made_entries import CLICK_NOISE, CLICKS, toy_suite, write_entry

from simclick.leaderboard.downloads import Files
from simclick.leaderboard.entries import load_entries
from simclick.leaderboard.limits import RefusedError
from simclick.leaderboard.method import MethodCard, check_overlap
from simclick.leaderboard.pages import add_pages
from simclick.leaderboard.standings import compute_standings

_FOLDER = TemporaryDirectory(prefix="simclick-overlap-")
ROLES = {"clicks": CLICKS, "click_noise": CLICK_NOISE}
MARK = "training overlap: full"


@cache
def site() -> dict[str, str]:
    root = Path(_FOLDER.name)
    overlaps = {"seen": {"toy-v1": "full"}, "half": {"toy-v1": "partial"}, "clean": {"toy-v1": "none"},
                "elsewhere": {"other-v1": "full"}, "silent": {}}  # fmt: skip
    for i, (slug, overlap) in enumerate(overlaps.items()):
        write_entry(root, slug, 0.3 * i, cases=24, roles=ROLES, overlap=overlap, worst=False)
    standings = compute_standings(load_entries(root), {"toy-v1": toy_suite(cases=24, roles=ROLES)})
    files = Files()
    add_pages(files, standings)
    return {name: data.decode() for name, data in files._content.items()}


def test_every_table_key_and_page_with_the_method_says_so() -> None:
    tables = [name for name in site() if name.endswith(".csv")]
    found = 0
    for name in tables:
        for line in site()[name].splitlines()[1:]:
            if line.startswith("Seen,"):
                assert f"Seen,{MARK}," in line, name
                found += 1
            if re.match("(Clean|Elsewhere|Silent),", line):
                assert "training overlap" not in line, name
        if "pairs" in name:
            assert f"Seen: {MARK}" in site()[name]
            assert "Half: training overlap: partial" in site()[name]
    assert found >= 10
    for page in ("index.html", "boards/toy-v1-clicks.html", "suites/toy-v1.html", "compare.html",
                 "methods/seen.html"):  # fmt: skip
        keys = re.findall(r'<ul class="key"[^>]*>(.*?)</ul>', site()[page], re.S)
        items = [item for key in keys for item in re.findall(r"<li.*?</li>", key, re.S) if "Seen" in item]
        assert bool(items) == (page != "index.html"), page
        assert all(MARK in item for item in items), page
        assert MARK in site()[page], page
    assert MARK in site()["data/toy-v1-clicks.tex"]
    for slug in ("clean", "elsewhere", "silent"):
        assert not re.search(r'class="mark">training overlap', _own(slug)), slug


def _own(slug: str) -> str:
    """Return the part of a method's page that is about itself alone."""
    return site()[f"methods/{slug}.html"].split('<section id="toy-v1-clicks"')[0]


CARD = MethodCard("Net", "1", overlap={"phantoms-v1": "none"})


@pytest.mark.parametrize("words", ["likely: made of public sets", "unknown", "nothing is published", "full"])
def test_a_card_that_says_none_against_the_agent_is_refused(words: str) -> None:
    for name in ("phantoms", "phantoms-v1"):
        with pytest.raises(
            RefusedError, match=f"agent says of {name}: .*{words[:5]}.*partial, full or unknown"
        ):
            check_overlap(CARD, "phantoms-v1", "phantoms", {name: words})
    for how in ("partial", "full", "unknown"):
        card = replace(CARD, overlap={"phantoms-v1": how})
        check_overlap(card, "phantoms-v1", "phantoms", {"phantoms": words})
    check_overlap(replace(CARD, overlap={}), "phantoms-v1", "phantoms", {"phantoms": words})


@pytest.mark.parametrize("words", ["none", "None known: trained on photographs", "no overlap", "", " "])
def test_a_card_that_says_none_with_the_agent_is_taken(words: str) -> None:
    check_overlap(CARD, "phantoms-v1", "phantoms", {"phantoms": words, "cosmos": "likely"})
    check_overlap(CARD, "phantoms-v1", "phantoms", {})
