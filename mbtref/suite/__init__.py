"""What the conformance tests stand on: requirements, questions, vectors, subjects, judging, messages, reports."""
