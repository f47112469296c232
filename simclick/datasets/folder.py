"""A folder of images and a folder of masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from simclick.datasets import options
from simclick.datasets.base import DatasetInfo
from simclick.datasets.disk import MaskFiles, Reference, group_of, safe_id
from simclick.datasets.images import SUFFIXES, Raster, read_raster
from simclick.datasets.masks import Selector, colour_codes, distinct, label_values, several_values
from simclick.datasets.pairing import Pair, PathPattern, pair_files
from simclick.errors import ConfigError

__all__ = ["Folder"]

TARGETS = ("binary", "value", "colour", "objects")


class Folder(MaskFiles):
    """Images and masks in folders, paired by name.

    ``targets`` says what a mask file holds:

    - ``binary``: one object; see ``threshold``. Also for soft masks (probabilities, blended edges).
    - ``value``: a label map; each value is an object, 0 is background. Without ``names`` every
      value that a mask holds is a target (``value-3``); with them only those named, and other
      values are background.
    - ``colour``: the same by exact colour, black is background (``colour-ff0000``).
    - ``objects``: one mask file per object, its name where ``@`` stands in ``masks``; each file is
      read like a binary mask.

    Reading masks follows `simclick.datasets.masks` and images `simclick.datasets.images`.

    Order: by case name (code points), then by target: label values and colours ascending, ``names``
    in the order given, object files by object name. Ids are the case name for ``binary``, else case
    name and target joined by ``_``; characters that are unsafe in file names become ``_``.

    An object without a pixel is no case but listed in `skipped`, unless ``keep_empty``: then it is
    a case with an empty truth (for ``value`` and ``colour`` this needs ``names``: unnamed objects
    are only known where they are seen). Where a mask that is read as one object holds several values or
    colours, `hints` says so. An image without mask, a mask without image and two files
    of one name are errors, or listed where ``skip_invalid`` is set.

    Args:
        root: The folder that all paths are relative to.
        images: Path pattern of the images; see `simclick.datasets.pairing`.
        masks: Path pattern of the masks. None: ``masks/*``, or ``masks/*_@`` for ``objects``.
        targets: What a mask file holds, see above.
        names: For ``value`` {name: value or [values]}, for ``colour`` {name: [r, g, b]}.
        threshold: For ``binary`` and ``objects``. None: every value but 0 is object (in a JPEG: at
            least half the range); a fraction in (0, 1]: every value of at least so much of the
            range of the data type.
        target: Name of the one object of ``binary``.
        group: Regular expression found in the case name; its first capture group is the group
            (patient). None: each image is its own group.
        modality: Of all images.
        spacing: Millimetres per pixel, one number or [row, column], of all images; None: unknown.
        recipe: How images become UInt8[H, W, 3].
        keep_empty: Whether objects without a pixel are cases.
        title: The data set's name in every table.
        skip_invalid: Whether bad files are listed instead of refused.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        images: str = "images",
        masks: str | None = None,
        targets: str = "binary",
        names: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        target: str = "object",
        group: str | None = None,
        modality: str = "unknown",
        spacing: Any = None,
        recipe: str = "simclick",
        keep_empty: bool = False,
        title: str = "folder",
        skip_invalid: bool = False,
    ) -> None:
        info = DatasetInfo(options.plain_name("title", title), source=f"the folder {root}")
        super().__init__(root, info, recipe, skip_invalid)
        self.targets = options.choice("targets", targets, TARGETS)
        self.names = self._named(names)
        self.threshold = self._checked_threshold(threshold)
        self.target, self.modality = str(target), str(modality)
        self.group = options.pattern_with_group("group", group)
        self.spacing = options.spacing(spacing)
        self.keep_empty = bool(keep_empty)
        self._several = 0  # mask files with several values, read as one object
        in_folder = "*_@" if targets == "objects" else "*"
        self._image_pattern = PathPattern(self.root, images, "images", SUFFIXES)
        self._mask_pattern = PathPattern(self.root, masks or "masks", "masks", SUFFIXES, in_folder)
        if ("@" in self._mask_pattern.text) != (targets == "objects") or "@" in self._image_pattern.text:
            raise options.wrong("masks", masks, "an '@' in dataset.masks goes with dataset.targets=objects")

    def _named(self, names: Mapping[str, Any] | None) -> dict[str, tuple[int, ...]] | None:
        if self.targets == "value":
            return options.named_values("names", names)
        if self.targets == "colour":
            return options.named_colours("names", names)
        if names is not None:
            raise ConfigError("dataset.names goes with dataset.targets=value or colour")
        return None

    def _checked_threshold(self, threshold: float | None) -> float | None:
        if threshold is None:
            return None
        if self.targets not in ("binary", "objects"):
            raise ConfigError("dataset.threshold goes with dataset.targets=binary or objects")
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold <= 1:
            raise options.wrong("threshold", threshold, "must be a fraction in (0, 1]")
        return float(threshold)

    def _list(self) -> Iterator[Reference]:
        self._several = 0
        for pair in pair_files(self._image_pattern, self._mask_pattern, self._fault, self._skip):
            for name, path in pair.masks:
                yield from self._objects(pair, name, path)

    def hints(self) -> tuple[str, ...]:
        """Return a line where masks that were read as one object hold several values or colours."""
        if not self._several:
            return ()
        number = (
            f"{self._several} mask file{'s' * (self._several != 1)} with several values or colours, read as"
        )
        ways = "dataset.threshold=0.5 cuts a soft mask at half its range"
        if self.targets == "binary":
            ways = f"dataset.targets=value (or colour) takes each for an object of its own, {ways}"
        return (f"{number} one object (all but 0): {ways}",)

    def _objects(self, pair: Pair, name: str, path: str) -> Iterator[Reference]:
        """Yield the references of one mask file; a bad file is a fault, empty objects are skipped."""
        group = self._attempt(pair.image, lambda: group_of(self.group, pair.name))
        found = self._attempt(path, lambda: self._found(name, path))
        if group is None or found is None:
            return
        empty = [target for target, (_, present) in found.items() if not present]
        if not found:
            self._skip(path, "the mask is empty: it holds no object")
        elif empty and not self.keep_empty:
            why = "the mask is empty: no pixel of" if len(empty) == len(found) else "no pixel of"
            self._skip(path, f"{why} {', '.join(empty)}")
        for target, (selector, present) in found.items():
            if present or self.keep_empty:
                case_id = safe_id(pair.name, "" if self.targets == "binary" else target)
                yield Reference(case_id, pair.image, path, selector, group, self.modality, target)

    def _found(self, name: str, path: str) -> dict[str, tuple[Selector, bool]]:
        """Return {target: (selector, whether it has a pixel)} of one mask file."""
        raster = read_raster(self.root / path)
        selectors = self._selectors(name, raster)
        if self.targets in ("binary", "objects") and self.threshold is None:
            self._several += several_values(raster)
        return {target: (one, bool(one.select(raster).any())) for target, one in selectors.items()}

    def _selectors(self, name: str, raster: Raster) -> dict[str, Selector]:
        if self.targets in ("binary", "objects"):
            return {name or self.target: Selector("foreground", threshold=self.threshold)}
        by: Literal["value", "colour"] = "value" if self.targets == "value" else "colour"
        if self.names is not None:
            return {target: Selector(by, codes) for target, codes in self.names.items()}
        if by == "value":
            return {f"value-{v}": Selector(by, (v,)) for v in distinct(label_values(raster))}
        return {f"colour-{c:06x}": Selector(by, (c,)) for c in distinct(colour_codes(raster))}
