"""Simulated annotators, and noise on their prompts."""

from __future__ import annotations

from simclick.annotators.base import Annotator, History, Noise
from simclick.registry import Entry

__all__ = ["ANNOTATORS", "NOISES", "Annotator", "History", "Noise"]

ANNOTATORS: dict[str, Entry] = {}
NOISES: dict[str, Entry] = {}
