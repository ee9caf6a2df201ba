"""All mutants by name, in the order of the specification."""

from mutants.gallery import arithmetic, coding, files, pictures, state

_ROWS = (*arithmetic.MUTANTS, *coding.MUTANTS, *files.MUTANTS, *pictures.MUTANTS, *state.MUTANTS)
MUTANTS = {mutant.name: mutant for mutant in _ROWS}
if len(MUTANTS) < len(_ROWS):
    raise ValueError("two mutants have one name")
