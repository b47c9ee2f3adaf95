"""Checks the pages against the records, or writes them with `--write`."""

import sys
from collections.abc import Sequence

import benchmarks.figures
from benchmarks.figures.cells import ROOT
from benchmarks.figures.pages import filled, pages


def main(arguments: Sequence[str]) -> int:
    """Checks the pages, or writes them with `--write`; returns the exit code."""
    if arguments not in ([], ["--write"]):
        print(benchmarks.figures.__doc__, file=sys.stderr)
        return 2
    drifted = 0
    for page in pages():
        text = page.read_text()
        wanted = filled(text, str(page.relative_to(ROOT)))
        if text == wanted:
            continue
        drifted += 1
        if arguments:
            page.write_text(wanted)
        print(
            f"{page.relative_to(ROOT)} {'written' if arguments else 'differs from the records'}",
            file=sys.stderr,
        )
    return 1 if drifted and not arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
