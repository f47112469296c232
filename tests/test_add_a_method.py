"""The method in docs/add-a-method.md is whole, short, and works."""

from __future__ import annotations

import re
from pathlib import Path

from simclick.testing import check_agent

PAGE = Path(__file__).resolve().parents[1] / "docs" / "add-a-method.md"


def test_the_method_in_the_documentation_works() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len(code.strip().splitlines()) <= 35
    names: dict[str, type] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    check_agent(names["Grow"]())
