"""Study: what makes cases hard, by partial correlations with the factors of a case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simclick.metrics.attributes import ATTRIBUTES
from simclick.report.figures import Picture
from simclick.report.grid import MINUS, Column, Grid, Row, Value
from simclick.report.robustness_scene import shortened
from simclick.report.runs import Section
from simclick.report.study import Study
from simclick.report.style import INK, MUTED, PAPER, Look, drawing
from simclick.report.tables import slug
from simclick.statistics.bootstrap import MIN_GROUPS
from simclick.statistics.factors import factor_table
from simclick.statistics.measures import case_table, episode_table
from simclick.statistics.summary import group_codes
from simclick.texts import listed

__all__ = ["factors_study"]

OUTCOMES = ("area", "final_dice")
PLANTED = "planted_"
HELD: Mapping[str, tuple[str, ...]] = {"measured": ("modality",), "planted": ("modality", "target")}
"""What is held fixed beside the factors: what is planted is planted alike in every target."""
RESAMPLES = 999
_LEFT_OUT = ("fourier_order_paper",)  # the corrected one says the same, but for symmetric shapes
_NAMES = {
    "area_share": "size (share of the image)",
    "aspect": "aspect (short / long side)",
    "intensity_difference": "difference of intensity",
    "contrast_to_noise": "contrast to noise",
    "fourier_order": "boundary complexity (Fourier)",
    "components": "components",
    "holes": "holes",
}


@dataclass(frozen=True)
class _Panel:
    """One data set with one set of factors.

    Attributes:
        dataset: Its name.
        kind: ``measured`` or ``planted``.
        factors: The factors that have a number, in the order of tables.
        table: Rows of `factor_table` for every agent and outcome.
        shown: The outcome that is shown: ``area``, or ``final_dice`` of a single round.
    """

    dataset: str
    kind: str
    factors: tuple[str, ...]
    table: pd.DataFrame
    shown: str

    def rows(self, agent: str) -> pd.DataFrame:
        """Return an agent's rows for the outcome that is shown, by factor."""
        mine = self.table[(self.table["agent"] == agent) & (self.table["outcome"] == self.shown)]
        return mine.set_index("factor")

    @property
    def held(self) -> str:
        """What else is held fixed, in words."""
        return "the " + " and the ".join(HELD[self.kind])

    @property
    def size(self) -> tuple[int, int]:
        """Cases and groups."""
        return int(self.table["n_cases"].max()), int(self.table["n_groups"].max())


def factors_study(section: Section, looks: Mapping[str, Look]) -> Study | None:
    """Return how each agent's Dice goes with the factors of cases; None where nothing can be said.

    Per data set of at least `MIN_GROUPS` groups: the factors that `simclick.metrics.attributes` measures, and
    apart from them the planted ones of generated data, for planted and measured contrast are one thing.
    The modality is held fixed, and for planted factors the target too. Taken at the lowest noise level,
    without bounds and agents with random weights. A factor shows where at least one agent has a number
    for it. Of runs whose cases hold no measured factor (made before these were kept) it says so.
    """
    labels = sorted(label for label, e in section.entrants.items() if not (e.bound or e.random_weights))
    cases = _cases(section, labels)
    if cases is None:
        return None
    outcome = "final_dice" if section.rounds.single else "area"
    panels, lacking = list(_panels(cases, outcome)), _lacking(cases)
    if not panels and not lacking:
        return None
    name = slug(section.stem, "factors")
    agents = [label for label in labels if label in set(cases["agent"])]
    what = section.rounds.outcome_words if section.rounds.single else "mean Dice"
    with drawing():
        pictures = [_picture(panel, agents, looks, what) for panel in panels]
    return Study(
        kind=name,
        title=f"What makes cases hard ({section.name})",
        words=(
            *(sentence for panel in panels for sentence in _words(panel, agents, what)),
            *_regrets(lacking),
        ),
        tables={name: pd.concat([panel.table for panel in panels], ignore_index=True)} if panels else {},
        grids=[_grid(section, panel, agents, name, what) for panel in panels],
        pictures=pictures,
    )


def _cases(section: Section, labels: Sequence[str]) -> pd.DataFrame | None:
    """Return a row per agent and case with outcomes and factors, at the lowest level."""
    episodes, steps = (
        t[t["agent"].isin(labels) & (t["level"] == section.levels[0])]
        for t in (section.episodes, section.steps)
    )
    if episodes.empty:
        return None
    found = case_table(episode_table(episodes, steps, section.budget))
    plans = []
    for _, run in section.runs:
        planned = run.cases()
        known = pd.DataFrame(planned["factors"].to_list(), index=planned.index, dtype=np.float64)
        plans.append(known.assign(dataset=run.dataset, case_id=planned["case_id"]))
    # Runs of one case agree on its content; an old one may lack what a new one measured.
    factors = pd.concat(plans, ignore_index=True).groupby(["dataset", "case_id"], as_index=False).first()
    own = [c for c in factors.columns if c not in ("dataset", "case_id")]
    factors = factors.rename(columns={c: f"factor:{c}" for c in own})
    return found.merge(factors, on=["dataset", "case_id"], how="left", validate="many_to_one")


def _panels(cases: pd.DataFrame, outcome: str) -> Iterator[_Panel]:
    """Yield what can be shown of an outcome: data sets with most groups first."""
    columns = [c.removeprefix("factor:") for c in cases.columns if c.startswith("factor:")]
    sets = {
        "measured": [c for c in ATTRIBUTES if c in columns and c not in _LEFT_OUT],
        "planted": sorted(c for c in columns if c.startswith(PLANTED)),
    }
    for dataset, part in _large(cases):
        for kind, factors in sets.items():
            table = _table(part, dataset, kind, factors)
            shown = table[(table["outcome"] == outcome) & table["partial_rho"].notna()]
            if len(shown):
                usable = tuple(f for f in factors if f in set(shown["factor"]))
                yield _Panel(dataset, kind, usable, table, outcome)


def _large(cases: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the data sets with enough groups, those with most first."""
    parts = {str(name): rows for name, rows in cases.groupby("dataset", sort=True)}
    many = {name: int(group_codes(rows).max()) + 1 for name, rows in parts.items()}
    enough = [name for name in parts if many[name] >= MIN_GROUPS]
    return [(name, parts[name]) for name in sorted(enough, key=lambda name: (-many[name], name))]


def _lacking(cases: pd.DataFrame) -> list[str]:
    """Return the data sets whose cases were not measured: they lack the share of the area, which all have.

    Factors that a data set gives itself may bear the name of a measured one.
    """
    column = f"factor:{ATTRIBUTES[0]}"
    return [n for n, part in _large(cases) if column not in part or not part[column].notna().any()]


def _regrets(lacking: Sequence[str]) -> Iterator[str]:
    if lacking:
        yield (
            f"The runs on {listed(lacking)} hold no measured factors of their cases: an earlier version made "
            "them. Run them again into new folders to see size, aspect, contrast and boundary here."
        )


def _table(cases: pd.DataFrame, dataset: str, kind: str, factors: Sequence[str]) -> pd.DataFrame:
    parts = []
    for agent, rows in cases.groupby("agent", sort=True):
        rows = rows.rename(columns={f"factor:{name}": name for name in factors})
        for outcome in OUTCOMES:
            table = factor_table(rows, outcome, factors, covariates=HELD[kind], resamples=RESAMPLES)
            place = {"dataset": dataset, "agent": agent, "set": kind, "outcome": outcome}
            for position, (column, value) in enumerate(place.items()):
                table.insert(position, column, value)
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _named(factor: str) -> str:
    return _NAMES.get(factor, factor.replace("_", " "))


def _signed(value: float) -> str:
    return f"{MINUS if round(value, 2) < 0 else '+'}{abs(value):.2f}"


def _clear(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose interval excludes 0, the strongest first."""
    clear = rows[(rows["low"] > 0) | (rows["high"] < 0)]
    return clear.loc[clear["partial_rho"].abs().sort_values(ascending=False, kind="stable").index]


def _list(rows: pd.DataFrame, ends: bool = False) -> str:
    """Return factors with their correlations, and intervals where wanted."""
    said = []
    columns = (rows[name] for name in ("partial_rho", "low", "high"))
    for factor, value, low, high in zip(rows.index, *columns, strict=True):
        between = f" [{_signed(low)}, {_signed(high)}]" if ends else ""
        said.append(f"{_named(str(factor))} ({_signed(value)}{between})")
    return ", ".join(said)


def _words(panel: _Panel, agents: Sequence[str], what: str) -> Iterator[str]:
    """Yield a sentence per agent: which factors its Dice clearly goes with."""
    about = "planted factors" if panel.kind == "planted" else "measured factors"
    if not panel.table.loc[panel.table["outcome"] == panel.shown, "low"].notna().any():
        yield (
            f"On {panel.dataset} it cannot be said which of the {about} matter: "
            "too few cases tell them apart."
        )
    for agent in agents:
        rows = panel.rows(agent)
        known = rows[rows["low"].notna()]
        if known.empty:
            continue
        clear = _clear(known)
        rising, falling = clear[clear["partial_rho"] > 0], clear[clear["partial_rho"] < 0]
        said = [f"rises with {_list(rising, True)}"] * bool(len(rising))
        said += [f"falls with {_list(falling, True)}"] * bool(len(falling))
        left = len(known) - len(clear)
        if not said:
            none = f"none of the {about} ({len(known)}) clearly goes with {agent}'s {what}"
            yield f"On {panel.dataset}, {none}."
            continue
        rest = f"; for {left} other{'s' * (left != 1)} that is open" if left else ""
        yield f"On {panel.dataset}, of the {about}, {agent}'s {what} {' and '.join(said)}{rest}."


def _grid(section: Section, panel: _Panel, agents: Sequence[str], name: str, what: str) -> Grid:
    columns = tuple(Column(agent, agent, "difference") for agent in agents)
    tables = {agent: panel.rows(agent) for agent in agents}
    rows = []
    for factor in panel.factors:
        cells = {}
        for agent, table in tables.items():
            if factor in table.index:
                place = table.index.get_loc(factor)
                value, low, high = table[["partial_rho", "low", "high"]].to_numpy(dtype=np.float64)[place]
                cells[agent] = Value(value, low, high, strong=low > 0 or high < 0)
        rows.append(Row(_named(factor), cells))
    cases, groups = panel.size
    notes = [
        f"{cases} cases in {groups} groups, protocol {section.name}, seed {section.seed}.",
        f"Spearman's partial correlation with {what}. "
        f"Held fixed: the other factors of the table, {panel.held}. Bold: the interval excludes 0.",
        "Brackets: 95 % interval, studentised bootstrap over groups; not corrected for how many factors.",
    ]
    shown = panel.table[panel.table["outcome"] == panel.shown]
    for note, mine in shown[shown["note"] != ""].groupby("note", sort=True):
        which = ", ".join(_named(f) for f in dict.fromkeys(mine["factor"]))
        notes.append(f"{which[:1].upper()}{which[1:]}: {note}.")
    return Grid(
        name=slug(name, panel.dataset, panel.kind),
        title=f"{what[0].upper()}{what[1:]} and {panel.kind} factors on {panel.dataset}",
        stub="factor",
        columns=columns,
        rows=tuple(rows),
        notes=tuple(notes),
        constants={
            "dataset": panel.dataset,
            "protocol": section.protocol["id"],
            "protocol_digest": section.protocol["digest"],
            "level": section.levels[0],
            "seed": section.seed,
        },
    )


def _picture(panel: _Panel, agents: Sequence[str], looks: Mapping[str, Look], what: str) -> Picture:
    step = max(0.42, 0.17 * len(agents) + 0.16)
    height = step * len(panel.factors) + 1.0
    figure = Figure((7.2, height))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.3, right=0.78, bottom=0.5 / height, top=1 - 0.2 / height)
    y = np.arange(len(panel.factors), dtype=np.float64)
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, agent in enumerate(agents):
        shift = 0.0 if len(agents) == 1 else 0.62 * (place / (len(agents) - 1) - 0.5)
        _draw(axes, panel.rows(agent).reindex(panel.factors), y + shift, looks[agent])
    for edge in y[:-1] + 0.5:
        axes.axhline(edge, color=MUTED, linewidth=0.4, alpha=0.5)
    axes.set_yticks(y, [_named(f) for f in panel.factors])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(-1, 1), ylim=(len(y) - 0.5, -0.5))
    axes.set_xlabel(f"partial correlation with {what}")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    ends = []
    for agent in agents:
        said = _list(_clear(panel.rows(agent)))
        ends.append(f"{agent}: {said or 'none'}")
    return Picture(
        slug("factors", panel.dataset, panel.kind),
        f"What Dice goes with: {panel.kind} factors on {panel.dataset}",
        "Partial correlations whose interval excludes 0. " + "; ".join(ends) + ".",
        "Right of 0: more of it, better masks. Lines: 95 % interval over groups. "
        f"Held fixed: the other factors, {panel.held}.",
        figure,
    )


def _draw(axes: Axes, rows: pd.DataFrame, y: NDArray[np.float64], look: Look) -> None:
    value, low, high = (rows[c].to_numpy(dtype=np.float64) for c in ("partial_rho", "low", "high"))
    axes.hlines(y, low, high, color=look.colour, linewidth=1.6)
    axes.plot(
        value, y, color=look.colour, marker=look.marker or "o", markersize=6, linestyle="",
        markeredgecolor=PAPER, markeredgewidth=0.7, label=shortened(look.label),
    )  # fmt: skip
