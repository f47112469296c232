"""Finding files by path patterns, and pairing images with masks.

A pattern is a path relative to the root of a data set, with ``/`` between folders. ``*`` stands for
the name of a case and ``@`` for the name of an object; neither contains a ``/``, and the same ``*``
twice means the same name twice. A file name's ending may be left out. A folder's name alone means
the files in it; a file's name alone means that file.

``images/*`` with ``masks/*_mask``, ``masks/*_@``, ``masks/*/@`` or ``masks/@/*``, and
``*/ct.nii.gz`` with ``*/seg.nii.gz``, are all patterns. Where a mask's name can be read in several
ways (``a_1_liver`` by ``*_@``), the longest case name that an image has wins. Images and masks may
lie in one folder (``*`` with ``*_mask``): what reads as the mask of another image is no image.

Hidden files and folders (a dot in front) are ignored. Names are compared in Unicode's composed form
(NFC), so that the same files give the same ids on every file system, and sorted by code point,
never by the locale.
"""

from __future__ import annotations

import glob
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from simclick.datasets.options import wrong
from simclick.errors import DataError

__all__ = ["Pair", "PathPattern", "Report", "pair_files"]

_RULE = (
    "every * is the same name, without '/': images/*/* finds images/a/a.png, and */image.png finds "
    "a/image.png and b/image.png"
)

Report = Callable[[str, str], None]
"""Called with a path (relative to the root) and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One image and its masks.

    Attributes:
        name: Name of the case: what ``*`` stands for.
        image: The image's path, relative to the root.
        masks: (object, path) of each mask, sorted by object; the object is "" where the pattern has
            no ``@``.
    """

    name: str
    image: str
    masks: tuple[tuple[str, str], ...]


class PathPattern:
    """A path pattern under a root.

    Args:
        root: The data set's folder.
        pattern: The pattern.
        option: The option that gave it, for messages.
        suffixes: The file name endings that are looked for, in lower case.
        in_folder: What a bare folder name is completed with.

    Raises:
        ConfigError: When the pattern is malformed, leads out of the root, or names nothing.
    """

    def __init__(
        self, root: Path, pattern: object, option: str, suffixes: Sequence[str], in_folder: str = "*"
    ) -> None:
        if not isinstance(pattern, str) or not pattern.strip():
            raise wrong(option, pattern, "must be a path pattern such as 'images/*'")
        text = _composed(pattern.strip()).rstrip("/")
        if text.startswith(("/", "~")) or ".." in text.split("/"):
            raise wrong(option, pattern, "must be relative to dataset.root and stay inside it")
        if "*" not in text and (root / text).is_dir():
            text = f"{text}/{in_folder}".removeprefix("./")
        if "**" in text:
            raise wrong(option, pattern, f"'**' has no meaning; {_RULE}")
        if re.search(r"\*@|@\*|@.*@", text):
            raise wrong(option, pattern, "needs something between '*' and '@', and at most one '@'")
        if "@" in text and "*" not in text:
            raise wrong(option, pattern, "has an '@' for the object but no '*' for the case")
        self.root = root
        self.text = text
        self.option = option
        self.suffixes = tuple(sorted(suffixes, key=len, reverse=True))
        folder, _, self._last = text.rpartition("/")
        self._folder = re.sub(r"[^*@]+", lambda literal: glob.escape(literal[0]), folder).replace("@", "*")
        if not self.is_file and not any(self._folders()):
            raise wrong(option, pattern, f"no such folder in {root}")
        if self.is_file and not (root / text).exists():
            raise wrong(option, pattern, f"no such file or folder in {root}")

    @property
    def is_file(self) -> bool:
        """Whether it names one file."""
        return "*" not in self.text

    def candidates(self) -> list[str]:
        """Return the relative paths of all visible files where masks or images may lie, sorted.

        Folders count where their name ends like a file: reading them then says what is wrong.
        """
        if self.is_file:
            return [self.text]
        found = (path for folder in self._folders() for path in folder.iterdir())
        relative = (p.relative_to(self.root) for p in found if p.is_file() or self._suffix(p.name))
        return sorted(p.as_posix() for p in relative if not any(part.startswith(".") for part in p.parts))

    def readings(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield every (case, object) that a relative path can mean, longest case first."""
        text, suffix = _composed(path), self._suffix(path)
        if not suffix:
            return
        if self.is_file:
            yield text.rpartition("/")[2].removesuffix(suffix), ""
            return
        if not self._suffix(self._last):
            text = text.removesuffix(suffix)
        longest = len(text)
        while longest > 0:
            match = _regex(self.text, longest).fullmatch(text)
            if match is None:
                return
            yield match["case"], match.groupdict().get("object", "")
            longest = len(match["case"]) - 1

    def nothing(self) -> str:
        """Return why no file may have been found, in words."""
        if self.text.count("*") > 1:
            return _RULE
        endings = f"files ending in {', '.join(sorted(self.suffixes))} are read"
        names = (p.name for folder in self._folders() for p in folder.iterdir() if p.is_file())
        others = sorted(name for name in names if not name.startswith(".") and not self._suffix(name))
        return f"{endings}, not {', '.join(others[:3])}{', …' * (len(others) > 3)}" if others else endings

    def _folders(self) -> Iterable[Path]:
        if not self._folder:
            return [self.root]
        return (path for path in self.root.glob(self._folder) if path.is_dir())

    def _suffix(self, name: str) -> str:
        return next((name[-len(s) :] for s in self.suffixes if name.lower().endswith(s)), "")


def pair_files(images: PathPattern, masks: PathPattern, fault: Report, ignored: Report) -> list[Pair]:
    """Return the pairs of images and masks, sorted by name.

    Args:
        images: Where images lie; has no ``@``.
        masks: Where masks lie.
        fault: Called with an unpaired file, or one that shares its name with another. Where it
            returns, the pair is left out.
        ignored: Called with a file that fits neither pattern.

    Raises:
        ConfigError: When both patterns are the same, or only one of them names a single file.
        DataError: When no file fits the pattern of the images.
    """
    if images.text == masks.text or images.is_file != masks.is_file:
        raise wrong(masks.option, masks.text, f"does not go with dataset.{images.option}={images.text!r}")
    if images.is_file:
        name = next(images.readings(images.text), (images.text, ""))[0]
        return [Pair(name, images.text, (("", masks.text),))]
    image_paths, mask_paths = images.candidates(), masks.candidates()
    case_of = {path: case for path in image_paths for case, _ in list(images.readings(path))[:1]}
    known = set(case_of.values())
    masks_of: dict[str, dict[str, str]] = defaultdict(dict)
    broken: set[str] = set()
    for path in mask_paths:
        readings = [r for r in masks.readings(path) if r[0] != case_of.get(path)]
        case, name = next((r for r in readings if r[0] in known), ("", ""))
        if case and name in masks_of[case]:
            fault(path, f"is named like {masks_of[case][name]}: which is meant?")
            broken.add(case)
        elif case:
            masks_of[case][name] = path
            case_of.pop(path, None)
        elif readings and path not in case_of:
            fault(path, f"is a mask without an image ({images.text} finds none named {readings[0][0]!r})")
    used = {path for found in masks_of.values() for path in found.values()}
    for path in sorted({*image_paths, *mask_paths} - used - set(case_of)):
        if not any(True for _ in masks.readings(path)):
            ignored(path, f"fits neither {images.text} nor {masks.text}, or is no image file")
    return _pairs(images, masks, case_of, masks_of, broken, fault)


def _pairs(
    images: PathPattern,
    masks: PathPattern,
    case_of: dict[str, str],
    masks_of: dict[str, dict[str, str]],
    broken: set[str],
    fault: Report,
) -> list[Pair]:
    image_of: dict[str, str] = {}
    for path, case in case_of.items():
        if case in image_of:
            fault(path, f"is named like {image_of[case]}: which is meant?")
            broken.add(case)
        image_of.setdefault(case, path)
        if not masks_of.get(case):
            fault(path, f"has no mask ({masks.text} finds none)")
            broken.add(case)
    if not image_of:
        raise DataError(f"{images.root}: no image fits {images.text}: {images.nothing()}")
    return [
        Pair(case, image_of[case], tuple(sorted(masks_of[case].items())))
        for case in sorted(image_of)
        if case not in broken
    ]


@cache
def _regex(pattern: str, longest: int) -> re.Pattern[str]:
    """Return a pattern's regular expression, its case name having at most so many characters."""
    text = "".join(
        {"*": "(?P=case)", "@": "(?P<object>[^/]+)"}.get(token, re.escape(token))
        for token in re.findall(r"[*@]|[^*@]+", pattern)
    )
    return re.compile(text.replace("(?P=case)", f"(?P<case>[^/]{{1,{longest}}})", 1))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
