"""CT of the upper abdomen in the portal venous phase, soft-tissue window."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, cos_turns, sin_turns
from simclick.datasets.phantom.fields import Frame, blur, clip01, paint, ramp
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

__all__ = ["CT_ABDOMEN"]

_LEFT_RIGHT = (-1.0, 1.0)


class _Abdomen:
    """One slice, painted organ by organ in Hounsfield units."""

    def __init__(self, study: Study) -> None:
        n = study.size
        whole = Frame.of(n, n)
        # Every third patient is imaged with a small field of view that cuts the body off.
        self.zoom = 0.66 if study.patient % 3 == 2 else 0.9
        shift = -0.04 if study.patient % 3 == 2 else 0.0
        frame = Frame(whole.x * self.zoom + shift, whole.y * self.zoom, whole.px * self.zoom)
        self.study, self.frame = study, frame
        self.hu: Field = np.full(frame.shape, -1000.0)
        self.texture = study.field("texture", frame, 28.0, 2)
        self.coarse = study.field("coarse", frame, 7.0, 2)
        self.wide, self.tall = study.number("wide", 0.82, 0.92), study.number("tall", 0.6, 0.68)
        self.fat = study.number("fat", 0.04, 0.11)

    def trunk(self) -> None:
        """Paint table, skin, fat and muscle wall; set the cavity."""
        frame, hu = self.frame, self.hu
        sag = frame.y - (self.tall + 0.08) + 0.13 * frame.x * frame.x
        on_table = np.abs(frame.x) < 0.75
        paint(hu, (np.abs(sag) < 0.009) & on_table, 120.0)
        paint(hu, (np.abs(sag - 0.09) < 0.006) & on_table, 10.0)
        body = self._oval(self.wide, self.tall) + 0.012 * self.study.field("outline", frame, 2.5)
        wall = self._oval(self.wide - self.fat, self.tall - self.fat) + 0.012 * self.study.field(
            "wall", frame, 4.0
        )
        septa = ramp(np.abs(self.coarse), 0.05, 0.0)
        paint(hu, body < 0.0, 20.0)
        paint(hu, body < -0.013, -106.0 + 8.0 * self.texture + 25.0 * septa)
        layered = ramp(np.abs(wall + 0.034), 0.008, 0.0) * ramp(frame.y, 0.15, -0.1)
        paint(hu, wall < 0.0, 55.0 + 7.0 * self.texture - 90.0 * layered)
        self.cavity = wall + 0.055
        inside = self.cavity < 0.0
        paint(hu, inside, -100.0 + 9.0 * self.texture)
        strands = self.study.field("strands", frame, 9.0, 2)
        paint(hu, inside & (np.abs(strands) < 0.04), -55.0)

    def _oval(self, wide: float, tall: float) -> Field:
        frame = self.frame
        groove = ramp(np.abs(frame.x), 0.16, 0.0) * ramp(frame.y, 0.2, 0.5)
        oval = 0.6 * ellipse(frame, 0.0, 0.0, wide, tall) + 0.4 * box_level(frame, 0.0, 0.0, wide, tall)
        return oval + 0.03 * groove

    def ribs(self) -> None:
        """Paint rib sections into the wall, elongated along it."""
        chance = self.study.of_patient("ribs")
        drift = 0.03 * self.study.depth
        a, b = self.wide - self.fat - 0.03, self.tall - self.fat - 0.03
        for side in _LEFT_RIGHT:
            for k in range(5):
                turn = -0.1 + 0.064 * k + drift + chance.between(-0.012, 0.012)
                c, s = float(cos_turns(turn)), float(sin_turns(turn))
                # The wall is a mean of an ellipse and a squarer curve: push the ribs out to it.
                bulge = 1.0 + 0.28 * c * c * s * s
                tilt = 0.25 + (1.0 if s * c > 0 else -1.0) * 0.14 * abs(s) * abs(c) * 2.0 * side
                shape = ellipse(
                    self.frame, side * a * c * bulge, b * s * bulge, chance.between(0.04, 0.075), 0.02, tilt
                )
                paint(self.hu, shape < 0.0, 470.0)
                paint(self.hu, shape < -0.009, 180.0)

    def back(self) -> None:
        """Paint the muscles beside the spine."""
        muscle = 58.0 + 6.0 * self.texture - 70.0 * ramp(self.coarse, 1.0, 1.7)
        for side in _LEFT_RIGHT:
            for shape in (
                box_level(self.frame, side * 0.16, 0.44, 0.15, 0.1, side * 0.03),
                ellipse(self.frame, side * 0.175, 0.24, 0.065, 0.085, side * 0.06),
                ellipse(self.frame, side * 0.31, 0.37, 0.08, 0.05, -side * 0.09),
                ellipse(self.frame, side * 0.095, 0.1, 0.02, 0.09, side * 0.05),
            ):
                paint(self.hu, shape < 0.0, -30.0)
                paint(self.hu, shape < -0.012, muscle)

    def spine(self) -> None:
        """Paint the vertebra; set its level."""
        frame, hu = self.frame, self.hu
        body = np.maximum(ellipse(frame, 0.0, 0.2, 0.125, 0.095), -ellipse(frame, 0.0, 0.31, 0.06, 0.032))
        canal = ellipse(frame, 0.0, 0.33, 0.056, 0.042)
        arch = np.minimum(ellipse(frame, 0.0, 0.34, 0.09, 0.066), ellipse(frame, 0.0, 0.46, 0.02, 0.1))
        for side in _LEFT_RIGHT:
            arch = np.minimum(arch, ellipse(frame, side * 0.15, 0.345, 0.09, 0.017, -side * 0.03))
            arch = np.minimum(arch, ellipse(frame, side * 0.085, 0.385, 0.028, 0.04, side * 0.08))
        cortical = self.study.number("bone", 330.0, 470.0)
        spongy = 150.0 + 45.0 * self.texture
        paint(hu, arch < 0.0, cortical)
        paint(hu, arch < -0.014, 220.0)
        paint(hu, body < 0.0, cortical * 0.8)
        paint(hu, body < -0.012, spongy)
        paint(hu, canal < 0.0, 15.0)
        paint(hu, ellipse(frame, 0.0, 0.33, 0.03, 0.024) < 0.0, 48.0)
        self.bone = np.minimum(body, arch)

    def bowel(self) -> None:
        """Paint loops of bowel with fluid, stool or gas and a fluid level."""
        chance = self.study.of_patient("bowel", self.study.slice)
        stool = self.study.field("stool", self.frame, 26.0, 2)
        spots = [(0.62, -0.22), (0.14, -0.2), (0.52, -0.38), (0.04, -0.42), (0.28, -0.05), (0.0, -0.26)]
        for kind, (x, y) in enumerate(spots):
            x, y = x + chance.between(-0.04, 0.04), y + chance.between(-0.04, 0.04)
            loop = blob(
                self.frame, x, y, chance.between(0.075, 0.11), chance, 0.35, 0.1, chance.between(0.7, 1.0)
            )
            loop = np.maximum(loop, self.cavity + 0.01)
            inner = loop < -0.016
            paint(self.hu, loop < 0.0, 70.0)
            if kind % 3 == 0:
                paint(self.hu, inner, np.where(stool > 0.5, -700.0, 25.0 + 30.0 * stool))
            elif kind % 3 == 1:
                paint(self.hu, inner, 22.0 + 12.0 * stool)
            else:
                paint(self.hu, inner, 24.0)
                paint(self.hu, inner & (self.frame.y < y - 0.015), -950.0)

    def kidneys(self) -> Mask:
        """Paint both kidneys in their fat; return their mask."""
        study, frame, hu = self.study, self.frame, self.hu
        c = study.contrast["kidneys"]
        frayed = study.of_patient("kidney edge").smooth(frame, 24.0, 2)
        mask: Mask = np.zeros(frame.shape, dtype=np.bool_)
        self.renal: Field = np.full(frame.shape, 9.0)
        for side, name in zip(_LEFT_RIGHT, ("right", "left"), strict=True):
            chance = study.of_patient("kidney", name)
            cx, cy = side * chance.between(0.39, 0.43), chance.between(0.17, 0.22)
            r = chance.between(0.115, 0.135) * (0.85 + 0.25 * study.depth)
            whole = ellipse(frame, cx, cy, r, r * 1.3, -side * chance.between(0.03, 0.08))
            whole = whole + 0.006 * study.field("lobes" + name, frame, 8.0)
            hilum = ellipse(frame, cx - side * r * 0.8, cy - 0.03, r * 0.8, r * 0.38, side * 0.07)
            edge = np.maximum(roughen(whole, frayed, study.raggedness["kidneys"], 0.03), -hilum)
            kidney = solid(edge < 0.0)
            medulla = study.field("pyramids" + name, frame, 11.0)
            paint(hu, whole < 0.06, -102.0 + 6.0 * self.texture)
            paint(hu, (np.abs(whole - 0.06) < 0.006) & (self.cavity < 0.0), -30.0)
            vein = [(cx - side * r * 0.5, cy - 0.03, 0.016), (side * 0.12, 0.09, 0.02), (0.0, 0.06, 0.015)]
            paint(hu, (strokes(frame, [vein]) < 0.0) & ~kidney, 60.0 + 80.0 * c)
            paint(hu, (hilum < 0.0) & (whole < 0.0), -60.0 + 40.0 * medulla)
            dark = ramp(medulla, 0.0, 0.8) * ramp(edge, -0.02, -0.04)
            paint(hu, kidney, 55.0 + 140.0 * c - 45.0 * c * dark)
            mask |= kidney
            self.renal = np.minimum(self.renal, whole - 0.055)
        return mask

    def liver(self) -> Mask:
        """Paint the liver and its vessels; return its mask."""
        study, frame = self.study, self.frame
        chance = study.of_patient("liver")
        z = study.depth
        level = join(
            ellipse(frame, -0.5, chance.between(-0.1, -0.04), 0.37, 0.46 - 0.06 * z, 0.02),
            ellipse(
                frame,
                -0.08 + chance.between(-0.04, 0.04),
                -0.33,
                chance.between(0.32, 0.4) - 0.12 * z,
                0.16,
                -0.03,
            ),
            0.14,
        )
        level = level + 0.012 * study.field("liver edge", frame, 5.0)
        frayed = study.of_patient("liver rag").smooth(frame, 20.0, 2)
        level = roughen(level, frayed, study.raggedness["liver"], 0.042)
        fissure = np.maximum(np.abs(frame.x + 0.2 + 0.25 * (frame.y + 0.3)) - 0.008, frame.y + 0.3)
        gallbladder = ellipse(frame, -0.19, -0.03, 0.08, 0.125, -0.05)
        for other in (-(self.cavity + 0.012), gallbladder, self.renal, self.bone - 0.05, fissure):
            level = np.maximum(level, -other)
        mask = solid(level < 0.0)
        self.base = 55.0 + 70.0 * study.contrast["liver"]
        paint(self.hu, (level < 0.014) & (self.cavity < 0.0), -95.0)
        paint(self.hu, mask, self.base + 3.0 * self.texture + 3.0 * self.coarse)
        bile = ellipse(frame, -0.19, -0.03, 0.068, 0.11, -0.05)
        paint(self.hu, (bile < 0.0) & ~mask, 35.0)
        paint(self.hu, (bile < -0.01) & ~mask, 6.0)
        paint(self.hu, (strokes(frame, self._portal_tree()) < 0.0) & mask, self.base + 35.0)
        return mask

    def _portal_tree(self) -> list[Path]:
        chance = self.study.of_patient("portal", self.study.slice)
        paths: list[Path] = []
        for heading in (0.45, 0.54, 0.62, 0.71):
            start = (-0.24 + chance.between(-0.05, 0.03), -0.1 + chance.between(-0.06, 0.06))
            trunk = walk(start, heading + chance.between(-0.03, 0.03), 0.42, (0.016, 0.004), chance, 0.03)
            paths.append(trunk)
            for k in (3, 6, 9):
                x, y, w = trunk[k]
                aside = heading + (0.1 if chance.below(2) else -0.1)
                paths.append(walk((x, y), aside, 0.2, (w * 0.75, 0.003), chance, 0.03))
        return paths

    def left_side(self, liver: Mask) -> None:
        """Paint spleen, stomach with its fluid level, and pancreas."""
        study, frame, hu = self.study, self.frame, self.hu
        chance = study.of_patient("spleen")
        spleen = ellipse(frame, 0.68, chance.between(0.0, 0.08), 0.17, chance.between(0.26, 0.33), 0.03)
        spleen = np.maximum(np.maximum(spleen, self.cavity + 0.012), -self.renal)
        spleen = spleen + 0.008 * study.field("spleen", frame, 6.0)
        bag = blob(frame, 0.36, -0.24, 0.21, study.of_patient("stomach"), 0.3, 0.0, 0.75, 0.06)
        bag = np.maximum(np.maximum(bag, self.cavity + 0.02), 0.02 - spleen)
        lobules = study.field("lobules", frame, 20.0)
        gland = [(-0.14, 0.02, 0.05), (0.02, -0.04, 0.035), (0.22, -0.01, 0.035), (0.42, -0.02, 0.028)]
        pancreas = strokes(frame, [gland]) + 0.012 * lobules
        paint(hu, (pancreas < 0.0) & ~liver, 92.0 - 50.0 * ramp(lobules, 0.6, 1.4))
        paint(hu, (bag < 0.014) & ~liver & (self.cavity < 0.0), -95.0)
        paint(hu, (bag < 0.0) & ~liver, 65.0)
        content = (bag < -0.022) & ~liver
        paint(hu, content, 26.0 + 22.0 * np.maximum(self.coarse, -0.5))
        paint(hu, content & (frame.y < study.number("fluid", -0.32, -0.27)), -950.0)
        paint(hu, (spleen < 0.014) & (self.cavity < 0.0) & (bag > 0.0), -95.0)
        paint(hu, spleen < 0.0, 118.0 + 4.0 * self.texture)

    def great_vessels(self) -> None:
        """Paint aorta with a plaque, caval vein, splenic and mesenteric vessels."""
        frame, hu = self.frame, self.hu
        splenic = [(-0.2, -0.04, 0.028), (-0.08, 0.01, 0.026), (0.04, 0.015, 0.02), (0.32, 0.03, 0.013)]
        paint(hu, strokes(frame, [splenic]) < 0.0, 150.0)
        for shape, value in (
            (ellipse(frame, 0.035, 0.065, 0.046, 0.046), -60.0),
            (ellipse(frame, -0.1, 0.08, 0.058, 0.042, -0.03), -60.0),
            (ellipse(frame, 0.035, 0.065, 0.04, 0.04), 170.0),
            (ellipse(frame, 0.066, 0.085, 0.011, 0.007, 0.15), 450.0),
            (ellipse(frame, -0.1, 0.08, 0.052, 0.036, -0.03), 138.0),
        ):
            paint(hu, shape < 0.0, value)

    def lesion(self) -> Mask:
        """Paint a tiny dark lesion in the liver; return its mask."""
        study, frame = self.study, self.frame
        chance = study.of_patient("lesion")
        px = frame.px
        radius = chance.between(3.0, 3.5) * px * (1.0 + 0.1 * study.depth)
        cx, cy = -0.52 + chance.between(-0.1, 0.1), -0.1 + chance.between(-0.14, 0.08)
        level = blob(frame, cx, cy, radius, chance, 0.12, study.raggedness["liver-lesion"])
        mask = solid(level < 0.0)
        paint(self.hu, mask, self.base - 75.0 * study.contrast["liver-lesion"])
        return mask

    def scan(self) -> Field:
        """Return grey values, 0 to 1: blurred, grainy, in a window of 400 HU about 50."""
        n, study = self.study.size, self.study
        hu = blur(self.hu, 0.6 * n / 256)
        grain = blur(study.of_slice("grain").gaussian(n, n), 0.5) * 1.7
        hu = hu + grain * (18.0 * study.noise) * clip01((hu + 1100.0) * 0.0015)
        return (hu + 150.0) * (1.0 / 400.0)


def _draw(study: Study) -> Picture:
    abdomen = _Abdomen(study)
    abdomen.trunk()
    abdomen.ribs()
    abdomen.bowel()
    abdomen.back()
    abdomen.spine()
    kidneys = abdomen.kidneys()
    liver = abdomen.liver()
    abdomen.left_side(liver)
    abdomen.great_vessels()
    lesion = abdomen.lesion()
    spacing = round(study.number("field of view", 340.0, 400.0) * abdomen.zoom / study.size, 4)
    masks = {"liver": liver | lesion, "kidneys": kidneys, "liver-lesion": lesion}
    return Picture(grey(abdomen.scan()), masks, (spacing, spacing))


CT_ABDOMEN = Family(
    "ct-abdomen",
    "ct",
    {"liver": "liver", "kidneys": "both kidneys", "liver-lesion": "small dark lesion in the liver"},
    _draw,
)
