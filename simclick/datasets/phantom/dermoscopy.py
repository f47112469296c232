"""Dermoscopy: a pigmented lesion on skin, with hairs, in colour."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, cos_turns
from simclick.datasets.phantom.fields import Frame, blur, mix, ramp
from simclick.datasets.phantom.shapes import Mask, Path, blob, solid, strokes, walk
from simclick.datasets.phantom.study import Family, Picture, Study, colour

__all__ = ["DERMOSCOPY"]

_SKINS = ((0.90, 0.70, 0.62), (0.86, 0.66, 0.54), (0.80, 0.58, 0.46))
_BROWNS = ((0.56, 0.34, 0.22), (0.47, 0.28, 0.19), (0.52, 0.32, 0.25))
_DARK, _BLUE, _PINK = (0.20, 0.12, 0.10), (0.42, 0.43, 0.50), (0.83, 0.56, 0.52)


class _Skin:
    """One photograph, as three colour planes."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.frame = frame = Frame.of(study.size * 3 // 4, study.size)
        tone = study.of_patient("tone")
        skin, shade = _SKINS[study.patient % 3], tone.between(0.93, 1.05)
        # Visits differ in how the lens was held: the lesion moves a little.
        move = study.of_slice("aim")
        self.aim = (move.between(-0.08, 0.08), move.between(-0.06, 0.06))
        patches = study.field("patches", frame, 3.0, 3)
        pores = study.field("pores", frame, 34.0, 2)
        redness = study.field("redness", frame, 5.0, 2)
        light = shade * (1.0 + 0.03 * patches + 0.018 * pores)
        self.planes: list[Field] = [
            skin[0] * light,
            skin[1] * light * (1.0 - 0.035 * redness),
            skin[2] * light * (1.0 - 0.03 * redness),
        ]

    def tint(self, rgb: tuple[float, float, float], weight: Field) -> None:
        """Mix a colour into the picture."""
        self.planes = [mix(plane, value, weight) for plane, value in zip(self.planes, rgb, strict=True)]

    def lesion(self) -> Mask:
        """Paint the lesion: pigment, network, globules, veil; return its mask."""
        study, frame = self.study, self.frame
        chance = study.of_patient("lesion")
        border = study.patient % 3 == 1
        cx = self.aim[0] + (0.62 if border else chance.between(-0.2, 0.2))
        cy = self.aim[1] + (0.5 if border else chance.between(-0.12, 0.12))
        radius = chance.between(0.5, 0.62) if border else chance.between(0.36, 0.55)
        ragged = study.raggedness["lesion"]
        level = blob(
            frame, cx, cy, radius, chance, 0.45, ragged, chance.between(0.72, 0.95), chance.between(0.0, 0.5)
        )
        level = level + 0.05 * ragged * study.of_patient("fray").smooth(frame, 14.0, 2)
        mask = solid(level < 0.0)
        c = study.contrast["lesion"]
        soft = study.number("softness", 1.0, 3.0) * study.size / 256
        pigment = blur(mask.astype(np.float64), soft)
        clouds = study.field("clouds", frame, 4.5, 3, 0.6)
        self.tint(
            _BROWNS[study.patient % 3], np.minimum(pigment * (0.25 + 0.62 * c) * (1.0 + 0.14 * clouds), 1.0)
        )
        deep = ramp(level, -0.02, -0.12)
        pale = ramp(study.field("pale", frame, 3.5, 2), 0.8, 1.6) * deep
        self.tint(_PINK, pale * 0.5 * c)
        dark = ramp(clouds + 0.6 * study.field("dark", frame, 3.5), 0.5, 1.6) * deep
        self.tint(_DARK, dark * (0.6 + 0.15 * study.field("grain", frame, 18.0, 2)) * c)
        veil = ramp(study.field("veil", frame, 3.0), 0.6, 1.4) * ramp(level, -0.05, -0.18)
        self.tint(_BLUE, veil * 0.75 * c)
        self._network(pigment * (1.0 - 0.8 * veil) * (1.0 - dark), c)
        self._globules(cx, cy, radius, mask, c)
        return mask

    def _network(self, where: Field, c: float) -> None:
        """Paint the pigment network: a fine dark mesh about pale meshes, stronger in places."""
        study, frame = self.study, self.frame
        cell = 0.062
        u = (frame.x + 0.026 * study.field("network across", frame, 9.0, 2)) * (1.0 / cell)
        v = (frame.y + 0.026 * study.field("network down", frame, 9.0, 2)) * (1.0 / cell)
        # Three plane waves, a third of a turn apart, meet in a honeycomb.
        waves = cos_turns(u) + cos_turns(0.5 * u + 0.8660254 * v) + cos_turns(0.5 * u - 0.8660254 * v)
        strength = ramp(study.field("network", frame, 3.0, 2), -0.9, 1.3)
        self.tint(_DARK, ramp(waves, 0.3, -1.3) * where * strength * (0.1 + 0.42 * c))
        self.tint(_PINK, ramp(waves, 1.2, 2.8) * where * strength * 0.12 * c)

    def _globules(self, cx: float, cy: float, radius: float, mask: Mask, c: float) -> None:
        chance = self.study.of_patient("globules")
        dots: list[Path] = []
        for _ in range(26):
            x = cx + radius * chance.between(-0.9, 0.9)
            y = cy + radius * chance.between(-0.8, 0.8)
            r = chance.between(0.008, 0.022)
            dots.append([(x, y, r), (x + r * chance.between(-1.0, 1.0), y + 0.5 * r, r)])
        level = strokes(self.frame, dots)
        inside = blur(mask.astype(np.float64), 1.0)
        self.tint(_DARK, ramp(level, 0.008, -0.008) * inside * 0.65 * c)

    def hairs(self) -> None:
        """Paint a few hairs across the picture, darker or fairer."""
        chance = self.study.of_slice("hairs")
        count = 3 + (self.study.patient * 5) % 11
        paths = []
        for _ in range(count):
            start = (chance.between(-1.3, 1.3), chance.between(-1.0, 1.0))
            heading, length = chance.between(0.0, 1.0), chance.between(0.5, 1.3)
            bend = chance.between(-0.06, 0.06)
            paths.append(walk(start, heading, length, (0.009, 0.004), chance, 0.01, 0.05, bend))
        shadow = strokes(self.frame, [[(x + 0.012, y + 0.012, r) for x, y, r in path] for path in paths])
        self.tint((0.3, 0.18, 0.15), ramp(shadow, 0.016, -0.004) * 0.25)
        self.tint((0.13, 0.08, 0.06), ramp(strokes(self.frame, paths), 0.007, -0.005) * 0.88)

    def photograph(self) -> list[Field]:
        """Return the planes under the lens: dark corners, a glint of gel, camera noise."""
        study, frame = self.study, self.frame
        r = np.sqrt(frame.x * frame.x + frame.y * frame.y)
        fall = 1.0 - 0.28 * ramp(r, 0.55, 1.7)
        if study.patient % 3 == 2:
            fall = fall * ramp(r, 1.36, 1.27)
        chance, sigma = study.of_slice("noise"), 0.03 * study.noise
        shared = blur(chance.gaussian(*frame.shape), 0.5) * 1.7
        shot = []
        for plane in self.planes:
            own = blur(chance.gaussian(*frame.shape), 0.5) * 1.7
            shot.append(blur(plane * fall, 0.55) + sigma * (0.7 * shared + 0.7 * own))
        return shot


def _draw(study: Study) -> Picture:
    skin = _Skin(study)
    lesion = skin.lesion()
    skin.hairs()
    red, green, blue = skin.photograph()
    return Picture(colour(red, green, blue), {"lesion": lesion}, None)


DERMOSCOPY = Family("dermoscopy", "dermoscopy", {"lesion": "pigmented skin lesion"}, _draw)
