"""Protocols: everything that must be equal for two numbers to be comparable, frozen under an id.

A protocol is an annotator, a noise and its levels, a budget, repeats, a rule for choosing among an
agent's masks, and where surfaces are measured. It is written once, in ``conf/protocol/ID.yaml``;
`FROZEN` holds the digest of each, so an edit cannot pass unnoticed. A changed protocol keeps its id
with a ``+`` and has a digest of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from importlib.resources import files
from typing import Any

import yaml

from simclick import registry
from simclick.annotators.base import Annotator, Noise
from simclick.errors import ConfigError, unknown_name
from simclick.prompts import DEFAULT_COSTS, KINDS

__all__ = ["FROZEN", "SELECTION_RULES", "Protocol", "as_protocol", "load_protocol", "protocol_names"]

SELECTION_RULES = ("score", "first", "largest", "oracle")

FROZEN: Mapping[str, str] = yaml.safe_load(
    (files("simclick.conf") / "digests.yaml").read_text(encoding="utf-8")
)
"""Digest of each shipped protocol, from ``conf/digests.yaml``. Never edit a line: supersede it."""


@dataclass(frozen=True)
class Protocol:
    """One protocol.

    Attributes:
        id: Name and version, for example ``noc-v1``.
        summary: One line for `simclick list`.
        annotator: Registered name of the annotator.
        annotator_options: Its options.
        noise: Registered name of the noise, or ``none``.
        noise_options: Its options.
        levels: Noise levels; 0 is the annotator's own prompt. ``(0.0,)`` without noise.
        budget: Largest cumulative cost, in clicks. A round that would pass it is not given.
        repeats: Repeats of every cell in which chance plays a part.
        costs: Cost of each kind of prompt, in clicks.
        select: Rule for choosing among candidates: ``score``, ``first``, ``largest``, ``oracle``.
        surface_at: Costs at which surface distances are measured.
        nsd_tolerance: Tolerance of the normalised surface Dice, in mm where the case has a
            spacing, else in pixels.
    """

    id: str
    annotator: str
    summary: str = ""
    annotator_options: Mapping[str, Any] = field(default_factory=dict)
    noise: str = "none"
    noise_options: Mapping[str, Any] = field(default_factory=dict)
    levels: tuple[float, ...] = (0.0,)
    budget: int = 20
    repeats: int = 1
    costs: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_COSTS))
    select: str = "score"
    surface_at: tuple[int, ...] = ()
    nsd_tolerance: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(float(level) for level in self.levels))
        object.__setattr__(self, "surface_at", tuple(int(cost) for cost in self.surface_at))
        object.__setattr__(self, "annotator_options", dict(self.annotator_options))
        object.__setattr__(self, "noise_options", dict(self.noise_options))
        object.__setattr__(self, "costs", {**DEFAULT_COSTS, **self.costs})
        _check(self)

    def make_annotator(self) -> Annotator:
        """Return a new annotator with this protocol's options."""
        cls = registry.annotators.load(self.annotator)
        annotator: Annotator = _build(cls, f"protocol.annotator ({self.annotator})", self.annotator_options)
        return annotator

    def make_noise(self) -> Noise | None:
        """Return a new noise with this protocol's options, or None."""
        if self.noise == "none":
            return None
        cls = registry.noises.load(self.noise)
        noise: Noise = _build(cls, f"protocol.noise ({self.noise})", self.noise_options)
        most = getattr(noise, "max_level", math.inf)
        if max(self.levels) > most:
            raise ConfigError(
                f"protocol.levels={list(self.levels)}: levels of {self.noise} are at most {most:g}"
            )
        return noise

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that changes a number, with the versions of the rules used."""
        content = asdict(self)
        for name in ("id", "summary"):
            del content[name]
        annotator = self.make_annotator()
        content["annotator_version"] = annotator.version
        if (fingerprint := getattr(annotator, "fingerprint", None)) is not None:
            # Of a recorded prompt set the content counts, not where it lies.
            content["annotator_fingerprint"] = fingerprint
            content["annotator_options"] = {
                name: value for name, value in self.annotator_options.items() if name != "path"
            }
        noise = self.make_noise()
        content["noise_version"] = None if noise is None else noise.version
        text = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def cells(self) -> list[tuple[float, int]]:
        """Return ``(level, repeat)`` of every episode of a case, in order.

        A cell without chance (level 0 of an annotator that draws none) has repeat 0 only.
        """
        chance = self.make_annotator().draws_chance
        return [
            (level, repeat)
            for level in self.levels
            for repeat in range(self.repeats if chance or level > 0 else 1)
        ]

    def with_overrides(self, overrides: Mapping[str, Any]) -> Protocol:
        """Return a changed protocol: its id ends in ``+`` unless nothing changed.

        Raises:
            ConfigError: On an unknown key or a bad value.
        """
        fields = [name for name in self.__dataclass_fields__ if name != "id"]
        for key in overrides:
            if key not in fields:
                raise unknown_name("key of protocol", key, fields)
        changed = replace(self, **overrides)
        if changed.digest == self.digest:
            return self
        return replace(changed, id=self.id.rstrip("+") + "+")


def _build(cls: Any, what: str, options: Mapping[str, Any]) -> Any:
    known = [field.name for field in fields(cls)] if is_dataclass(cls) else None
    for name in options:
        if known is not None and name not in known:
            raise unknown_name(f"option of {what}", name, known)
    try:
        return cls(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what}: {error}") from None


def _check(p: Protocol) -> None:
    """Refuse values that no run could mean."""

    def need(condition: bool, key: str, value: object, rule: str) -> None:
        if not condition:
            raise ConfigError(f"protocol.{key}={value}: {rule}")

    need(_is_whole(p.budget, 1), "budget", p.budget, "must be a whole number ≥ 1")
    need(_is_whole(p.repeats, 1), "repeats", p.repeats, "must be a whole number ≥ 1")
    need(len(p.levels) > 0, "levels", list(p.levels), "needs at least one level")
    need(all(0 <= v < float("inf") for v in p.levels), "levels", list(p.levels), "must be finite and ≥ 0")
    need(len(set(p.levels)) == len(p.levels), "levels", list(p.levels), "must not repeat")
    need(
        p.noise != "none" or p.levels == (0.0,), "levels", list(p.levels), "needs a noise, and there is none"
    )
    need(p.select in SELECTION_RULES, "select", p.select, f"must be one of {', '.join(SELECTION_RULES)}")
    need(all(c >= 1 for c in p.surface_at), "surface_at", list(p.surface_at), "must be costs ≥ 1")
    need(p.nsd_tolerance >= 0, "nsd_tolerance", p.nsd_tolerance, "must be ≥ 0")
    for kind, cost in p.costs.items():
        need(kind in KINDS, "costs", kind, f"must be one of {', '.join(KINDS)}")
        # A prompt that costs nothing could be given for ever.
        least = DEFAULT_COSTS[kind] and 1
        need(_is_whole(cost, least), f"costs.{kind}", cost, f"must be a whole number ≥ {least}")


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def protocol_names() -> list[str]:
    """Return the ids of all shipped protocols, sorted."""
    return [name for name, entry in registry.protocols.entries.items() if entry.plugin is None]


def load_protocol(name: str) -> Protocol:
    """Return a protocol by its id: a shipped one, or a plug-in's.

    A plug-in's entry point in the group ``simclick.protocols`` is named after the id, and stands for a
    `Protocol` or a mapping of the keys of a file in ``conf/protocol``.

    Raises:
        ConfigError: When there is none of that name, or the plug-in's is none.
    """
    entry = registry.protocols.entry(name)
    if entry.plugin is not None:
        return as_protocol(name, registry.protocols.load(name), "of a plug-in")
    text = (files("simclick.conf.protocol") / f"{name}.yaml").read_text(encoding="utf-8")
    return Protocol(**yaml.safe_load(text))


def as_protocol(name: str, content: Any, whose: str) -> Protocol:
    """Return a `Protocol`, or a mapping of its keys, as a protocol of that id; `whose` it is, for messages.

    Raises:
        ConfigError: When it is neither, lacks a key, or has another id.
    """
    if isinstance(content, Mapping):
        needed = [f.name for f in fields(Protocol) if f.default is MISSING and f.default_factory is MISSING]
        if missing := [key for key in needed if key not in content]:
            raise ConfigError(f"protocol {name!r} {whose} lacks the key {' and '.join(missing)}")
        try:
            content = Protocol(**content)
        except TypeError as error:
            raise ConfigError(f"protocol {name!r} {whose}: {error}") from None
    if not isinstance(content, Protocol):
        raise ConfigError(f"protocol {name!r} {whose} is a {type(content).__name__}, not a Protocol")
    if content.id != name:
        raise ConfigError(f"protocol {name!r} {whose} has the id {content.id!r}: they must be equal")
    return content
