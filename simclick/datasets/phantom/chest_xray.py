"""Projection X-ray of the chest, from behind: bright bones, dark lungs, a nodule."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, exp, sin_turns
from simclick.datasets.phantom.fields import Frame, blur, clip01, mix, ramp
from simclick.datasets.phantom.shapes import (
    Mask,
    Path,
    blob,
    box_level,
    ellipse,
    join,
    roughen,
    solid,
    strokes,
    walk,
)
from simclick.datasets.phantom.study import Family, Picture, Study, grey

__all__ = ["CHEST_XRAY"]

_LEFT_RIGHT = (-1.0, 1.0)


class _Chest:
    """One film: shadows of organs added up as optical thickness."""

    def __init__(self, study: Study) -> None:
        n = study.size
        self.study = study
        whole = Frame.of(n, n)
        # The lungs fill the film; its middle lies a little above the body's.
        self.frame = frame = Frame(whole.x * 0.82, whole.y * 0.82 - 0.06, whole.px * 0.82)
        self.thickness: Field = np.zeros(frame.shape)
        self.coarse = study.field("coarse", frame, 5.0, 2)
        self.wide = study.number("wide", 0.66, 0.74)
        # The depth of breath changes from film to film.
        self.floor = study.number("floor", 0.5, 0.6) + 0.05 * study.depth
        self.heart_level = self._heart()

    def body(self) -> None:
        """Add the soft tissue of trunk, shoulders and neck."""
        frame = self.frame
        trunk = box_level(frame, 0.0, 0.6, self.wide + 0.13, 1.3)
        shoulders = box_level(frame, 0.0, 0.0, 1.15, 0.82)
        slope = frame.y + 0.86 - 0.3 * np.maximum(np.abs(frame.x) - 0.25, 0.0) - 0.03
        neck = box_level(frame, 0.0, -1.0, 0.27, 0.5)
        armpit = ellipse(frame, 0.0, 0.75, self.wide + 0.2, 0.62)
        body = join(np.maximum(join(trunk, shoulders, 0.12), -slope), neck, 0.15)
        body = body + 0.008 * self.study.field("outline", frame, 3.0)
        body = np.maximum(body, np.minimum(np.abs(frame.x) - self.wide - 0.1, 0.25 - np.abs(armpit)) - 0.02)
        self.body_level = body
        self.thickness += 0.4 * ramp(body, 0.02, -0.1) + 0.12 * ramp(body, 0.0, -0.4)
        for side in _LEFT_RIGHT:
            shoulder = ellipse(frame, side * 0.86, -0.38, 0.2, 0.42, -side * 0.03)
            self.thickness += 0.13 * ramp(shoulder, 0.0, -0.12)
        belly = ramp(frame.y, self.floor - 0.05, self.floor + 0.35)
        self.thickness += 0.12 * belly * ramp(body, 0.0, -0.2)

    def lungs(self) -> Mask:
        """Subtract the air of both lungs; return their mask."""
        study, frame = self.study, self.frame
        frayed = study.of_patient("lung rag").smooth(frame, 16.0, 2)
        c = study.contrast["lungs"]
        mask: Mask = np.zeros(frame.shape, dtype=np.bool_)
        self.lung_level: Field = np.full(frame.shape, 9.0)
        for side in _LEFT_RIGHT:
            x = frame.x * side
            outer = self.wide * (0.93 - 0.2 * ramp(frame.y, 0.2, -0.75) - 0.02 * sin_turns(frame.y))
            chest = box_level(frame, side * 0.36, 0.03, 0.34, 0.83)
            apex = ellipse(frame, side * 0.31, -0.4, 0.24, 0.42, side * 0.01)
            base = ellipse(frame, side * 0.38, 0.08, 0.33, 0.85, -side * 0.012)
            level = np.minimum(np.maximum(join(apex, base, 0.1), chest), 9.0)
            level = np.maximum(level, x - outer)
            dome_y = self.floor - (0.07 if side < 0 else 0.0)
            off = (x - 0.3) * (1.0 / 0.36)
            dome = frame.y - dome_y - 0.26 * off * off * ramp(x, 0.1, 0.75)
            level = np.maximum(level, dome)
            level = np.maximum(level, 0.1 + 0.03 * ramp(frame.y, -0.2, 0.4) - x)
            level = level + 0.008 * study.field("lung edge", frame, 6.0)
            level = roughen(level, frayed if side < 0 else frayed[:, ::-1], study.raggedness["lungs"], 0.028)
            level = np.maximum(level, self.body_level + 0.05)
            if side > 0:
                level = np.maximum(level, -self.heart_level)
            lung = solid(level < 0.0)
            mask |= lung
            self.lung_level = np.minimum(self.lung_level, level)
        level = self.lung_level
        self.air = ramp(level, 0.012, -0.03) * (0.75 + 0.25 * ramp(level, 0.0, -0.2))
        self.thickness -= (0.17 + 0.21 * c) * self.air
        return mask

    def _heart(self) -> Field:
        study, frame = self.study, self.frame
        chance = study.of_patient("heart")
        size = chance.between(0.9, 1.12)
        left = ellipse(frame, 0.14, self.floor - 0.22, 0.32 * size, 0.25, 0.07)
        right = ellipse(frame, -0.08, self.floor - 0.24, 0.15 * size, 0.22, 0.0)
        waist = ellipse(frame, 0.03, self.floor - 0.45, 0.14, 0.24, -0.03)
        level = join(join(left, right, 0.08), waist, 0.08)
        frayed = study.of_patient("heart rag").smooth(frame, 20.0, 2)
        return roughen(level, frayed, study.raggedness["heart"], 0.028)

    def mediastinum(self) -> Mask:
        """Add heart, great vessels and trachea; return the heart's mask above the diaphragm."""
        study, frame = self.study, self.frame
        level = self.heart_level
        c = study.contrast["heart"]
        self.thickness += (0.04 + 0.14 * c) * ramp(level, 0.012, -0.05) + 0.06 * ramp(level, 0.0, -0.25)
        knob = ellipse(frame, 0.11, -0.32, 0.09, 0.09)
        arch = strokes(frame, [[(0.1, -0.3, 0.07), (0.05, 0.0, 0.06), (0.03, 0.6, 0.05)]])
        vena = strokes(frame, [[(-0.1, -0.55, 0.05), (-0.1, -0.05, 0.06)]])
        for shape, value in ((knob, 0.07), (arch, 0.07), (vena, 0.06)):
            self.thickness += value * ramp(shape, 0.012, -0.04)
        upper = box_level(frame, 0.0, -0.4, 0.13, 0.55)
        self.thickness += 0.07 * ramp(upper, 0.03, -0.05)
        trachea = strokes(
            frame,
            [
                [(0.005, -1.0, 0.036), (-0.005, -0.28, 0.034)],
                [(-0.005, -0.28, 0.03), (-0.14, -0.14, 0.02)],
                [(-0.005, -0.28, 0.028), (0.16, -0.13, 0.018)],
            ],
        )
        self.thickness -= 0.1 * ramp(trachea, 0.01, -0.015)
        return solid((level < 0.0) & (frame.y < self.floor + 0.02))

    def vessels(self) -> None:
        """Add the hila and the vessels that fan out of them, thinner and fainter outwards."""
        study = self.study
        chance = study.of_patient("vessels")
        paths: list[Path] = []
        for side in _LEFT_RIGHT:
            start = (side * 0.15, -0.1 + 0.03 * side)
            middle = 0.0 if side > 0 else 0.5
            for k in range(11):
                heading = middle + side * (-0.2 + 0.042 * k + chance.between(-0.02, 0.02))
                width = chance.between(0.012, 0.022)
                path = walk(start, heading, chance.between(0.3, 0.52), (width, 0.002), chance, 0.02)
                paths.append(path)
                for j in (4, 7):
                    x, y, w = path[j]
                    fork = heading + (0.07 if chance.below(2) else -0.07)
                    paths.append(walk((x, y), fork, 0.24, (0.7 * w, 0.0015), chance, 0.02))
        tubes = strokes(self.frame, paths)
        out = np.abs(self.frame.x)
        self.thickness += 0.075 * ramp(tubes, 0.009, -0.012) * ramp(out, 0.75, 0.1)
        for side in _LEFT_RIGHT:
            hilum = blob(self.frame, side * 0.17, -0.08, 0.085, chance, 0.4, 0.4, 1.5)
            self.thickness += 0.09 * ramp(hilum, 0.04, -0.04)
        haze = study.field("interstitium", self.frame, 26.0, 2)
        self.thickness += 0.007 * haze * self.air

    def bones(self) -> None:
        """Add spine, ribs front and back, clavicles and shoulder blades."""
        frame = self.frame
        spine = np.abs(frame.x + 0.01 * sin_turns(frame.y * 0.3)) - 0.07
        discs = 0.5 + 0.5 * sin_turns(frame.y * 6.5)
        self.thickness += (0.045 + 0.025 * discs) * ramp(spine, 0.015, -0.015)
        self.thickness += self._ribs()
        for side in _LEFT_RIGHT:
            tilt = self.study.of_patient("clavicle", side).between(-0.03, 0.03)
            clavicle = strokes(
                frame,
                [
                    [
                        (side * 0.08, -0.5 + tilt, 0.036),
                        (side * 0.28, -0.58 + tilt, 0.024),
                        (side * 0.5, -0.66 + tilt, 0.024),
                        (side * 0.68, -0.68 + tilt, 0.03),
                    ]
                ],
            )
            self.thickness += self._bone(clavicle, 0.13, 0.016)
            blade = strokes(
                frame, [[(side * 0.74, -0.6, 0.03), (side * 0.7, -0.2, 0.02), (side * 0.62, 0.02, 0.012)]]
            )
            wing = ellipse(frame, side * 0.76, -0.35, 0.12, 0.32, side * 0.03)
            self.thickness += self._bone(blade, 0.06, 0.015) + 0.05 * ramp(wing, 0.01, -0.02)
            head = ellipse(frame, side * 0.83, -0.56, 0.11, 0.12)
            shaft = strokes(frame, [[(side * 0.86, -0.5, 0.075), (side * 0.95, 0.0, 0.05)]])
            self.thickness += self._bone(np.minimum(head, shaft), 0.16, 0.02)

    def _bone(self, level: Field, value: float, rim: float) -> Field:
        """Return the thickness of a hollow bone: dense at its rim."""
        inside = ramp(level, 0.006, -0.006)
        return value * inside * (0.6 + 0.4 * ramp(level, -rim, -0.2 * rim))

    def _ribs(self) -> Field:
        chance = self.study.of_patient("ribs")
        back: list[Path] = []
        front: list[Path] = []
        for side in _LEFT_RIGHT:
            for k in range(10):
                y = -0.74 + 0.138 * k + chance.between(-0.008, 0.008)
                reach = self.wide * (0.6 + 0.37 * float(sin_turns(0.25 * min(1.0, (k + 1) / 6.0))))
                drop = 0.1 + 0.022 * k
                rib: Path = []
                for j in range(13):
                    t = j / 12.0
                    x = 0.05 + (reach - 0.05) * float(sin_turns(0.25 * t))
                    sag = -0.05 * float(sin_turns(0.5 * t))
                    rib.append((side * x, y + sag + drop * t * t * 1.6, 0.026))
                back.append(rib)
                if 0 < k < 8:
                    x_end, y_end, _ = rib[-1]
                    arc: Path = []
                    for j in range(9):
                        t = j / 8.0
                        x = x_end - side * (reach - 0.26 - 0.012 * k) * t * t
                        arc.append((x, y_end + 0.05 * t + (0.16 + 0.012 * k) * t * (1.3 - 0.3 * t), 0.026))
                    front.append(arc)
        total = self._bone(strokes(self.frame, back), 0.066, 0.016)
        fade = ramp(np.abs(self.frame.x), 0.18, 0.5)
        total += self._bone(strokes(self.frame, front), 0.042, 0.016) * fade
        return total * ramp(self.body_level, 0.0, -0.04)

    def nodule(self) -> Mask:
        """Add a small round nodule in a lung; return its mask."""
        study, frame = self.study, self.frame
        chance = study.of_patient("nodule")
        side = 1.0 if chance.below(2) else -1.0
        cx = side * chance.between(0.36, 0.5)
        cy = chance.between(-0.42, 0.12) + 0.05 * study.depth
        radius = chance.between(3.1, 3.5) * frame.px * (1.0 + 0.12 * study.depth)
        level = blob(frame, cx, cy, radius, chance, 0.15, study.raggedness["nodule"])
        mask = solid(level < 0.0)
        self.thickness += 0.17 * study.contrast["nodule"] * mask
        return mask

    def film(self) -> Field:
        """Return grey values: scattered, toned like film, with quantum noise."""
        study = self.study
        t = blur(self.thickness, 0.7 * study.size / 256)
        t = t + 0.012 * self.coarse
        light = exp(-2.1 * np.maximum(t, 0.0))
        grain = study.of_slice("grain").gaussian(*self.frame.shape)
        light = light + 0.022 * study.noise * grain * np.sqrt(light)
        tone = clip01(1.0 - light)
        return clip01(mix(tone, tone * tone * (3.0 - 2.0 * tone), 0.5) * 1.18 - 0.08)


def _draw(study: Study) -> Picture:
    chest = _Chest(study)
    chest.body()
    lungs = chest.lungs()
    heart = chest.mediastinum()
    chest.vessels()
    chest.bones()
    nodule = chest.nodule()
    masks = {"lungs": lungs, "heart": heart, "nodule": nodule}
    return Picture(grey(chest.film()), masks, None)


CHEST_XRAY = Family(
    "chest-xray",
    "xray",
    {"lungs": "both lungs", "heart": "heart", "nodule": "nodule in a lung"},
    _draw,
)
