"""Every mutant as a subject of the suite, by its name: `mutants.subjects:slope`."""

import importlib

from mbtref.suite.subjects.protocol import Subject
from mutants.gallery import MUTANTS
from mutants.mutant import DECODER, OF_DECODER, REFERENCE, install


def __getattr__(name: str) -> Subject:
    if name not in MUTANTS:
        raise AttributeError(f"no mutant {name}; there are {', '.join(MUTANTS)}", name=name)
    mutant = MUTANTS[name]
    install(mutant)
    if mutant.file in OF_DECODER:
        subject: Subject = importlib.import_module(DECODER).OneFile()
    else:
        subject = importlib.import_module(REFERENCE).Reference()
    return subject
