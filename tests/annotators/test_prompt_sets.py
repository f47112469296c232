"""SAM-Med2D's prompt files: by hand, both forms, beside OpenCV's resizing, and malformed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.annotators.prompt_sets import read_sam_med2d_prompts, write_sam_med2d_prompts
from simclick.errors import DataError
from simclick.prompts import Prompt, Round, box, click, scribble


def test_a_padded_image_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "256_prompt.json"
    rounds = (Round((box(10, 20, 29, 39),)), Round((click(5, 6),)), Round((click(7, 8, False),)))
    write_sam_med2d_prompts(file, {"m.png": rounds}, {"m.png": (100, 57)})
    content = json.loads(file.read_text())["m.png"]
    # (256 - 57) // 2 = 99 columns and (256 - 100) // 2 = 78 rows of padding.
    assert content == {
        "boxes": [[109.0, 98.0, 129.0, 118.0]],
        "point_coords": [[104.0, 84.0], [106.0, 86.0]],
        "point_labels": [1, 0],
    }
    assert read_sam_med2d_prompts(file, {"m.png": (100, 57)}) == {"m.png": rounds}


def write(file: Path, boxes: object, points: object, labels: object) -> Path:
    file.write_text(json.dumps({"m": {"boxes": boxes, "point_coords": points, "point_labels": labels}}))
    return file


def test_both_forms_of_the_tool_are_read(tmp_path: Path) -> None:
    file = tmp_path / "256_prompt.json"
    sizes = {"m": (256, 256)}
    first, second = Round((box(3, 4, 8, 9),)), Round((click(5, 6),))
    # One point, as its evaluation writes by default; several, one level deeper; none.
    write(file, [[3.0, 4.0, 9.0, 10.0]], [[5.0, 6.0]], [1])
    assert read_sam_med2d_prompts(file, sizes) == {"m": (first, second)}
    write(file, [[3.0, 4.0, 9.0, 10.0]], [[[5.0, 6.0], [0.0, 255.0]]], [[1, 0]])
    assert read_sam_med2d_prompts(file, sizes) == {"m": (first, second, Round((click(0, 255, False),)))}
    for points, labels in (([], []), ([[]], [[]])):
        assert read_sam_med2d_prompts(write(file, [], points, labels), sizes) == {"m": ()}


def test_another_frame_and_the_padding(tmp_path: Path) -> None:
    file = write(tmp_path / "64_prompt.json", [[0, 0, 64, 64]], [[0, 30], [63, 63]], [0, 0])
    # An image of 10 x 20 in a frame of 64: 22 columns and 27 rows of padding on the left and the top.
    found = read_sam_med2d_prompts(file, {"m": (10, 20)}, image_size=64)["m"]
    assert found == (Round((box(0, 0, 19, 9),)), Round((click(0, 3, False),)), Round((click(19, 9, False),)))


@pytest.mark.parametrize("width", [100, 186, 255, 256, 257, 300, 512, 700, 1023])
def test_a_point_is_the_pixel_from_which_opencv_fills_it(tmp_path: Path, width: int) -> None:
    shown = cv2.resize(np.arange(width, dtype=np.float32)[None], (256, 256), interpolation=cv2.INTER_NEAREST)
    file = write(tmp_path / "p.json", [], [[x, 7] for x in range(256)], [1] * 256)
    found = read_sam_med2d_prompts(file, {"m": (300, width)})["m"]
    assert [r.prompts[0].landed[0] for r in found] == shown[0].astype(int).tolist()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 700)), data.draw(st.integers(1, 700))
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x, width - 1)), data.draw(st.integers(y, height - 1))
    rounds = (Round((box(x, y, x1, y1),)), Round((click(x1, y, False),)), Round((click(x, y1),)))
    file = tmp_path_factory.mktemp("p") / "256_prompt.json"
    write_sam_med2d_prompts(file, {"m": rounds}, {"m": (height, width)})
    content = json.loads(file.read_text())["m"]
    assert all(0 <= v <= 255 and v == int(v) for point in content["point_coords"] for v in point)
    found = read_sam_med2d_prompts(file, {"m": (height, width)})["m"]
    for meant, back in zip(rounds, found, strict=True):
        [a], [b] = meant.prompts, back.prompts
        assert a.positive == b.positive
        for axis, (one, other) in enumerate(zip(a.landed, b.landed, strict=True)):
            length = (width, height)[axis % 2]
            exact = a.kind == "box" or length <= 256
            assert abs(one - other) <= (0 if exact else length / 256)


BOX = '"boxes": [[1, 2, 3, 4]], '


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no prompt file"),
        ("[]", "a list, not an object"),
        ("[" * 100_000, "no prompt file"),
        ("{}", "no prompts for 'm'"),
        ('{"m": 3}', "boxes is missing"),
        ('{"m": {' + BOX + '"point_coords": []}}', "point_labels is missing"),
        ('{"m": {"boxes": [[1, 2, 3]], "point_coords": [], "point_labels": []}}', "a box needs 4"),
        ('{"m": {"boxes": [[9, 9, 3, 3]], "point_coords": [], "point_labels": []}}', "wrong order"),
        ('{"m": {"boxes": [[1, 2, "3", 4]], "point_coords": [], "point_labels": []}}', "is none: '3'"),
        ('{"m": {' + BOX + '"point_coords": [[[1, 2]]], "point_labels": [[]]}}', "differ in length"),
        ('{"m": {' + BOX + '"point_coords": [[1, 2]], "point_labels": [1, 0]}}', "differ in length"),
        ('{"m": {' + BOX + '"point_coords": 7, "point_labels": [1]}}', "point_coords is missing"),
        ('{"m": {' + BOX + '"point_coords": [7], "point_labels": [1]}}', "a point needs 2"),
        ('{"m": {' + BOX + '"point_coords": [[1, NaN]], "point_labels": [1]}}', "is none: nan"),
        ('{"m": {' + BOX + '"point_coords": [[1, 1e400]], "point_labels": [1]}}', "is none: inf"),
        ('{"m": {' + BOX + '"point_coords": [[1, 1' + "0" * 400 + ']], "point_labels": [1]}}', "is none"),
        ('{"m": {' + BOX + '"point_coords": [[1, true]], "point_labels": [1]}}', "is none: True"),
        ('{"m": {' + BOX + '"point_coords": [[1, 2]], "point_labels": [-1]}}', "neither 0 nor 1"),
        ('{"m": {' + BOX + '"point_coords": [[1, 2]], "point_labels": [{}]}}', "neither 0 nor 1"),
        # As their evaluation writes a batch of two, under the name of the first.
        (
            '{"m": {"boxes": [[1, 2, 3, 4], [5, 6, 7, 8]], "point_coords": [[1, 2], [5, 6]], '
            '"point_labels": [1, 1]}}',
            "2 boxes, as of a batch",
        ),
        (
            '{"m": {' + BOX + '"point_coords": [[[1, 2]], [[5, 6]]], "point_labels": [[1], [1]]}}',
            "several masks",
        ),
    ],
)
def test_a_malformed_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "256_prompt.json"
    file.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        read_sam_med2d_prompts(file, {"m": (100, 100)})
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    if text.startswith("{"):
        assert "'m'" in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prompt file"):
        read_sam_med2d_prompts(tmp_path / "none.json", {})


def test_a_mask_without_a_box_gets_the_whole_image(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    rounds = [Round((box(1, 1, 2, 2),)), Round((box(3, 1, 5, 6), click(2, 2)))]
    write_sam_med2d_prompts(file, {"a": [], "b": rounds}, {"a": (9, 7), "b": (9, 7)})
    found = read_sam_med2d_prompts(file, {"a": (9, 7), "b": (9, 7)})
    assert found["a"] == (Round((box(0, 0, 6, 8),)),)
    # The latest box counts; where prompts landed is written, not where they were meant.
    assert found["b"] == (Round((box(3, 1, 5, 6),)), Round((click(2, 2),)))
    moved = Round((click(2, 2).moved((4, 5), False),))
    write_sam_med2d_prompts(file, {"a": [moved]}, {"a": (9, 7)})
    assert read_sam_med2d_prompts(file, {"a": (9, 7)})["a"][1] == Round((click(4, 5, False),))


def test_scribbles_and_unknown_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="scribble"):
        write_sam_med2d_prompts(tmp_path / "p.json", {"m": [Round((scribble([(1, 1)]),))]}, {"m": (9, 9)})
    with pytest.raises(DataError, match="size of 'm'"):
        write_sam_med2d_prompts(tmp_path / "p.json", {"m": []}, {})


@pytest.mark.parametrize(
    "outside", [click(7, 0), click(0, 9), click(-1, 0), box(0, 0, 7, 8), box(0, -1, 6, 8)]
)
def test_prompts_outside_the_image_are_refused(tmp_path: Path, outside: Prompt) -> None:
    file = tmp_path / "p.json"
    with pytest.raises(DataError, match=f"'m': a {outside.kind} at .* outside the image of 7x9"):
        write_sam_med2d_prompts(file, {"m": [Round((outside,))]}, {"m": (9, 7)})
    assert not file.exists()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written") as caught:
        write_sam_med2d_prompts(tmp_path / "no folder" / "p.json", {}, {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", [0, -1, 2.5, True])
def test_a_frame_of_no_pixels_is_refused(tmp_path: Path, side: Any) -> None:
    file = write(tmp_path / "p.json", [], [], [])
    with pytest.raises(ValueError, match="image_size"):
        read_sam_med2d_prompts(file, {"m": (9, 9)}, image_size=side)
    with pytest.raises(ValueError, match="image_size"):
        write_sam_med2d_prompts(file, {}, {}, image_size=side)
