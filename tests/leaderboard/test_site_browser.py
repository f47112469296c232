"""The site in a real browser: the system's Chromium, through Playwright."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from made_entries import EVIL, toy_site

from simclick.leaderboard.serving import make_server

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install 'simclick[dev]'"
)
CHROMIUM = os.environ.get("SIMCLICK_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium on PATH (or in SIMCLICK_CHROMIUM): the site is not tested in a browser",
)
PAGES = (
    "index.html",
    "boards/toy-v1-clicks.html",
    "suites/toy-v1.html",
    "methods/alpha.html",
    "compare.html#suite=toy-v1&a=alpha&b=beta",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    root = getattr(os, "geteuid", lambda: 1)() == 0
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if root else [])
        yield found
        found.close()


class Tab:
    """A tab that notes errors and requests."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on(
            "console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))

    def open(self, name: str) -> Any:
        path, _, fragment = name.partition("#")
        self.page.goto("about:blank")
        self.page.goto((toy_site() / path).as_uri() + (f"#{fragment}" if fragment else ""))
        return self.page


@pytest.fixture
def tab(browser: Any) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = Tab(context)
    yield made
    assert made.errors == []
    context.close()


def column(page: Any, board: str, key: str) -> list[str]:
    """The shown cells of a column of a board's first table, by its head; ``method`` for the names."""
    table = page.locator(f"#{board} table").first
    heads = table.locator("thead tr").last.locator("th").all_inner_texts()
    place = next(i for i, head in enumerate(heads) if head.startswith(key))
    rows = table.locator("tbody tr:not([hidden])")
    return [rows.nth(i).locator("th, td").nth(place).inner_text() for i in range(rows.count())]


def test_sorting_by_mouse_and_by_keyboard(tab: Tab) -> None:
    page = tab.open("index.html")
    values = [float(text.split()[0]) for text in column(page, "toy-v1-clicks", "mean Dice")]
    assert values == sorted(values, reverse=True)
    head = page.locator("#toy-v1-clicks thead th", has_text="s per prompt").first
    head.locator("button").click()
    page.wait_for_timeout(50)
    assert head.get_attribute("aria-sort") == "descending"
    seconds = [float(text.split()[0]) for text in column(page, "toy-v1-clicks", "s per prompt")]
    assert seconds == [0.5, 0.2, 0.05, 0.001]
    head.locator("button").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(50)
    assert head.get_attribute("aria-sort") == "ascending"
    seconds = [float(text.split()[0]) for text in column(page, "toy-v1-clicks", "s per prompt")]
    assert seconds == [0.001, 0.05, 0.2, 0.5]
    assert page.locator("#toy-v1-clicks thead th[aria-sort]").count() == 1
    # One board's order is not the others'.
    assert column(page, "toy-v1-box", "method")[0] == "Alpha training overlap: partial"


def test_filters_hide_rows_and_boards_and_stand_in_the_address(tab: Tab) -> None:
    page = tab.open("index.html")
    shown = page.locator("section.board:visible")
    assert shown.count() == 5
    page.select_option("select[name=suite]", "toy-v1")
    assert shown.count() == 4
    page.select_option("select[name=protocol]", "clicks")
    assert shown.count() == 1
    page.select_option("select[name=tier]", "reproduced")
    assert column(page, "toy-v1-clicks", "method") == ["Alpha training overlap: partial"]
    assert "1 board shown, with 1 row." in page.locator("#shown").inner_text()
    address = page.evaluate("location.hash")
    assert address == "#suite=toy-v1&protocol=clicks&tier=reproduced"
    tab.open(f"index.html{address}")
    assert column(page, "toy-v1-clicks", "method") == ["Alpha training overlap: partial"]
    assert page.locator("select[name=tier]").input_value() == "reproduced"
    page.select_option("select[name=prompt]", "scribble")
    assert page.locator("#toy-v1-clicks p.none").is_visible()
    page.get_by_role("button", name="Show all").click()
    page.wait_for_timeout(50)
    assert shown.count() == 5
    page.fill("input[name=name]", "rather-LONG")
    page.keyboard.press("Enter")
    assert len(column(page, "toy-v1-clicks", "method")) == 1


def test_a_modality_has_boards_of_its_own(tab: Tab) -> None:
    page = tab.open("index.html#suite=toy-v1&protocol=clicks&modality=ct")
    assert page.locator("section.board:visible").evaluate_all("all => all.map(one => one.id)") == [
        "toy-v1-clicks-ct"
    ]
    tab.open("index.html#toy-v1-clicks-mr")  # a link to one of them sets its filter
    assert page.locator("#toy-v1-clicks-mr").is_visible()
    assert page.locator("select[name=modality]").input_value() == "mr"


def test_from_a_board_to_a_method_and_on_to_a_comparison(tab: Tab) -> None:
    page = tab.open("index.html")
    page.locator("#toy-v1-clicks").get_by_role("link", name="Alpha", exact=True).click()
    assert page.locator("h1").inner_text() == "Alpha"
    assert page.locator("section#toy-v1").is_visible()
    page.locator("#toy-v1").get_by_role("link", name="Compare Alpha with another method").click()
    page.wait_for_url("**/compare.html#suite=toy-v1&a=alpha")
    page.wait_for_selector("#result", state="visible")
    assert page.locator("select[name=a]").input_value() == "alpha"


def test_two_methods_side_by_side(tab: Tab) -> None:
    page = tab.open("compare.html#suite=toy-v1&a=beta&b=disc")
    board = page.locator("section[data-key=toy-v1-clicks]")
    row = board.locator(".numbers tbody tr", has_text="mean Dice of 1").first
    with (toy_site() / "data/toy-v1-clicks-pairs.csv").open() as file:
        pairs = {line["pair"]: line for line in csv.DictReader(file)}
    pair = next(p for name, p in pairs.items() if name.startswith("beta") and name.endswith("Disc"))
    assert row.locator("td").nth(2).inner_text().split()[0] == f"{float(pair['difference']):+.3f}"
    assert board.locator(".drawing g[id*='-method']:visible").count() > 0
    shown = {
        part.split("-method")[1].split("-")[0]
        for part in board.locator(".drawing g[id*='-method']").evaluate_all(
            "all => all.filter(one => one.style.display !== 'none').map(one => one.id)"
        )
    }
    assert len(shown) == 2
    assert board.locator(".key li:visible").count() == 2
    page.get_by_role("button", name="Swap").click()
    assert page.evaluate("location.hash") == "#suite=toy-v1&a=disc&b=beta"
    turned = row = board.locator(".numbers tbody tr", has_text="mean Dice of 1").first
    assert turned.locator("td").nth(2).inner_text().startswith("\N{MINUS SIGN}")
    page.select_option("select[name=suite]", "tiny-v1")  # beta is not in it
    assert page.locator("#said").inner_text() == "Disc against Alpha on tiny-v1."


def test_charts_are_drawn(tab: Tab) -> None:
    page = tab.open("boards/toy-v1-clicks.html")
    drawings = page.locator(".drawing svg")
    assert drawings.count() == 3
    for i in range(3):
        box = drawings.nth(i).bounding_box()
        assert box["width"] > 200
        assert box["height"] > 80
        assert drawings.nth(i).locator("path").count() > 10
    assert page.locator(".drawing").first.get_attribute("role") == "img"
    assert page.locator("figure details table").count() == 3  # a data table under every chart


@pytest.mark.parametrize("name", PAGES)
def test_pages_work_without_a_request_or_an_error(tab: Tab, name: str) -> None:
    tab.open(name)
    own = (toy_site() / name.partition("#")[0]).as_uri()
    assert {url.partition("#")[0] for url in tab.requests if not url.startswith(("data:", "about:"))} == {own}


def test_over_http_too_nothing_else_is_asked_for(browser: Any) -> None:
    with make_server(toy_site(), 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_address[1]}/"
        tab = Tab(browser.new_context())
        for name in PAGES:
            tab.page.goto(here + name)
        server.shutdown()
    asked = [url.partition("#")[0] for url in tab.requests if not url.startswith("data:")]
    assert asked == [(here + name).partition("#")[0] for name in PAGES]
    assert tab.errors == []


@pytest.mark.parametrize("name", ["index.html", "methods/beta.html", PAGES[-1]])
def test_injected_scripts_are_text(tab: Tab, name: str) -> None:
    page = tab.open(name)
    assert EVIL in page.locator("body").inner_text()
    assert page.evaluate("typeof window.pwned") == "undefined"


def test_the_policy_stops_scripts_and_requests(browser: Any) -> None:
    page = Tab(browser.new_context()).open("index.html")
    refused = page.evaluate(
        """async () => {
            const stopped = [];
            document.addEventListener("securitypolicyviolation", (e) => stopped.push(e.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.pwned = 1";
            document.body.append(script);
            const asked = await fetch("http://127.0.0.1:9/").then(() => "sent", () => "refused");
            const image = new Image();
            const failed = new Promise((done) => { image.onerror = () => done(); });
            image.src = "http://127.0.0.1:9/x.png";
            await failed;
            while (stopped.length < 3) await new Promise((done) => setTimeout(done, 20));
            return [typeof window.pwned, asked, ...stopped.sort()];
        }"""
    )
    assert refused == ["undefined", "refused", "connect-src", "img-src", "script-src-elem"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation(browser: Any, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(color_scheme=theme, viewport={"width": 1280, "height": 900})
    tab = Tab(context)
    # The dark page differs from the light one in colours alone.
    options = {"runOnly": ["color-contrast"]} if theme == "dark" else None
    for name in PAGES:
        page = tab.open(name)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        found = axe.run(page, options=options).response["violations"]
        said = [(v["id"], v["nodes"][0]["html"][:200], v["nodes"][0].get("failureSummary")) for v in found]
        assert said == [], name
    context.close()


def test_on_a_phone_only_tables_scroll_sideways(browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    tab = Tab(context)
    for name in PAGES:
        page = tab.open(name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    context.close()


def test_without_scripts_everything_is_there(browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = Tab(context)
    page = tab.open("index.html")
    assert page.locator("#filters").is_hidden()
    assert page.locator("section.board:visible").count() == page.locator("section.board").count() > 5
    page = tab.open("compare.html")
    assert page.locator(".warning").is_visible()
    context.close()
