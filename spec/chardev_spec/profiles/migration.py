"""Quirks of migration."""

from chardev_spec.conditions import Frame, Steps
from chardev_spec.errors import CannotMarshallError
from chardev_spec.profiles.quirk import ALL, Quirk, low_bits, no_steps
from chardev_spec.record import MigrateData, Record, decode_record, write_data
from chardev_spec.state import Buffer, Marshalled, Origin, Place


class MarshallsAnyState(Quirk):
    """MIG-2: marshall is allowed while running, awaiting, inside a callback, and with buffers held.

    What remains is asserted: one client, and nothing in its send queue.
    """

    releases = ALL
    refuted_by = "sealed_devices_are_quiet"

    def check_can_marshal(self) -> int:
        """One client, its send queue empty."""
        if self.clients.count() != 1 or not self.send_queue.empty():
            raise CannotMarshallError(
                "a device with one client and an empty send queue is asserted"
            )
        return self.clients.newest_first().pop(0)


class MarshallDoesNotSeal(Quirk):
    """MIG-2, WR-1, MIG-6: marshall changes nothing; the source goes on and writes the same data."""

    releases = ALL

    def seal(self) -> Marshalled:
        """Only the references."""
        marshalled = self.buffers.marshal()
        self.buffers.update(lambda row: row.marshalled, marshalled=lambda row: False)
        return marshalled


class MarshalledCountsLoseHighBits(Quirk):
    """MIG-2, TOK-5: the record has the low 32 bits of each count, also without flow control.

    It takes `RestoreChecksNothing` as well to make the tokens in the write data that many.
    """

    releases = ALL

    def marshalled_count(self, client: int, count: int) -> int:
        """The low bits."""
        return low_bits(count, 32)

    def migrate_data_marshall(self, frame: Frame) -> MigrateData:
        """The tokens in the write data lose their high bits as well."""
        data = super().migrate_data_marshall(frame)
        client = self.clients.newest_first().pop(0)
        tokens = low_bits(self.in_flight(client) - self.held_price(client), 32)
        return data._replace(record=data.record._replace(write_client_tokens=tokens))


class RestoreChecksNothing(Quirk):
    """MIG-5: restore asks neither whether the counts fit the window, nor where the write data is.

    A version above ours and a record of nobody end the process, as does reading behind the message.
    """

    releases = ALL
    refuted_by = "counts_are_not_negative"

    def check_window(self, client: int, record: Record) -> None:
        """Nothing is refused."""

    def read_message(self, message: bytes) -> tuple[Record, bytes]:
        """Whatever is where the record says, the record itself for one."""
        record = decode_record(message)
        return record, write_data(message, record)


class RestoreOverwritesCounts(Quirk):
    """MIG-4, TOK-1, TOK-4, TOK-5, RD-6: the counts of the record replace those here, with flow control or without.

    What the client granted and took here meanwhile is forgotten; freed tokens are what the client tokens of the record
    leave of those here, in 32 bits.
    """

    releases = ALL
    refuted_by = "tokens_are_conserved"

    def restore_tokens(self, client: int, record: Record, data: bytes) -> None:
        """Overwrite; the difference may wrap round."""
        row = self.clients[client]
        row.freed = low_bits(row.tokens - record.client_tokens - record.write_client_tokens, 32)
        row.tokens = record.client_tokens
        row.send_tokens = record.send_tokens
        row.granted += record.send_tokens
        row.announced = 0
        row.taken = row.window - row.tokens


class RestoredDataCostsSelfToken(Quirk):
    """MIG-4, SELF-4, SELF-2: data without tokens becomes a server buffer, for a self token.

    Without one the process ends.
    """

    releases = ALL
    refuted_by = "self_tokens_are_not_negative"

    def restore_data(self, client: int, record: Record, data: bytes) -> None:
        """A server buffer, unless there are tokens for it."""
        if record.write_size > 0 and record.write_client_tokens == 0:
            self.device.self_tokens -= 1
            self.buffers.insert(
                Buffer(
                    self.buffers.next_handle(),
                    Origin.SERVER,
                    None,
                    capacity=record.write_size,
                    price=1,
                    place=Place.CURRENT,
                    data=data,
                )
            )
        else:
            super().restore_data(client, record, data)


class RestoreDoesNotAnnounce(Quirk):
    """MIG-4, TOK-3: freed tokens that a restore brought over the interval wait for the next price that returns."""

    releases = ALL
    refuted_by = "freed_tokens_are_announced"

    def announce_restored(self, frame: Frame, client: int) -> Steps[None]:
        """Nothing."""
        yield from no_steps()
