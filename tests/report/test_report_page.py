from __future__ import annotations

import dataclasses
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_runs import EVIL, SMALL, planned_cases, write_run

from simclick.errors import ConfigError, StoreError
from simclick.report.build import ReportResult, build_report

VOID = {"meta", "link", "img", "br", "hr", "input", "source", "wbr", "col"}


class Page(HTMLParser):
    """What a test needs to know of a page; checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def all(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def source(report: ReportResult) -> str:
    return report.page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_the_page_asks_for_nothing(source: str, page: Page) -> None:
    assert not page.tags.keys() & {"script", "link", "iframe", "object", "embed", "video", "base", "form"}
    for value in [*page.all("src"), *page.all("srcset")]:
        assert value.startswith("data:image/")
    for value in [*page.all("href"), *page.all("xlink:href")]:
        assert value.startswith("#")
    assert not re.search(r"url\((?!#)|@import|https?://", source)
    assert not any(name.startswith("on") for _, name, _ in page.attributes)


def test_a_policy_in_the_page_forbids_scripts_and_requests(page: Page) -> None:
    policy = next(v for v in page.all("content") if "default-src" in v)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert "script" not in policy


def test_hostile_names_are_text(source: str, page: Page) -> None:
    assert "<script" not in source
    assert f"{EVIL}_100%" in page.words  # an agent's name
    assert f"{EVIL}_target" in page.words  # a target's
    assert f"ValueError: {EVIL} & more" in page.words  # an error's text
    assert f"img{EVIL}.png: truncated & 50% gone" in page.words  # a skipped file's


def test_ids_are_unique_and_every_reference_has_its_target(source: str, page: Page) -> None:
    ids = Counter(page.all("id"))
    assert [name for name, n in ids.items() if n > 1] == []
    wanted = [v[1:] for v in [*page.all("href"), *page.all("xlink:href")]]
    wanted += re.findall(r"url\(#([^)]+)\)", source) + page.all("aria-labelledby")
    assert set(wanted) <= set(ids)


def test_it_can_be_read_without_seeing(source: str, page: Page) -> None:
    assert ("html", "lang", "en") in page.attributes
    assert page.tags["h1"] == 1
    assert page.tags["main"] == 1
    assert page.tags["caption"] == page.tags["table"] > 20
    assert page.tags["img"] == sum(
        tag == "img" and name == "alt" and bool(v) for tag, name, v in page.attributes
    )
    drawings = re.findall(r'<div class="drawing" role="img" aria-label="([^"]+)"', source)
    assert len(drawings) == 15
    assert all(len(alt) > 40 for alt in drawings)
    assert set(page.all("scope")) <= {"col", "row", "colgroup", "rowgroup"}
    assert page.tags["figcaption"] == page.tags["figure"]


def test_both_themes_and_small_screens(source: str) -> None:
    assert "prefers-color-scheme: dark" in source
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in source
    assert "var(--ink)" in source
    assert "#1c2127" not in source.partition("</style>")[2]


def test_marks_stand_beside_the_name(source: str, page: Page) -> None:
    for name, mark in (
        ("oracle", "uses truth"),
        ("net", "random weights"),
        ("late", "incomplete: 7 of 20 cases"),
    ):
        shown = rf'<span class="agent">{name}</span> <strong class="mark">{mark}</strong>'
        assert len(re.findall(shown, source)) > 5, name
        for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", source, flags=re.S):
            if f'<span class="agent">{name}</span>' in row:
                assert '<strong class="mark">' in row
    assert "late on many is not finished: 7 of 20 episodes. Not ranked." in page.words


def test_who_leads_is_said_first_and_never_a_bound(source: str, page: Page) -> None:
    summary = source.partition('id="summary"')[2].partition("</section>")[0]
    assert "Who leads on many" in summary
    assert "good leads by" in summary
    for name in ("oracle", "net", "late"):
        assert f"{name} leads" not in page.words
        assert f"{name} is ahead" not in page.words


def test_no_interval_under_eight_groups_and_the_page_says_why(source: str) -> None:
    few = source.partition('<h2 id="board-2-head">few</h2>')[2].partition("</section>")[0]
    assert "3 groups: an interval needs 8" in few
    assert 'class="interval"' not in few
    many = source.partition('<h2 id="board-1-head">many</h2>')[2].partition("</section>")[0]
    assert 'class="interval"' in many


def test_failures_skips_words_and_provenance(page: Page, run_paths: list[Path]) -> None:
    assert "Failed episodes by reason" in page.words
    assert "case-02-0" in page.words
    assert "1 left out when the run was planned" in page.words
    for word in (
        "NoC, clicks to reach",
        "capped mean",
        "Not reached",
        "studentised bootstrap",
        "made of pixels",
    ):
        assert word in page.words
    for path in run_paths:
        assert path.name in page.words
    assert "Plan digest" in page.words


def test_a_lost_data_set_is_said_and_stops_nothing(page: Page) -> None:
    assert "Not shown: its image cannot be loaded again: unknown dataset 'many'" in page.words


def test_an_agent_without_company_leads_nobody(toy_report: ReportResult) -> None:
    text = Page(toy_report.page.read_text(encoding="utf-8")).words
    assert "Only painter is ranked here" in text
    assert "leads" not in text.partition("What the words mean")[0]
    assert not list(toy_report.page.parent.glob("tables/*difference_*"))


def test_only_a_bound_or_nothing_at_all(tmp_path: Path, run_paths: list[Path]) -> None:
    oracle = next(path for path in run_paths if path.name == "oracle")
    text = Page(build_report([oracle], tmp_path / "a").page.read_text(encoding="utf-8")).words
    assert "No agent is ranked here." in text
    with pytest.raises(ConfigError, match="at least one"):
        build_report([], tmp_path / "b")
    with pytest.raises(StoreError, match="no run directory"):
        build_report([tmp_path], tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_masks_chosen_with_the_truth_are_said_everywhere(tmp_path: Path) -> None:
    protocol = dataclasses.replace(SMALL, select="oracle", surface_at=())
    cases = planned_cases(2, 1)
    paths = [write_run(tmp_path / name, name, cases=cases, protocol=protocol) for name in "ab"]
    result = build_report(paths, tmp_path / "report")
    text = Page(result.page.read_text(encoding="utf-8")).words
    assert "masks were chosen with the truth: all its numbers are upper bounds" in text
    assert text.count("Masks were chosen with the truth (oracle).") > 5
    assert text.count("oracle selection") > 5
    assert "chosen with the truth" in (tmp_path / "report/tables/small-v1_toy_dice.tex").read_text()


def test_what_is_cut_on_a_small_screen_scrolls_and_shows_it(source: str) -> None:
    shadow = re.search(
        r"^\.scroll, \.drawing \{ background: linear-gradient\(.*local, .*scroll; \}$", source, re.M
    )
    assert shadow is not None
    assert ".drawing { overflow-x: auto; }" in source
    narrow = source[source.index("@media (max-width: 40rem)") :]
    assert ".drawing svg { min-width: var(--least); }" in narrow.partition("@media print")[0]
    drawings = re.findall(r'<div class="drawing"[^>]*>\s*<svg [^>]*>', source)
    assert drawings
    for drawing in drawings:
        assert 'tabindex="0"' in drawing  # so that it scrolls by keyboard, too
        width = re.search(r'viewBox="0 0 ([\d.]+) ', drawing)
        least = re.search(r"--least:(\d+)px", drawing)
        assert width is not None
        assert least is not None
        assert int(least.group(1)) >= float(width.group(1))  # a point is a pixel at least
