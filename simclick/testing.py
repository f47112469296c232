"""Conformance checks that a third party can call on its own classes.

Each raises `AssertionError` with words that say what is wrong; nothing is returned.
"""

from __future__ import annotations

from simclick.testing_agent import TOLERANCE, check_agent
from simclick.testing_annotator import check_annotator, check_noise
from simclick.testing_requests import sample_cases

__all__ = ["TOLERANCE", "check_agent", "check_annotator", "check_noise", "sample_cases"]
