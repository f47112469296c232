"""Cine MR of the heart: a short-axis slice, bright blood, dark lungs."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, cos_turns, exp, sin_turns
from simclick.datasets.phantom.fields import Frame, blur, paint, ramp
from simclick.datasets.phantom.shapes import (
    Mask,
    Path,
    blob,
    box_level,
    ellipse,
    roughen,
    solid,
    strokes,
    walk,
)
from simclick.datasets.phantom.study import Family, Picture, Study, grey

__all__ = ["MR_CARDIAC"]

_BLOOD, _FAT, _MUSCLE, _LUNG = 0.82, 0.9, 0.3, 0.05


class _Chest:
    """One slice, painted in units of the scanner's signal; the heart lies right of the middle."""

    def __init__(self, study: Study) -> None:
        n = study.size
        self.study = study
        self.frame = frame = Frame.of(n, n)
        self.signal: Field = np.full(frame.shape, _LUNG)
        self.texture = study.field("texture", frame, 26.0, 2)
        self.coarse = study.field("coarse", frame, 6.0, 2)
        # The heart narrows towards its apex from slice to slice.
        self.scale = study.number("heart", 0.9, 1.1) * (1.08 - 0.3 * study.depth)
        self.cx = study.number("heart x", 0.02, 0.12)
        self.cy = study.number("heart y", -0.06, 0.04)

    def around(self) -> None:
        """Paint chest wall, lungs with vessels, diaphragm with liver and stomach, and the spine."""
        study, frame, s = self.study, self.frame, self.signal
        vessels: list[Path] = []
        chance = study.of_patient("lung vessels", study.slice)
        for side in (-1.0, 1.0):
            for _ in range(9):
                start = (side * chance.between(0.3, 0.8), chance.between(-0.4, 0.5))
                vessels.append(walk(start, chance.between(0.0, 1.0), 0.16, (0.012, 0.003), chance, 0.05))
        paint(s, strokes(frame, vessels) < 0.0, 0.32)
        s += 0.02 * np.abs(self.texture)

        wall = 0.6 * ellipse(frame, 0.0, 0.34, 1.05, 1.12) + 0.4 * box_level(frame, 0.0, 0.34, 1.05, 1.12)
        wall = wall + 0.02 * study.field("wall", frame, 3.0)
        paint(s, wall > -0.16, 0.24 + 0.06 * self.coarse)
        paint(s, (wall > -0.16) & (np.abs(wall + 0.1) < 0.005 + 0.01 * self.coarse), 0.7)
        self._ribs(wall)
        paint(s, wall > -0.05, _FAT * 0.92 + 0.05 * self.texture)
        paint(s, wall > study.number("fat", 0.02, 0.07), 0.02)

        dome = frame.y - 0.52 + 0.35 * (frame.x + 0.35) * (frame.x + 0.35) * ramp(frame.x, -1.2, 0.2)
        dome = dome + 0.02 * study.field("dome", frame, 4.0)
        below = (dome > 0.0) & (wall < -0.16)
        paint(s, below, 0.36 + 0.025 * self.texture)
        tree: list[Path] = []
        for heading in (0.42, 0.48, 0.55, 0.36):
            trunk = walk(
                (0.05, 0.8), heading + chance.between(-0.02, 0.02), 0.8, (0.024, 0.006), chance, 0.03
            )
            tree.append(trunk)
            for k in (6, 12, 17):
                tree.append(
                    walk(
                        trunk[k][:2], heading + chance.between(-0.12, 0.12), 0.3, (0.012, 0.003), chance, 0.04
                    )
                )
        paint(s, below & (strokes(frame, tree) < 0.0), 0.56)
        paint(s, below & (dome < 0.02), 0.2)
        stomach = blob(frame, 0.55, 0.85, 0.26, study.of_patient("stomach"), 0.3)
        paint(s, (stomach < 0.0) & below, 0.14)
        paint(s, (stomach < -0.03) & below, 0.62 + 0.2 * self.coarse)

    def _ribs(self, wall: Field) -> None:
        chance = self.study.of_patient("ribs", self.study.slice)
        for turn in (-0.42, -0.33, -0.25, -0.17, -0.08):
            turn += chance.between(-0.02, 0.02)
            c, t = float(cos_turns(turn)), float(sin_turns(turn))
            reach = 1.0 + 0.2 * c * c * t * t
            x, y = 0.93 * c * reach, 0.34 + 1.0 * t * reach
            rib = ellipse(self.frame, x, y, chance.between(0.05, 0.09), 0.032, 0.25 + turn)
            paint(self.signal, rib < 0.012, 0.12)
            paint(self.signal, rib < 0.0, 0.52 + 0.06 * self.texture)

    def heart(self) -> tuple[Mask, Mask]:
        """Paint pericardial fat, right and left ventricle; return myocardium and right ventricle."""
        study, frame, s = self.study, self.frame, self.signal
        k, cx, cy = self.scale, self.cx, self.cy
        outer = blob(frame, cx, cy, 0.275 * k, study.of_patient("epicardium"), 0.1, 0.0, 0.97)
        thickness = study.number("wall thickness", 0.065, 0.1)
        inner = blob(frame, cx, cy, 0.275 * k - thickness, study.of_patient("endocardium"), 0.12, 0.0, 0.97)
        frayed = study.of_patient("trabeculae").smooth(frame, 26.0, 2)
        rough = study.raggedness["myocardium"]
        outer = roughen(outer, frayed[::-1], rough, 0.022)
        # However ragged, the wall stays closed.
        inner = np.maximum(roughen(inner, frayed, rough, 0.034), outer + 0.03)

        right = blob(
            frame, cx - 0.24 * k, cy - 0.03, 0.25 * k, study.of_patient("right"), 0.25, 0.0, 1.2, -0.04
        )
        right_rough = study.of_patient("right rag").smooth(frame, 20.0, 2)
        right = roughen(right, right_rough, study.raggedness["right-ventricle"], 0.036)
        free_wall = right - 0.028

        sac = np.minimum(outer, free_wall) - 0.02 - 0.045 * study.field("sac", frame, 3.0)
        paint(s, sac < 0.0, _FAT * 0.75 + 0.1 * self.coarse)
        paint(s, np.minimum(outer, free_wall) < 0.022, 0.5)
        paint(s, np.minimum(outer, free_wall) < 0.012, 0.08)
        paint(s, free_wall < 0.0, _MUSCLE)
        right_mask = solid((right < 0.0) & (outer > 0.0))
        c = study.contrast["right-ventricle"]
        paint(s, right_mask, _MUSCLE + (_BLOOD - 0.04 - _MUSCLE) * c + 0.07 * c * self.coarse)
        paint(s, right_mask & (right > -0.05) & (self.texture > 0.9), _MUSCLE)

        cavity = solid((inner < 0.0) & (outer < 0.0))
        wall = solid(outer < 0.0) & ~cavity
        c = study.contrast["myocardium"]
        muscle = _BLOOD - (_BLOOD - 0.22) * (0.25 + 0.75 * c)
        paint(s, outer < 0.0, muscle + 0.015 * self.texture)
        paint(s, cavity, _BLOOD + 0.03 * self.coarse)
        self._papillary(cavity, 0.275 * k - thickness, muscle)
        return wall, right_mask & ~wall

    def _papillary(self, cavity: Mask, radius: float, muscle: float) -> None:
        chance = self.study.of_patient("papillary")
        for turn in (0.01, 0.31):
            turn += chance.between(-0.04, 0.04)
            x = self.cx + 0.8 * radius * float(cos_turns(turn))
            y = self.cy + 0.8 * radius * float(sin_turns(turn))
            spot = blob(self.frame, x, y, 0.24 * radius, chance, 0.5)
            paint(self.signal, (spot < 0.0) & cavity, muscle)

    def aorta(self) -> None:
        """Paint the descending aorta and a vertebra behind the heart."""
        frame, s = self.frame, self.signal
        vertebra = ellipse(frame, 0.78, 0.36, 0.15, 0.17, 0.1)
        paint(s, vertebra < 0.03, 0.3)
        paint(s, vertebra < 0.0, 0.5 + 0.06 * self.texture)
        vessel = ellipse(frame, 0.6, 0.22, 0.065, 0.065)
        paint(s, vessel < 0.014, 0.25)
        paint(s, vessel < 0.0, _BLOOD)

    def scan(self) -> Field:
        """Return grey values: blurred, bright towards the surface coil, with Rician noise."""
        study, frame = self.study, self.frame
        coil = 0.2 * study.of_patient("coil").smooth(frame, 1.3) - 0.22 * frame.y - 0.1 * frame.x
        signal = blur(self.signal, 0.85 * study.size / 256) * exp(coil)
        chance, sigma = study.of_slice("noise"), 0.05 * study.noise
        real = signal + sigma * chance.gaussian(*frame.shape)
        imaginary = sigma * chance.gaussian(*frame.shape)
        return np.sqrt(real * real + imaginary * imaginary) * 0.95


def _draw(study: Study) -> Picture:
    chest = _Chest(study)
    chest.around()
    chest.aorta()
    myocardium, right = chest.heart()
    spacing = round(study.number("field of view", 230.0, 300.0) / study.size, 4)
    masks = {"myocardium": myocardium, "right-ventricle": right}
    return Picture(grey(chest.scan()), masks, (spacing, spacing))


MR_CARDIAC = Family(
    "mr-cardiac",
    "mr",
    {"myocardium": "wall of the left ventricle", "right-ventricle": "cavity of the right ventricle"},
    _draw,
)
