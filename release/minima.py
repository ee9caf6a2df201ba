"""The oldest versions that pyproject.toml allows, as constraints for pip: `python -m release.minima`."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def declared() -> list[Requirement]:
    """All requirements of the project and its extras, and what builds it."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = content["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for line in sum(lists, content["build-system"]["requires"])]


def minima() -> set[str]:
    """A line for each package that has an oldest version."""
    bounds = {(each.name, bound) for each in declared() for bound in each.specifier}
    return {f"{name}=={bound.version}" for name, bound in bounds if bound.operator == ">="}


if __name__ == "__main__":
    print("\n".join(sorted(minima())))
