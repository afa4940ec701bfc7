"""chardev_spec: what a SPICE character device does, as a state machine that runs."""
