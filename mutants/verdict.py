"""What the suite says of a mutant of the gallery, and whether that is due."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from mbtref.suite.requirements import REQUIREMENTS, TIERS
from mbtref.suite.subjects.protocol import Subject
from mutants.mutant import Mutant
from mutants.run import Failed, requirement_of


class About(NamedTuple):
    """The question which requirements a mutant fails. Its own is asked first."""

    mutant: Mutant
    everything: bool
    """Whether all cases are asked, also after the mutant is caught."""

    @property
    def name(self) -> str:
        return self.mutant.name

    def subject(self) -> Subject:
        return self.mutant.subject()

    def order(self, cases: Sequence[str]) -> Sequence[str]:
        def late(case: str) -> tuple[bool, int]:
            requirement = requirement_of(case)
            return requirement != self.mutant.requirement, TIERS.index(REQUIREMENTS[requirement].tier)

        return sorted(cases, key=late)

    def enough(self, failed: Failed, case: str) -> bool:
        return bool(failed) and not self.everything and requirement_of(case) != self.mutant.requirement


class Verdict(NamedTuple):
    """What the suite said of a mutant."""

    mutant: Mutant
    failed: Failed

    @property
    def requirements(self) -> list[str]:
        """Those that failed."""
        return list(dict.fromkeys(map(requirement_of, self.failed)))

    @property
    def message(self) -> str:
        """The first one of the requirement that is about the mutant, or the first one at all."""
        own = [text for case, text in self.failed.items() if requirement_of(case) == self.mutant.requirement]
        return next(iter([*own, *self.failed.values()]), "")

    @property
    def fault(self) -> str | None:
        """Why the verdict isn't the due one, or None."""
        wanted = self.mutant.requirement
        if wanted not in self.requirements:
            return f"caught by {', '.join(self.requirements) or 'nothing'}, not by {wanted}"
        # tracebacks are indented, and what a vector catches isn't what went wrong
        own = re.sub(r"\n  (  .*|catches: .*|required: .*|repeat: .*)", "", self.message).partition("\n")[2]
        if not re.search(rf"(?<![a-z_]){re.escape(self.mutant.stage)}(?![a-z_])", own):
            return f"the message doesn't name {self.mutant.stage}"
        return None
