"""Simulated annotators, and noise on their prompts."""

from __future__ import annotations

from simclick.annotators.base import Annotator, History, Noise
from simclick.registry import Entry

__all__ = ["ANNOTATORS", "NOISES", "Annotator", "History", "Noise"]

ANNOTATORS: dict[str, Entry] = {
    "center-click": Entry(
        "simclick.annotators.clicks:CenterClick",
        "middle of the largest error by distance to its border: RITM's rule, the field's NoC",
    ),
    "center-click-diverse": Entry(
        "simclick.annotators.clicks:CenterClickDiverse",
        "the same, never near an earlier click and with ties broken to the middle (recommended)",
    ),
    "random-click": Entry(
        "simclick.annotators.clicks:RandomClick",
        "any wrong pixel, each as likely as another",
    ),
    "largest-component-click": Entry(
        "simclick.annotators.clicks:LargestComponentClick",
        "middle of the wrong region with the largest area",
    ),
    "tight-box": Entry(
        "simclick.annotators.boxes:TightBox",
        "the tight box of the object, once",
    ),
    "box-then-click": Entry(
        "simclick.annotators.boxes:BoxThenClick",
        "the tight box of the object, then center-click corrections",
    ),
}

NOISES: dict[str, Entry] = {
    "gaussian-click": Entry(
        "simclick.annotators.noise:GaussianClick",
        "clicks move by a normal displacement; level: standard deviation per axis",
    ),
    "uniform-disc-click": Entry(
        "simclick.annotators.noise:UniformDiscClick",
        "clicks land anywhere in a disc around where they were meant; level: its radius",
    ),
    "box-edges": Entry(
        "simclick.annotators.noise:BoxEdges",
        "each edge of a box moves alone, in or out; level: the most it moves",
    ),
    "box-shift": Entry(
        "simclick.annotators.noise:BoxShift",
        "boxes move as a whole; level: the most they move along each axis",
    ),
}
