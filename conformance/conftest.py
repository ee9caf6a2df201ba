"""The subject under test and the pictures it is tried on."""

import pytest

from conformance.subjects.protocol import Subject
from conformance.subjects.reference import Reference


@pytest.fixture(scope="session")
def subject() -> Subject:
    return Reference()
