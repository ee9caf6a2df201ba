"""The conformance suite. It knows implementations only as subjects."""
