"""A figure with what is said about it."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

__all__ = ["Picture"]


@dataclass(frozen=True)
class Picture:
    """A figure with what is said about it.

    Attributes:
        kind: Part of its file name.
        title: What it shows.
        alt: What a reader who cannot see it must know.
        note: How to read it.
        figure: The figure.
    """

    kind: str
    title: str
    alt: str
    note: str
    figure: Figure
