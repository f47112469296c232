"""The pages of the site, from standings.

Every text is escaped by the template engine. Passed through are drawings made here, whose texts are outlines,
and the site's own scripts, which the content policy names by their hash: nothing else can run, and nothing
can be requested. Data for scripts stand in the page as JSON in which ``<``, ``>`` and ``&`` are escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from simclick import __version__
from simclick.leaderboard.boards import Board, Method
from simclick.leaderboard.charts import Chart, curves_chart, pareto_chart, rank_chart, swatch, swatches
from simclick.leaderboard.comparing import comparison
from simclick.leaderboard.downloads import Files, plainly
from simclick.leaderboard.entries import TIERS
from simclick.leaderboard.episodes import Strip, strips
from simclick.leaderboard.method_tables import (
    against_grid,
    curves_grid,
    levels_grid,
    robustness_grid,
    subset_grid,
)
from simclick.leaderboard.stability import stability_part
from simclick.leaderboard.standings import Standing
from simclick.leaderboard.tables import apart_grid, board_grid, pairs_grid
from simclick.leaderboard.verdicts import TIER_WORDS, card_facts, checks_grid
from simclick.leaderboard.views import front_grid, shares_grid
from simclick.report.grid import Grid, interval_text, value_text
from simclick.report.style import THEME

__all__ = ["ROLE_TITLES", "add_pages"]

ROLE_TITLES = {
    "clicks": "Clicks",
    "box": "Box",
    "click_noise": "Clicks that miss",
    "box_noise": "Boxes that miss",
}
_SCRIPTS = {
    "index": ("vendor/sortable.js", "index.js"),
    "board": ("vendor/sortable.js",),
    "suite": ("vendor/sortable.js",),
    "method": ("vendor/sortable.js",),
    "compare": ("compare.js",),
}


def add_pages(files: Files, standings: Sequence[Standing]) -> None:
    """Add every page, and beside it the files of its tables."""
    site = _Site(files, standings)
    site.page("index", "index.html", boards=[_index_boards(s) for s in standings])
    for standing in standings:
        stability = stability_part(standing)
        site.page("suite", f"suites/{standing.suite.name}.html", standing=standing, stability=stability)
        for board in standing.boards.values():
            site.page("board", f"boards/{board.key}.html", standing=standing, **_board_parts(standing, board))
    slugs = sorted({m.slug for standing in standings for m in standing.methods})
    for slug in slugs:
        parts = [_method_parts(s, m) for s in standings for m in s.methods if m.slug == slug]
        site.page("method", f"methods/{slug}.html", name=parts[0]["method"].label, parts=parts)
    payload, charts = comparison(standings, ROLE_TITLES)
    site.page("compare", "compare.html", payload=payload, charts=charts)


class _Site:
    """Renders templates, and gives every page its scripts and its policy."""

    def __init__(self, files: Files, standings: Sequence[Standing]) -> None:
        self._files = files
        # The report's templates come second: its style sheet is the site's, too.
        own = PackageLoader("simclick.leaderboard", "templates")
        self._environment = Environment(
            loader=ChoiceLoader([own, PackageLoader("simclick.report", "templates")]),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        # What scripts read holds escapes (\u001b) that `Files.add` would not see.
        self._environment.policies["json.dumps_function"] = _json_for_scripts
        self._environment.filters.update(value=value_text, interval=interval_text, web=_web, host=_host)
        self._environment.globals.update(
            theme=THEME,
            version=__version__,
            standings=standings,
            role_titles=ROLE_TITLES,
            tier_words=TIER_WORDS,
            tiers=TIERS,
            table_files=files.table,
            swatch=swatch,
            symbols=swatches({m.slug: m.look for s in standings for m in s.methods}),
            sort_key=_sort_key,
            by_label=lambda standing: {m.label: m for m in standing.methods},
            roles=list(dict.fromkeys(role for s in standings for role in s.boards)),
            prompts=sorted({p for s in standings for m in s.methods for p in m.entry.card.prompts}),
            modalities=sorted({b.modality for s in standings for parts in s.parts.values() for b in parts}),
        )

    def page(self, template: str, path: str, **content: Any) -> None:
        """Add a page."""
        loader = self._environment.loader
        if loader is None:
            raise RuntimeError("the environment has a loader")
        script = "\n".join(loader.get_source(self._environment, part)[0] for part in _SCRIPTS[template])
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        text = self._environment.get_template(f"{template}.html.j2").render(
            root="../" * path.count("/"),
            here=path,
            script=Markup(script),
            policy="default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            **content,
        )
        self._files.add(path, text + "\n")


def _index_boards(standing: Standing) -> dict[str, Any]:
    """Return a suite's boards with their tables: all cases, then single modalities, role by role."""
    found: list[tuple[Board, Grid, Grid | None]] = []
    for role, board in standing.boards.items():
        found.append((board, _main_grid(standing, board), apart_grid(board)))
        found += [(part, board_grid(part), apart_grid(part)) for part in standing.parts[role]]
    return {"standing": standing, "tables": found}


def _main_grid(standing: Standing, board: Board) -> Grid:
    return board_grid(board, standing.robust if board.role == "clicks" else None)


def _board_parts(standing: Standing, board: Board) -> dict[str, Any]:
    charts: list[Chart] = []
    if board.noisy:
        charts.append(curves_chart(board, levels_grid(board)))
    elif board.statistic == "area":
        charts.append(curves_chart(board, curves_grid(board)))
    cost = pareto_chart(board, front_grid(board))
    charts += [cost] if cost is not None else []
    if len(board.places) > 1:
        methods, shares = board.rank_shares()
        charts.append(rank_chart(board, methods, shares, shares_grid(board, methods, shares)))
    return {
        "board": board,
        "grid": _main_grid(standing, board),
        "apart": apart_grid(board),
        "charts": charts,
        "pairs": pairs_grid(board),
    }


def _method_parts(standing: Standing, method: Method) -> dict[str, Any]:
    """Return what a method's page shows of one suite."""
    boards = []
    films: Mapping[str, Sequence[Strip]] = strips(method)
    for board in standing.boards.values():
        if method.slug not in board.methods:
            continue
        prefix = f"{board.key}-one"
        chart: Chart | None = None
        if board.noisy:
            chart = curves_chart(board, levels_grid(board), method, prefix)
        elif board.statistic == "area":
            chart = curves_chart(board, curves_grid(board), method, prefix)
        grids = [against_grid(board, method) if method.ranked else None]
        grids += [robustness_grid(board, method)] if board.noisy else []
        grids += [subset_grid(board, method, by) for by in ("target", "modality")]
        boards.append(
            {
                "board": board,
                "chart": chart,
                "grids": [grid for grid in grids if grid is not None],
                "strips": films.get(board.protocol.id, ()),
            }
        )
    return {
        "standing": standing,
        "method": method,
        "facts": card_facts(method, standing),
        "checks": checks_grid(method),
        "boards": boards,
    }


def _sort_key(grid: Grid, row: Any, key: str) -> str:
    """Return what a cell is sorted by: its number, else its text; empty cells go last."""
    cell = row.values.get(key)
    if cell is None:
        return ""
    return cell.text if cell.value != cell.value else repr(float(cell.value))


def _json_for_scripts(content: Any, **options: Any) -> str:
    return json.dumps(plainly(content), **options)


def _web(address: str) -> str:
    """Return an address if it is one of the web, else "": no other scheme ever becomes a link."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return address if parts.scheme in ("http", "https") and parts.netloc else ""


def _host(address: str) -> str:
    return urlsplit(address).netloc
