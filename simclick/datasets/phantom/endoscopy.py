"""Endoscopy of the colon: folds around a dark lumen, a polyp, highlights, in colour."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, cos_turns, exp, sin_turns
from simclick.datasets.phantom.fields import Frame, blur, clip01, mix, ramp
from simclick.datasets.phantom.shapes import Mask, Path, blob, box_level, solid, strokes, walk
from simclick.datasets.phantom.study import Family, Picture, Study, colour

__all__ = ["ENDOSCOPY"]

_MUCOSA = ((0.80, 0.46, 0.36), (0.77, 0.41, 0.31), (0.82, 0.52, 0.41))


class _Colon:
    """One frame of video: a height map lit from the camera, then coloured."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.frame = frame = Frame.of(study.size, study.size * 9 // 8)
        aim = study.of_slice("aim")
        self.lumen = (
            study.number("lumen x", -0.35, 0.35) + aim.between(-0.05, 0.05),
            study.number("lumen y", -0.5, -0.25) + aim.between(-0.05, 0.05),
        )
        u, v = frame.x - self.lumen[0], (frame.y - self.lumen[1]) * 1.15
        warp = 0.17 * study.field("warp", frame, 2.6, 2)
        self.radius = np.sqrt(u * u + v * v) * (1.0 + warp) + 0.02
        self.height: Field = np.zeros(frame.shape)

    def folds(self) -> None:
        """Raise ring folds about the lumen, closer together with depth, as a tube looks."""
        # Equal distances along a tube are equal ratios of radius in its picture.
        place = -self.study.number("folds", 0.95, 1.25) / (self.radius + 0.22) + 0.6 * self.radius
        ridge = 0.5 + 0.5 * cos_turns(place + self.study.number("phase", 0.0, 1.0))
        self.ridge = ridge * ridge * ridge
        scale = ramp(self.radius, 0.05, 0.6)
        self.height += 0.16 * self.ridge * scale
        self.height += 0.012 * self.study.field("bumps", self.frame, 6.0, 2)

    def polyp(self) -> Mask:
        """Raise a polyp; return its mask."""
        study, frame = self.study, self.frame
        chance = study.of_patient("polyp")
        away = self.study.of_slice("polyp aim")
        turn = chance.between(0.08, 0.42)
        reach = chance.between(0.52, 0.7)
        cx = self.lumen[0] + reach * float(cos_turns(turn)) + away.between(-0.04, 0.04)
        cy = self.lumen[1] + reach * float(sin_turns(turn)) + away.between(-0.04, 0.04)
        cx, cy = min(max(cx, -0.6), 0.6), min(max(cy, -0.6), 0.6)
        radius = chance.between(0.2, 0.3) * (0.9 + 0.2 * study.depth)
        ragged, squash = 0.9 * study.raggedness["polyp"], chance.between(0.75, 1.0)
        level = blob(frame, cx, cy, radius, chance, 0.25, ragged, squash, turn)
        level = level + 0.04 * study.raggedness["polyp"] * study.of_patient("lobes").smooth(frame, 10.0)
        mask = solid(level < 0.0)
        self.rim = level
        inside = clip01(-level * (1.0 / radius))
        dome = np.sqrt(inside * (2.0 - inside))
        c = study.contrast["polyp"]
        self.height *= 1.0 - 0.7 * ramp(level, 0.06, -0.05)
        self.height += (0.06 + 0.2 * c) * dome
        self.height += 0.012 * ramp(level, 0.0, -0.05) * study.field("pits", frame, 22.0)
        return mask

    def photograph(self, mask: Mask) -> list[Field]:
        """Return the lit and coloured planes."""
        study, frame = self.study, self.frame
        height = blur(self.height, 1.4)
        slope_x, slope_y = np.zeros(frame.shape), np.zeros(frame.shape)
        slope_x[:, 1:-1] = (height[:, 2:] - height[:, :-2]) * (0.5 / frame.px)
        slope_y[1:-1] = (height[2:] - height[:-2]) * (0.5 / frame.px)
        # The lamps sit beside the lens: light falls along the view, a little from above.
        tilt = 1.0 / np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
        facing = (1.0 - 0.16 * slope_x - 0.3 * slope_y) * tilt
        near = 1.0 - exp(-2.3 * self.radius)
        light = (0.07 + 0.98 * near) * clip01(0.22 + 0.72 * facing)
        base = _MUCOSA[study.patient % 3]
        blush = study.field("blush", frame, 4.0, 2)
        c = study.contrast["polyp"]
        polyp = blur(mask.astype(np.float64), 1.2)
        vessels = self._vessels()
        patches = 1.0 + 0.05 * study.field("patches", frame, 14.0, 2)
        shade = 1.0 - (0.1 + 0.22 * c) * ramp(np.abs(self.rim - 0.015), 0.04, 0.0) * ramp(facing, 1.05, 0.6)
        planes = []
        gains = ((1.0, 0.02, 0.04), (0.94, 0.08, -0.2), (0.96, 0.07, -0.12))
        for value, (keep, blushed, reddened) in zip(base, gains, strict=True):
            plane = value * (1.0 - blushed * blush) * patches
            plane = plane * (1.0 - (1.02 - keep) * 6.0 * vessels)
            planes.append(plane * (1.0 + reddened * c * polyp) * light * shade)
        return self._camera(planes, facing, slope_x, slope_y)

    def _vessels(self) -> Field:
        chance = self.study.of_patient("vessels")
        paths: list[Path] = []
        for _ in range(9):
            start = (chance.between(-1.0, 1.0), chance.between(-0.9, 0.9))
            heading = chance.between(0.0, 1.0)
            trunk = walk(start, heading, 0.7, (0.009, 0.004), chance, 0.04)
            paths.append(trunk)
            for k in (4, 8, 13, 18):
                paths.append(
                    walk(
                        trunk[k][:2], heading + chance.between(-0.16, 0.16), 0.3, (0.006, 0.002), chance, 0.05
                    )
                )
        return ramp(strokes(self.frame, paths), 0.008, -0.006) * ramp(self.rim, 0.0, 0.05)

    def _camera(self, planes: list[Field], facing: Field, slope_x: Field, slope_y: Field) -> list[Field]:
        study, frame = self.study, self.frame
        wet = study.field("wet", frame, 20.0, 2)
        mirror = ramp(slope_x * slope_x + (slope_y + 0.25) * (slope_y + 0.25) + 0.05 * wet, 0.03, -0.01)
        glints = mirror * ramp(study.field("glints", frame, 9.0), 0.7, 1.1) * ramp(self.radius, 0.35, 0.6)
        corner = box_level(frame, 0.0, 0.0, 1.09, 0.97)
        window = ramp(corner, 0.0, -0.02)
        r = frame.x * frame.x + frame.y * frame.y
        fall = 1.08 - 0.3 * r
        chance, sigma = study.of_slice("noise"), 0.028 * study.noise
        shared = blur(chance.gaussian(*frame.shape), 0.6) * 1.9
        shot = []
        for plane in planes:
            lit = mix(plane * fall * 1.2, 1.0, blur(glints, 0.8) * 0.9)
            own = blur(chance.gaussian(*frame.shape), 0.6) * 1.9
            shot.append((blur(lit, 0.6) + sigma * (0.7 * shared + 0.7 * own)) * window)
        return shot


def _draw(study: Study) -> Picture:
    colon = _Colon(study)
    colon.folds()
    polyp = colon.polyp()
    red, green, blue = colon.photograph(polyp)
    return Picture(colour(red, green, blue), {"polyp": polyp}, None)


ENDOSCOPY = Family("endoscopy", "endoscopy", {"polyp": "polyp"}, _draw)
