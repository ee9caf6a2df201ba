"""All mutants by name, in the order of the specification; then those of public implementations."""

from mutants.gallery import arithmetic, coding, files, javascript, pictures, ports, precision, sizes, state

_MODULES = (arithmetic, coding, files, pictures, sizes, precision, state, ports, javascript)
_ROWS = tuple(mutant for module in _MODULES for mutant in module.MUTANTS)
MUTANTS = {mutant.name: mutant for mutant in _ROWS}
if len(MUTANTS) < len(_ROWS):
    raise ValueError("two mutants have one name")
