"""The contract: the whole machine."""

from chardev_spec.migration import Migration


class Contract(Migration):
    """The reference semantics of the SPICE character-device API; a release is a class that derives from it.

    Each public function of the header is a method of the same name without the prefix `spice_char_device_(state_)`.
    A method's first argument is the frame of the call; the runner makes it (`runner.Runner.call`).
    """
