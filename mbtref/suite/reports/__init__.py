"""What is made of a run: the report and its levels, badge and matrix; the table of machines."""
