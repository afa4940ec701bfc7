"""``python -m chardev_conformance`` is the command ``chardev``."""

import sys

from chardev_conformance.command_line import main

sys.exit(main())
