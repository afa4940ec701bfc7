"""The lab: the check and the port tests on real serial drivers, in a guest that QEMU emulates (`make lab`)."""
