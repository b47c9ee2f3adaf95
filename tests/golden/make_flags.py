"""Makes version_0_1/flags.json for tests/launch/test_flags.py: the flags of version 0.1.0.

In a checkout of version 0.1.0: python tests/golden/make_flags.py > version_0_1/flags.json
"""

import importlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path.cwd()))
COMMANDS = (
    *("assess", "embed", "pretrain", "score", "value"),
    *("reproduce_byol_tracin", "reproduce_examine", "reproduce_low_resource"),
)


def flags_of(command: str) -> dict[str, dict[str, object]]:
    """Default, choices and lower bound of each flag that the command's modules define."""
    from absl import flags

    module = importlib.import_module(f"launch.{command}")
    found = {}
    for name in (module.__name__, "launch.command"):
        for flag in flags.FLAGS.flags_by_module_dict()[name]:
            found[flag.name] = {
                "default": flag.default,
                "choices": getattr(flag.parser, "enum_values", None),
                "minimum": getattr(flag.parser, "lower_bound", None),
            }
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        json.dump(flags_of(sys.argv[1]), sys.stdout)
    else:  # a process for each command: absl keeps the flags of all modules in one place
        import subprocess

        made = {
            command: json.loads(
                subprocess.check_output([sys.executable, __file__, command], text=True)
            )
            for command in COMMANDS
        }
        json.dump(made, sys.stdout, indent=1, sort_keys=True)
        print()
