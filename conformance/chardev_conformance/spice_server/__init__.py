"""The target `spice-server`: Debian's libspice-server under test, through its public API alone."""
