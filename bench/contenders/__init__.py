"""Who is measured on a line, and on which lines."""
