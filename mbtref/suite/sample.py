"""Which picture the tier `full` asks at which model: each at one, in turn. The tier `kodak` asks all at all.

The models share their code, and the pictures differ in what is rare: so one model a picture shows what all show.
"""

from mbtref.suite.pictures import CONTENTS

MODELS = ("lite-q3", "lite-q4", "lite-q5", "lite-q6", "wide-q3", "wide-q4", "wide-q5", "wide-q6")
KODAK = "kodim"
"""Begins the names of the Kodak pictures. Their number follows."""
TURN = 2
"""Of the eight ways to take turns, one in which CompressAI's decoder goes astray, on 4 of 30 pictures."""
DRAWN = {"PORTABLE-1": sorted(CONTENTS)}
"""The made pictures of the requirement that asks each of them at every model."""


def in_sample(requirement: str, name: str) -> bool:
    """Whether the tier `full` has a case. name: model/picture if it is one of those of which there is a choice."""
    model, _, picture = name.removesuffix(".png").partition("/")
    if picture.startswith(KODAK):
        number = int(picture.removeprefix(KODAK))
    elif requirement in DRAWN:
        number = DRAWN[requirement].index(picture)
    else:
        return True
    return (number - MODELS.index(model)) % len(MODELS) == TURN
