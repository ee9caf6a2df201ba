"""Making model files and tables: importing checkpoints, proving counts, completing and writing."""
