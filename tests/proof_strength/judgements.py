"""Why the proofs accept some quirks: one judgement for each."""

from typing import Final

ACCEPTED: Final[dict[str, str]] = {
    "AnnouncedCountLosesHighBits": (
        "Alone it changes nothing: no count of the contract has more than 32 bits (TOK-5), which the invariants say."
    ),
    "ReadRequestsOutlastMessages": (
        "It reads once more than it must; invariants say that a wanted read is made, not that no other is."
    ),
    "AddZeroIsAGrant": "A grant of nothing is like any other grant: it restarts a timer and reads where it may.",
    "CurrentWhenOffered": (
        "Every invariant holds: a current buffer may have nothing written. Who finishes a buffer that was only offered"
        " is what the comparison sees."
    ),
    "DroppedBufferAsksNoWrite": (
        "What is pending is seen to already, by a timer or a wakeup that is owed; only that it is not tried at once"
        " differs."
    ),
    "WriteRequestsOutlastWrites": (
        "It tries once more than it must; invariants say that a request is not lost, not that it is spent."
    ),
    "FailedPortIsNotNow": (
        "A port that stays attached is tried again by the retry timer, so nothing is stuck; that it should be gone is"
        " what the comparison sees."
    ),
    "AwaitingClientHasCredit": (
        "The credit is counted as any other is, and may not be used before the restore; how much it is, only the"
        " comparison sees."
    ),
    "DestroyWalksOldestFirst": (
        "All messages are dropped, each once; no invariant speaks of the order among clients."
    ),
    "ResetKeepsHeldBuffers": (
        "Tokens of held buffers stay in flight and are conserved; that a reset returns them at once, only the"
        " comparison sees."
    ),
    "MarshallDoesNotSeal": (
        "A device that goes on is like any other to the invariants; that two devices now have the same data is beyond"
        " the state of one."
    ),
    "MarshalledCountsLoseHighBits": (
        "Alone it changes nothing: no count of the contract has more than 32 bits (TOK-5)."
    ),
}
