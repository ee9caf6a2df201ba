"""All mutants by name."""

from mutants import decoder, reference

MUTANTS = {mutant.name: mutant for mutant in (*reference.MUTANTS, *decoder.MUTANTS)}
assert len(MUTANTS) == len(reference.MUTANTS) + len(decoder.MUTANTS), "two mutants have one name"
