"""What the study of noise says in words: who is fragile, to what, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

from simclick.report.grid import MINUS, Value, value_text
from simclick.report.robustness_scene import Scene
from simclick.statistics.robustness import PASSED
from simclick.texts import listed

__all__ = ["robustness_words"]

SAID = 4
"""At most this many agents in one sentence."""
_ALPHA = 0.05


def robustness_words(scene: Scene) -> list[str]:
    """Return sentences on what the agents of a scene lose; numbers in brackets are 95 % intervals."""
    parts = (_losers(scene), _surely(scene), _passing(scene), _repaired(scene), _leader(scene))
    return list(chain.from_iterable(parts))


def _with_interval(value: Value) -> str:
    ends = f" [{value.low:.2f}, {value.high:.2f}]" if value.has_interval else ""
    return f"{value.value:.2f}{ends}".replace("-", MINUS)


def _losers(scene: Scene) -> Iterator[str]:
    """Say what each agent loses at the largest level, the most fragile first."""
    top = scene.section.levels[-1]
    agents = [a for a in scene.agents[::-1] if not math.isnan(_loss(scene, a, top).value)]
    if not agents:
        return
    shown = agents if len(agents) <= SAID else [*agents[: SAID - 1], agents[-1]]
    parts = []
    for agent in shown:
        base = scene.value(agent, scene.last, "mean", 0.0).value
        verb, what = ("loses ", " Dice") if agent == shown[0] else ("", "")
        parts.append(f"{agent} {verb}{_with_interval(_loss(scene, agent, top))} of {base:.2f}{what}")
    noise = scene.section.protocol["noise"]
    yield f"At {noise} {scene.dose(top)} and after {scene.spent(scene.last)}, {listed(parts)}."
    unsure = [agent for agent in shown if not _loss(scene, agent, top).has_interval]
    if unsure:
        whom = "" if len(unsure) == len(shown) else f" for {listed(unsure)}"
        yield f"How sure that is cannot be said{whom}: there are no intervals (the tables say why)."


def _loss(scene: Scene, agent: str, level: float) -> Value:
    return scene.value(agent, scene.last, "drop", level)


def _surely(scene: Scene) -> Iterator[str]:
    """Say how sure it is that the most fragile agent is more fragile than the most robust one."""
    if len(scene.agents) < 2:
        return
    most, least = scene.agents[-1], scene.agents[0]
    difference, p, note = scene.pair("dose_area", most, least)
    if math.isnan(difference.value):
        return
    if difference.value < 0:  # on the cases that both have the order may be the other one
        most, least = least, most
        difference, p, note = scene.pair("dose_area", most, least)
    text = f"On average over all levels {most} loses {_with_interval(difference)} more than {least}"
    yield f"{text}; {_verdict(difference, p, note)}."


def _verdict(difference: Value, p: float, note: str) -> str:
    """Say whether a difference is more than chance: by its interval, and by p corrected for all pairs."""
    if not difference.has_interval:
        return f"how sure that is cannot be said ({note})"
    shown = value_text(Value(p), "p")
    corrected = f"p {'' if shown.startswith('<') else '= '}{shown}, corrected for all pairs of agents"
    if not difference.strong:
        return f"that may be chance ({corrected})"
    if p >= _ALPHA:
        return f"the interval excludes 0, but with so many pairs that may be chance ({corrected})"
    return f"that is clear ({corrected})"


def _passing(scene: Scene) -> Iterator[str]:
    """Say at which level each agent has lost a little."""
    found = {a: scene.value(a, scene.last, f"passes@{PASSED:g}") for a in scene.agents[::-1]}
    some = {a: v for a, v in found.items() if math.isfinite(v.value)}
    never = [a for a, v in found.items() if math.isinf(v.value)]
    if some:
        low, high = (pick(some, key=lambda a: some[a].value) for pick in (min, max))
        at = {agent: scene.dose(float(f"{value.value:.2g}")) for agent, value in some.items()}
        text = f"A loss of {PASSED:g} is reached first by {low}, at {at[low]}"
        yield f"{text}, and last by {high}, at {at[high]}." if high != low else f"{text}."
    if never:
        names = listed(never) if len(never) <= SAID else f"{len(never)} agents"
        yield f"Within the levels tried {names} never lose{'s' * (names == never[0])} {PASSED:g}."


def _repaired(scene: Scene) -> Iterator[str]:
    """Say whether further clicks make up for the noise, for the most fragile agent."""
    if scene.first == scene.last:
        return
    top, agent = scene.section.levels[-1], scene.agents[-1]
    one, last = scene.value(agent, scene.first, "drop", top), _loss(scene, agent, top)
    if math.isnan(one.value) or math.isnan(last.value):
        return
    apart = one.has_interval and last.has_interval and (last.high < one.low or one.high < last.low)
    if value_text(one, "dice") == value_text(last, "dice"):
        verdict = "stays the same"
    else:
        verdict = "shrinks" if last.value < one.value else "grows"
        verdict += "" if apart else ", which may be chance"
    early = f"{_with_interval(one)} after {scene.spent(scene.first)}"
    late = f"{_with_interval(last)} after {scene.spent(scene.last)}"
    yield f"With further clicks what {agent} loses {verdict}: {early}, {late}."


def _leader(scene: Scene) -> Iterator[str]:
    """Say who is best under noise, and how sure that is."""
    if len(scene.agents) < 2:
        return
    low, top = scene.section.levels[0], scene.section.levels[-1]

    def ranked(level: float) -> list[str]:
        values = {a: scene.value(a, scene.last, "mean", level).value for a in scene.agents}
        return sorted((a for a in values if not math.isnan(values[a])), key=lambda a: (-values[a], a))

    before, under = ranked(low), ranked(top)
    if not before or len(under) < 2:
        return
    at_low = "without noise" if low == 0 else f"at {scene.dose(low)}"
    text = (
        f"{under[0]} has the highest Dice {at_low} and at {scene.dose(top)}"
        if before[0] == under[0]
        else f"{before[0]} has the highest Dice {at_low}, {under[0]} at {scene.dose(top)}"
    )
    difference, p, note = scene.pair("mean", under[0], under[1], top)
    if math.isnan(difference.value):
        yield f"{text}."
        return
    lead = f"There it is {_with_interval(difference)} ahead of {under[1]}"
    yield f"{text}. {lead}; {_verdict(difference, p, note)}."
