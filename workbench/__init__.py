"""What surrounds the core: the command line, evaluation, pictures. May import the core, never the reverse."""
