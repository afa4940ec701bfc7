"""How long it takes to find the seeded defects: campaigns against other ways of looking for them.

``make fuzz-evidence`` measures and writes the page of the docs.
"""
