"""White-box tests of mbtref."""
