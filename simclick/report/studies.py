"""Which studies a report holds: the field's questions, each section's, then those across sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from simclick.report.runs import Section
from simclick.report.study import Study
from simclick.report.study_cvpr25 import cvpr25_study
from simclick.report.study_factors import factors_study
from simclick.report.study_first_click import first_click_study
from simclick.report.study_questions import questions_study
from simclick.report.study_ranking import crossing_study, ranking_study
from simclick.report.study_rclicks import rclicks_study
from simclick.report.study_robustness import robustness_study
from simclick.report.style import Look
from simclick.statistics.effort import TimeModel

__all__ = ["make_studies"]

_OF_SECTION = (robustness_study, first_click_study, crossing_study, cvpr25_study, factors_study)
_FIRST = (questions_study,)
_OF_ALL = (ranking_study, rclicks_study)


def make_studies(
    sections: Sequence[Section], looks: Mapping[str, Look], time: TimeModel | None = None
) -> Iterator[Study]:
    """Yield the studies that the sections have data for, in the order of the page.

    Args:
        sections: The sections.
        looks: How agents are drawn.
        time: The model of time behind simulated seconds; None: its defaults.
    """
    filled = [section for section in sections if section.datasets]
    for make_first in _FIRST:
        if (study := make_first(filled, looks)) is not None:
            yield study
    for section in filled:
        for make in _OF_SECTION:
            timed = partial(crossing_study, time=time) if make is crossing_study else make
            if (study := timed(section, looks)) is not None:
                yield study
    for make_all in _OF_ALL:
        if (study := make_all(filled, looks)) is not None:
            yield study
