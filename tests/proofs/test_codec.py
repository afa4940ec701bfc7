"""The proof of the codec, and that it refutes a codec with a defect."""

import pytest

from chardev_proofs.codec import CodecProof
from chardev_spec import record

OBLIGATIONS = {
    "bytes that are looked at are there",
    "decoded fields fit their types",
    "what is decoded has a known version and a client",
    "write data lies behind the record, in the message",
    "only write data that lies elsewhere is refused",
    "write data has the length that the record says",
    "every record whose fields fit is encoded",
    "only an unknown version or no client is refused",
    "what is encoded is decoded",
}


def test_the_codec_is_proved() -> None:
    """The other proofs take for granted what `decode` gives (MIG-5)."""
    assert CodecProof().run() == dict.fromkeys(OBLIGATIONS, True)


def test_a_short_message_that_is_accepted_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read outside the message would be called proved."""
    monkeypatch.setattr(record, "MESSAGE_SIZE", 32)
    verdicts = CodecProof().run()
    assert not verdicts["bytes that are looked at are there"]


def test_write_data_outside_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that trusts the record would be called proved."""

    def trusting(message: bytes) -> tuple[record.Record, bytes]:
        found = record.decode_record(message)
        return found, record.write_data(message, found)

    monkeypatch.setattr(record, "decode", trusting)
    verdicts = CodecProof().run()
    assert {name for name, holds in verdicts.items() if not holds} == {
        "bytes that are looked at are there",
        "write data lies behind the record, in the message",
    }


def test_fields_that_are_exchanged_are_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that mixes up two counts would be called proved."""
    right = record.encode

    def exchanged(made: record.Record) -> bytes:
        return right(made._replace(client_tokens=made.send_tokens, send_tokens=made.client_tokens))

    monkeypatch.setattr(record, "encode", exchanged)
    verdicts = CodecProof().run()
    assert [name for name, holds in verdicts.items() if not holds] == ["what is encoded is decoded"]
