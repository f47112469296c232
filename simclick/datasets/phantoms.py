"""`phantoms`: generated pictures that look like medical images, with truths that are known exactly.

Nothing is read from disk, and the arrays are the same on every machine, processor and supported
version of NumPy. Two rules make it so, and hold for everything under `simclick.datasets.phantom`:

- Chance comes from raw 64-bit words (`simclick.seeding.words_of`) by integer arithmetic.
- Floats meet only operations that IEEE 754 fixes to the last bit (``+ - * /``, square root, floor,
  comparison, minimum, maximum) and that NumPy does element by element, in an order that the code
  writes down. There is no sum, mean or matrix product of floats, none of NumPy's ``exp``, ``sin``
  or ``power`` (`simclick.datasets.phantom.exact` has our own), and no filter of another library.

So no result is *nearly* the same, and nothing is left to a rounding before a threshold.

Three things are planted per case, spread evenly and independently of each other, so that an
analysis of factors has known effects to find: the contrast of the target with its surroundings (0.25
to 1 of the family's full contrast) and the raggedness of its edge (0 to 1; of vessels their
waywardness), which are its patient's own, and the noise of the image (0.25 to 1.5 of the family's
usual noise). They are in a case's `factors` as ``planted_contrast``, ``planted_raggedness`` and
``planted_noise``, beside what `simclick.datasets.phantom.factors` measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.datasets.options import whole, wrong
from simclick.datasets.phantom import FAMILIES, Picture, Study
from simclick.datasets.phantom.factors import measured_factors
from simclick.datasets.phantom.fields import Chance
from simclick.errors import unknown_name

__all__ = ["PhantomReference", "Phantoms"]

_SMALLEST, _LARGEST = 128, 2048
# What is planted goes round the unit interval in steps that fill it evenly: from target to target
# (family to family for the noise), from patient to patient, and for the noise from slice to slice.
# Chosen so that no two of the three correlate (by rank, at most about 0.15), whatever the seed.
_CONTRAST_STEPS = (0.7548776662466927, 0.6180339887498949)
_RAGGEDNESS_STEPS = (0.5698402909980532, 0.3819660112501051)
_NOISE_STEPS = (0.8191725133961645, 0.5773502691896258, 0.1909830056250526)


@dataclass(frozen=True, slots=True)
class PhantomReference:
    """Names one case: a target in a slice of a patient of a family."""

    family: str
    patient: int
    slice: int
    target: str


class Phantoms(Dataset):
    """Generated cases, in an order of which every beginning is varied.

    The order goes round the families, then the patients, then the slices; the targets of one image
    follow each other and share one image array. A case depends on the seed, the size and its own
    reference alone: choosing families, or more patients or slices, changes no case. Data sets of
    different seeds share no case, no group and no case id.

    Args:
        seed: Chooses the patients.
        size: Size in pixels that the pictures are drawn for, 128 to 2048: the height or the width
            of most of them.
        patients: Groups per family.
        slices: Slices per group.
        families: Names of the families to draw; None draws all, in their own order.
        skip_invalid: As for every data set; no phantom is invalid.

    Raises:
        ConfigError: When an argument is out of range or a family is unknown.
    """

    def __init__(
        self,
        seed: int = 0,
        size: int = 256,
        patients: int = 3,
        slices: int = 2,
        families: Sequence[str] | None = None,
        skip_invalid: bool = False,
    ) -> None:
        super().__init__(skip_invalid)
        self.seed = whole("seed", seed, 0)
        self.size = whole("size", size, _SMALLEST)
        patients, slices = whole("patients", patients, 1), whole("slices", slices, 1)
        if size > _LARGEST:
            raise wrong("size", size, f"must be at most {_LARGEST} pixels")
        if isinstance(families, str):
            raise wrong("families", families, "must be a list of names, for example [fundus]")
        names = list(FAMILIES) if families is None else list(families)
        for name in names:
            if name not in FAMILIES:
                raise unknown_name("phantom family", name, FAMILIES)
        if not names or len(set(names)) < len(names):
            raise wrong("families", names, "must name each family once, and at least one")
        self._references = tuple(
            PhantomReference(family, patient, plane, target)
            for plane in range(slices)
            for patient in range(patients)
            for family in names
            for target in FAMILIES[family].targets
        )
        self._last: tuple[PhantomReference, Picture] | None = None
        self.info = DatasetInfo(
            name="phantoms",
            version="1",
            licence="Apache-2.0 (generated)",
            source=f"generated by simclick, seed {self.seed}, size {self.size}",
            note=f"synthetic: {len(names)} families of {patients} imitated patients, {slices} slices each",
        )

    def references(self) -> Sequence[PhantomReference]:
        """Return the references of all cases, in their order."""
        return self._references

    def load(self, reference: PhantomReference) -> Case:
        """Return a case; the image is drawn anew unless the case before was of the same one."""
        family = FAMILIES[reference.family]
        study = self._study(reference)
        picture = self._picture(reference, study)
        truth = picture.masks[reference.target]
        group = f"{reference.family}-{self.seed}-{reference.patient}"
        planted = {
            "planted_contrast": study.contrast[reference.target],
            "planted_noise": study.noise,
            "planted_raggedness": study.raggedness[reference.target],
        }
        return Case(
            case_id=f"{group}-{reference.slice}-{reference.target}",
            dataset=self.info.name,
            image=picture.image,
            truth=truth,
            group=group,
            modality=family.modality,
            target=reference.target,
            spacing=picture.spacing,
            label=family.targets[reference.target],
            factors={**planted, **measured_factors(picture.image, truth)},
            family=reference.family,
        )

    def _picture(self, reference: PhantomReference, study: Study) -> Picture:
        if self._last is not None and _same_image(self._last[0], reference):
            return self._last[1]
        picture = FAMILIES[reference.family].draw(study)
        for array in (picture.image, *picture.masks.values()):
            array.flags.writeable = False
        self._last = (reference, picture)
        return picture

    def _study(self, reference: PhantomReference) -> Study:
        """Return what to draw, with what is planted."""
        family, patient = reference.family, reference.patient
        start = Chance(self.seed, "planted").uniform(3).tolist()
        targets = [(name, target) for name in FAMILIES for target in FAMILIES[name].targets]
        contrast, raggedness = {}, {}
        for target in FAMILIES[family].targets:
            place = (targets.index((family, target)), patient)
            contrast[target] = 0.25 + 0.75 * _spread(start[0], _CONTRAST_STEPS, place)
            raggedness[target] = _spread(start[1], _RAGGEDNESS_STEPS, place)
        image = (list(FAMILIES).index(family), patient, reference.slice)
        return Study(
            seed=self.seed,
            family=family,
            patient=patient,
            slice=reference.slice,
            size=self.size,
            contrast=contrast,
            raggedness=raggedness,
            noise=0.25 + 1.25 * _spread(start[2], _NOISE_STEPS, image),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}


def _spread(start: float, steps: Sequence[float], place: Sequence[int]) -> float:
    """Return where so many steps of each kind lead on a circle of length 1, from `start`."""
    for step, count in zip(steps, place, strict=True):
        start += step * count
    return start - int(start)


def _same_image(a: PhantomReference, b: PhantomReference) -> bool:
    return (a.family, a.patient, a.slice) == (b.family, b.patient, b.slice)
