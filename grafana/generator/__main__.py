"""Writes the files that Grafana is provisioned with: `python -m grafana.generator [--check]`."""

import argparse
import sys

from grafana.generator import catalogue


def main(arguments: list[str] | None = None) -> int:
    """Write what differs and name it; with --check name it alone, and return 1 if there is any."""
    parser = argparse.ArgumentParser(prog="python -m grafana.generator", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if files differ")
    is_check = parser.parse_args(arguments).check
    differing = catalogue.outdated() if is_check else catalogue.write()
    for file in differing:
        verb = "is not in step with the code" if is_check else "written"
        sys.stdout.write(f"{file.relative_to(catalogue.GRAFANA_FOLDER.parent)}: {verb}\n")
    return 1 if is_check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
