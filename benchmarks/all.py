"""Run the CPU benchmarks one after another and put their tables into ``docs/speed.md``.

    python benchmarks/all.py [--ritm CHECKOUT_OF_RITM] [--masks FOLDER] [--full] [--vit-b] [--only NAME …]

The page's words are written by hand. What stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` is replaced
by what the benchmark of that name found now, with the command, the machine and its load.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from timing import Table, arguments

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = {
    "clicks": ("ritm", "masks", "repeats"),
    "loop": ("ritm", "masks", "repeats"),
    "metrics": ("masks", "repeats"),
    "sweep": ("vit_b",),
    "store": ("full",),
    "start": ("repeats",),
    "classical": (),
}
"""The benchmarks, and which of our options each takes."""


def command_of(name: str, options: Any) -> tuple[list[str], str]:
    """Return a benchmark's arguments, and the command as the page shows it (folders by name alone)."""
    words, shown = [], [f"python benchmarks/{name}.py"]
    for option in OPTIONS[name]:
        value = getattr(options, option)
        if value is None or value is False:
            continue
        flag = "--" + option.replace("_", "-")
        words += [flag] if value is True else [flag, str(value)]
        shown += [flag] if value is True else [f"{flag} {shown_value(option, value)}"]
    return words, " ".join(shown)


def shown_value(option: str, value: object) -> str:
    """Return a value as the page shows it: paths differ between machines."""
    return option.upper() if isinstance(value, Path) else str(value)


def block(content: dict[str, Any], command: str) -> str:
    """Return what goes between a benchmark's markers."""
    head = f"`{command}`, Python {content['python']}, {content['machine']}; load: {content['load']}."
    return "\n\n".join([head, *(Table(**table).markdown() for table in content["tables"])])


def replaced(page: str, name: str, new: str) -> str:
    """Return the page with the block of a name replaced.

    Raises:
        ValueError: When the page has no such block.
    """
    before, start, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not start or not end:
        raise ValueError(f"the page has no block <!-- {name} --> … <!-- /{name} -->")
    return f"{before}{start}{new}\n{end}{after}"


def main() -> int:
    """Run them; return the number of those that failed."""
    parser = arguments(__doc__, masks=True)
    parser.add_argument("--full", action="store_true", help="also 1,000,000 step rows")
    parser.add_argument("--vit-b", action="store_true", help="also a sweep with ViT-B (an hour or more)")
    parser.add_argument("--only", nargs="+", choices=list(OPTIONS), default=list(OPTIONS), metavar="NAME")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "speed.md")
    options = parser.parse_args()
    failed = []
    for name in options.only:
        words, shown = command_of(name, options)
        print(f"\n== {shown}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "result.json"
            script = str(Path(__file__).with_name(f"{name}.py"))
            if subprocess.run(
                [sys.executable, script, *words, "--json", str(target)], check=False
            ).returncode:
                failed.append(name)
                continue
            content = json.loads(target.read_text(encoding="utf-8"))
        page = options.page.read_text(encoding="utf-8")
        options.page.write_text(replaced(page, name, block(content, shown)), encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
