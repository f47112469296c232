"""The code on docs/environments.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "environments.md"


@pytest.mark.filterwarnings("error")
def test_the_code_runs():
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    single, vector, pictures, swapped = found
    names: dict = {}
    exec(single, names)
    assert names["info"]["cost"] == 20
    assert names["truncated"]
    exec(vector, names)
    assert names["levels"] == (0.0, 2.0, 2.0, 2.0)
    assert np.array_equal(names["image"], names["case"].image)
    exec(pictures, {**names, "rounds": names["info"]["rounds"]}, names)
    assert names["picture"].shape == (384, 512, 3)
    assert min(names["detail"].shape[:2]) > 512
    names = {}
    exec(swapped, names)
    assert names["observation"]["cost"] == 20
    assert names["truncated"]
