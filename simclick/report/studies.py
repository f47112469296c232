"""Which studies a report holds: each section's, then those across sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from simclick.report.runs import Section
from simclick.report.study import Study
from simclick.report.study_ranking import crossing_study, ranking_study
from simclick.report.study_rclicks import rclicks_study
from simclick.report.study_robustness import robustness_study
from simclick.report.style import Look

__all__ = ["make_studies"]

_OF_SECTION = (robustness_study, crossing_study)
_OF_ALL = (ranking_study, rclicks_study)


def make_studies(sections: Sequence[Section], looks: Mapping[str, Look]) -> Iterator[Study]:
    """Yield the studies that the sections have data for, in the order of the page."""
    filled = [section for section in sections if section.datasets]
    for section in filled:
        for make in _OF_SECTION:
            if (study := make(section, looks)) is not None:
                yield study
    for make_all in _OF_ALL:
        if (study := make_all(filled, looks)) is not None:
            yield study
