"""How a release is made: `python -m release` builds its files, tries them, and says what they hold."""
