"""chardev_conformance: compares any implementation of the SPICE character-device API with its specification."""
