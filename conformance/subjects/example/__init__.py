"""A program that speaks the command protocol."""
