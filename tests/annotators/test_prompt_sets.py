from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.annotators.prompt_sets import read_sam_med2d_prompts, write_sam_med2d_prompts
from simclick.errors import DataError
from simclick.prompts import Round, box, click, scribble


def test_a_padded_image_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "256_prompt.json"
    rounds = (Round((box(10, 20, 29, 39),)), Round((click(5, 6),)), Round((click(7, 8, False),)))
    write_sam_med2d_prompts(file, {"m.png": rounds}, {"m.png": (100, 57)})
    content = json.loads(file.read_text())["m.png"]
    # (256 - 57) // 2 = 99 columns and (256 - 100) // 2 = 78 rows of padding.
    assert content == {
        "boxes": [[109.0, 98.0, 129.0, 118.0]],
        "point_coords": [[[104.0, 84.0], [106.0, 86.0]]],
        "point_labels": [[1, 0]],
    }
    assert read_sam_med2d_prompts(file, {"m.png": (100, 57)}) == {"m.png": rounds}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 700)), data.draw(st.integers(1, 700))
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x, width - 1)), data.draw(st.integers(y, height - 1))
    rounds = (Round((box(x, y, x1, y1),)), Round((click(x1, y, False),)))
    file = tmp_path_factory.mktemp("p") / "256_prompt.json"
    write_sam_med2d_prompts(file, {"m": rounds}, {"m": (height, width)})
    found = read_sam_med2d_prompts(file, {"m": (height, width)})["m"]
    slack = 0 if max(height, width) < 256 else max(height, width) / 256 + 1
    for meant, back in zip(rounds, found, strict=True):
        assert back.prompts[0].positive == meant.prompts[0].positive
        for a, b in zip(meant.prompts[0].landed, back.prompts[0].landed, strict=True):
            assert abs(a - b) <= slack
    assert all(0 <= v < max(height, width) for r in found for v in r.prompts[0].landed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"m": 3}',
        '{"m": {"boxes": [[1, 2, 3]], "point_coords": [], "point_labels": []}}',
        '{"m": {"boxes": [[9, 9, 3, 3]], "point_coords": [], "point_labels": []}}',
        '{"m": {"boxes": [], "point_coords": [[[1, 2]]], "point_labels": [[]]}}',
        '{"m": {"boxes": [], "point_coords": [[[1, NaN]]], "point_labels": [[1]]}}',
        '{"m": {"boxes": [], "point_coords": [[[1, 2]]], "point_labels": [[-1]]}}',
        '{"m": {"boxes": [], "point_coords": [[[1, "x"]]], "point_labels": [[1]]}}',
    ],
)
def test_a_malformed_file_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "256_prompt.json"
    file.write_text(text)
    with pytest.raises(DataError, match="prompt") as caught:
        read_sam_med2d_prompts(file, {"m": (100, 100)})
    assert "\n" not in str(caught.value)


def test_scribbles_and_unknown_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="scribble"):
        write_sam_med2d_prompts(tmp_path / "p.json", {"m": [Round((scribble([(1, 1)]),))]}, {"m": (9, 9)})
    with pytest.raises(DataError, match="size of m"):
        write_sam_med2d_prompts(tmp_path / "p.json", {"m": []}, {})
