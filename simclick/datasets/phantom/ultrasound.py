"""Ultrasound of the upper abdomen with a curved probe: liver, gallbladder and a stone's shadow."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, atan2_turns, cos_turns, exp, log, sin_turns
from simclick.datasets.phantom.fields import Frame, blur, clip01, paint, ramp, resample
from simclick.datasets.phantom.shapes import Mask, Path, blob, ellipse, roughen, solid, strokes, walk
from simclick.datasets.phantom.study import Family, Picture, Study, grey

__all__ = ["ULTRASOUND"]

_APEX = -1.62  # the row where all beams meet, above the image
_NEAR, _FAR_END = 0.68, 2.58  # distances from it at which a beam begins and ends
_HALF_ANGLE = 0.077  # in turns
_LINES = 176


class _Scan:
    """Echoes of one slice: painted in the image's plane, made to speckle along the beams."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.frame = frame = Frame.of(study.size, study.size * 5 // 4)
        below = frame.y - _APEX
        self.distance = np.sqrt(frame.x * frame.x + below * below)
        self.turn = atan2_turns(frame.x, below)
        self.sector: Mask = (
            (self.distance > _NEAR) & (self.distance < _FAR_END) & (np.abs(self.turn) < _HALF_ANGLE)
        )
        self.depth = self.distance - _NEAR
        self.echo: Field = np.ones(frame.shape)
        self.texture = study.field("texture", frame, 24.0, 2)
        self.shift = 0.08 * (study.depth - 0.5)

    def tissue(self) -> None:
        """Paint skin, fat and muscle layers, liver, its vessels, diaphragm."""
        study, frame, e = self.study, self.frame, self.echo
        e *= exp(0.16 * self.texture + 0.12 * study.field("patchy", frame, 4.0))
        wavy = self.depth + 0.012 * study.field("layers", frame, 3.0)
        liver_top = study.number("wall", 0.2, 0.28)
        streaks = study.field("streaks", frame, 26.0)
        paint(e, wavy < liver_top, 0.75 + 0.55 * ramp(streaks, 0.2, 1.2))
        paint(e, wavy < 0.55 * liver_top, 0.35 + 0.25 * ramp(streaks, 0.4, 1.2))
        for place, value in ((0.0, 3.5), (0.28, 2.2), (0.56, 3.0), (0.62, 2.4), (1.0, 3.6)):
            paint(e, np.abs(wavy - place * liver_top) < 0.009, value)
        self._vessels()
        bowl = ellipse(frame, 0.25, -0.45 + self.shift, 1.55, 1.22 + study.number("bowl", 0.0, 0.06), 0.02)
        bowl = bowl + 0.012 * study.field("diaphragm", frame, 4.0)
        paint(e, bowl > 0.0, 0.3 + 0.12 * np.abs(self.texture))
        paint(e, np.abs(bowl) < 0.014, 1.5 + 4.5 * ramp(study.field("glint", frame, 3.0), -0.8, 0.8))

    def _vessels(self) -> None:
        chance = self.study.of_patient("vessels", self.study.slice)
        dark: list[Path] = []
        walled: list[Path] = []
        for start, heading in (((-0.75, 0.1), 0.02), ((-0.35, 0.62), -0.05), ((0.55, 0.3), 0.13)):
            place = (start[0] + chance.between(-0.08, 0.08), start[1] + chance.between(-0.08, 0.08))
            width = (chance.between(0.022, 0.04), 0.008)
            path = walk(place, heading + chance.between(-0.05, 0.05), 0.5, width, chance, 0.03)
            (walled if chance.below(2) else dark).append(path)
            branch = walk(path[6][:2], heading + 0.09, 0.25, (0.018, 0.006), chance, 0.03)
            dark.append(branch)
        level = strokes(self.frame, walled)
        paint(self.echo, level < 0.016, 2.6)
        paint(self.echo, np.minimum(level, strokes(self.frame, dark)) < 0.0, 0.05)

    def kidney(self) -> None:
        """Paint a kidney beside the liver in every second patient."""
        if self.study.patient % 2 == 0:
            return
        bean = ellipse(self.frame, -0.42, 0.42 + self.shift, 0.36, 0.19, 0.06)
        sinus = ellipse(self.frame, -0.42, 0.42 + self.shift, 0.23, 0.075, 0.06) + 0.03 * self.texture
        paint(self.echo, bean < 0.014, 2.6)
        paint(self.echo, bean < 0.0, 0.42)
        paint(self.echo, sinus < 0.0, 2.2)

    def lesion(self) -> Mask:
        """Paint a bright lesion in the liver; return its mask."""
        study, frame = self.study, self.frame
        chance = study.of_patient("lesion")
        cx, cy = chance.between(-0.5, -0.25), chance.between(-0.3, -0.14) + self.shift
        radius = chance.between(0.1, 0.15) * (1.05 - 0.2 * study.depth)
        level = blob(
            frame, cx, cy, radius, chance, 0.2, study.raggedness["liver-lesion"], chance.between(0.75, 1.0)
        )
        mask = solid((level < 0.0) & self.sector)
        paint(self.echo, mask, 1.0 + 2.6 * study.contrast["liver-lesion"] + 0.2 * self.texture)
        return mask

    def gallbladder(self) -> Mask:
        """Paint a gallbladder with a stone on its floor; return its mask, stone included."""
        study, frame = self.study, self.frame
        chance = study.of_patient("gallbladder")
        cx, cy = chance.between(0.2, 0.34), chance.between(0.1, 0.2) + self.shift
        turn, length = chance.between(-0.03, 0.1), chance.between(0.28, 0.36)
        fat_end = length * chance.between(0.42, 0.55)
        body = ellipse(frame, cx, cy, length, fat_end, turn)
        neck_x = cx - length * float(cos_turns(turn))
        neck_y = cy - length * float(sin_turns(turn))
        neck = strokes(frame, [[(neck_x - 0.08, neck_y - 0.03, 0.012), (neck_x + 0.06, neck_y + 0.02, 0.05)]])
        frayed = study.of_patient("gallbladder rag").smooth(frame, 20.0, 2)
        level = roughen(np.minimum(body, neck), frayed, study.raggedness["gallbladder"], 0.036)
        mask = solid((level < 0.0) & self.sector)
        bile = 1.0 - 0.97 * (0.35 + 0.65 * study.contrast["gallbladder"])
        paint(self.echo, (level < 0.02) & self.sector, 1.9)
        paint(self.echo, mask, bile)
        self.bladder = mask
        sx = cx + 0.1 * length
        inside = ellipse(frame, sx, cy + 0.62 * fat_end, 0.065, 0.05)
        self.stone: Mask = (inside < 0.0) & mask
        top = ellipse(frame, sx, cy + 0.62 * fat_end + 0.022, 0.065, 0.055) > 0.0
        paint(self.echo, self.stone, 2.0)
        paint(self.echo, self.stone & top, 11.0)
        return mask

    def beams(self) -> Field:
        """Return grey values: speckle along the beams, shadow, enhancement, depth, compression."""
        study, frame = self.study, self.frame
        samples = study.size * 3 // 2
        step = (_FAR_END - _NEAR) / samples
        r = _NEAR + (np.arange(samples, dtype=np.float64)[:, None] + 0.5) * step
        turn = ((np.arange(_LINES, dtype=np.float64)[None, :] + 0.5) * (2.0 / _LINES) - 1.0) * _HALF_ANGLE
        rows = (_APEX + r * cos_turns(turn)) / frame.px + frame.shape[0] / 2 - 0.5
        columns = r * sin_turns(turn) / frame.px + frame.shape[1] / 2 - 0.5
        echo = resample(self.echo, rows, columns)
        stone = resample(self.stone.astype(np.float64), rows, columns)
        fluid = resample(self.bladder.astype(np.float64), rows, columns)
        # What lies deeper on a beam: behind a stone almost nothing, behind fluid more.
        behind_stone = blur(np.minimum(np.add.accumulate(stone, axis=0) * step * 18.0, 1.0), 1.5, 1.3)
        behind_fluid = blur(np.minimum(np.add.accumulate(fluid, axis=0) * step * 2.6, 1.0), 1.0, 1.5)
        rib_turn, deep = study.number("rib", -0.07, -0.05), r - _NEAR
        rib = ramp(np.abs(turn - rib_turn), 0.006, 0.002) * ramp(deep, 0.15, 0.3)
        sideways = ramp(np.abs(turn), 0.6 * _HALF_ANGLE, 1.1 * _HALF_ANGLE)
        loss = 2.9 * behind_stone + 1.6 * rib + 0.45 * deep + 0.5 * sideways
        gain = exp(0.75 * behind_fluid * (1.0 - fluid) - loss)
        amount = 0.5 + 0.33 * study.noise
        chance = study.of_slice("speckle")
        shape, axial = echo.shape, 1.15 * study.size / 256
        lateral = 1.45
        norm = float(np.sqrt(2.0 * axial * lateral * 6.2832))
        real = blur(chance.gaussian(*shape), axial, lateral) * norm
        imaginary = blur(chance.gaussian(*shape), axial, lateral) * norm
        speckle = np.sqrt(real * real + imaginary * imaginary) * 0.8
        smooth = blur(echo, axial * 0.8, lateral * 0.7) * gain
        envelope = smooth * ((1.0 - amount) + amount * speckle) + 0.008 * study.noise * speckle
        decibels = log(np.maximum(envelope, 1e-4)) * 8.685889638
        level = clip01((decibels + 29.0) * (1.0 / 52.0))
        back_r = (self.distance - _NEAR) * (1.0 / step) - 0.5
        back_t = (self.turn * (1.0 / _HALF_ANGLE) + 1.0) * (_LINES / 2.0) - 0.5
        return np.where(self.sector, resample(level, back_r, back_t), 0.0)


def _draw(study: Study) -> Picture:
    scan = _Scan(study)
    scan.tissue()
    scan.kidney()
    lesion = scan.lesion()
    gallbladder = scan.gallbladder()
    image = grey(scan.beams())
    spacing = round(study.number("depth", 130.0, 170.0) / study.size, 4)
    masks = {"gallbladder": gallbladder, "liver-lesion": lesion & ~gallbladder}
    if study.patient % 3 == 1:  # the probe held the other way round
        image = np.ascontiguousarray(image[:, ::-1])
        masks = {name: np.ascontiguousarray(mask[:, ::-1]) for name, mask in masks.items()}
    return Picture(image, masks, (spacing, spacing))


ULTRASOUND = Family(
    "ultrasound",
    "us",
    {"gallbladder": "gallbladder", "liver-lesion": "bright lesion in the liver"},
    _draw,
)
