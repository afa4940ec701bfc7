"""How long the tests of the specification search: quickly and repeatably, or with CHARDEV_LONG=1 for minutes."""

import os

from hypothesis import settings

LONG = os.environ.get("CHARDEV_LONG") == "1"

# Quick runs take the same examples each time, so that a failure is never chance; long runs look for new ones.
settings.register_profile("quick", max_examples=40, derandomize=True, deadline=None, database=None)
settings.register_profile("long", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("long" if LONG else "quick")
