"""A small device in C, and its seeded defects: the checker's test objects."""
