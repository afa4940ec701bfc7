"""What the proofs are worth: machines that are known to be wrong, and whether the proofs refute them."""
