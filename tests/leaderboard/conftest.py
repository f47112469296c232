"""What several tests of the leaderboard set up."""

from __future__ import annotations

from functools import partial

import pytest
from submission_support import made

from simclick.leaderboard import folders, verify


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tiny suite be one that simclick ships, in this process and for the workers."""
    monkeypatch.setattr(folders, "suite_names", lambda: ["tiny-v1"])
    monkeypatch.setattr(folders, "load_suite", lambda name: made().suite)
    monkeypatch.setattr(verify, "verify", partial(verify.verify, suite=made().suite_file))
