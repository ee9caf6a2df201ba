"""What the conformance tests stand on: requirements, vectors, subjects, asking, comparing, explaining, reports."""
