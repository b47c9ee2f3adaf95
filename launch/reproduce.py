"""Repeats a paper's study on your own images, or on the paper's.

python -m launch.reproduce STUDY --workdir=OUT ...
python -m launch.reproduce STUDY --help    (the study's flags)
"""

import importlib
import sys


def main() -> None:
    from examine_jax.studies.registry import STUDIES

    known = "\n".join(f"  {name:14s}{about}" for name, about in STUDIES.items())
    study = sys.argv[1] if len(sys.argv) > 1 else ""
    if study in ("--help", "--helpfull", "--helpshort", "-?", "-h"):
        print(f"{(__doc__ or '').strip()}\n\nSTUDY is one of:\n{known}")
        return
    if study not in STUDIES:
        print(
            f"examine-reproduce: {study!r} is no study; name one of {', '.join(STUDIES)}",
            file=sys.stderr,
        )
        sys.exit(1)
    del sys.argv[1]
    importlib.import_module(f"{__package__}.reproduce_{study}").main()


if __name__ == "__main__":
    main()
