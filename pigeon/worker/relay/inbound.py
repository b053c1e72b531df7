"""What one session's client sends: its files, until a newer client's take their place."""

from __future__ import annotations

from collections.abc import Callable

from pigeon.wire.names import SessionFiles, input_stem
from pigeon.wire.records import NUMBERED_INPUT
from pigeon.wire.tail import StreamReader
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.control import Control
from pigeon.worker.relay.input_file import InputFile
from pigeon.worker.relay.input_queue import InputQueue
from pigeon.worker.relay.keys import Keys
from pigeon.worker.relay.orders import Orders


class Inbound:
    """`attachment` is the n whose files are read; lower ones are ignored. `orders` are those of all who came."""

    def __init__(
        self, session: SessionFiles, command: Command, *, trace: Callable[[bytes], None] | None = None
    ) -> None:
        self.orders = Orders(command)
        self._session = session
        self._command = command
        self._trace = trace
        self._earlier_bytes = 0
        self._had_bulk = False
        self._length_of: Callable[[str], int] | None = None
        self._listen_to(0)

    def _listen_to(self, attachment: int) -> None:
        self.attachment = attachment
        self.control = Control(self._session.control(attachment), self.orders, Keys(self._command))
        self.queue = InputQueue(self._command)
        reader = StreamReader(self._session, input_stem(attachment), NUMBERED_INPUT)
        self.file = InputFile(reader, self.queue, self._trace)
        self._ask_first(reader)

    def ask_first(self) -> None:
        """From now on ask for the length of the files before they are opened, where that is cheaper."""
        from pigeon.wire.looks import question_for  # few sessions last as long

        self._length_of = question_for(self._session.control(self.attachment))
        self._ask_first(self.file.reader)

    def _ask_first(self, reader: StreamReader) -> None:
        self.control.tail.ask_first(self._length_of)
        reader.ask_first(self._length_of)

    def switch(self, attachment: int) -> None:
        """From now on read the files of this attacher, and nothing of any lower one."""
        self._earlier_bytes += self.file.received_bytes
        self._had_bulk = self.had_bulk
        self._listen_to(attachment)

    @property
    def input_bytes(self) -> int:
        """What has come for the command, of all clients."""
        return self._earlier_bytes + self.file.received_bytes

    @property
    def had_bulk(self) -> bool:
        """Input has come in segments."""
        return self._had_bulk or self.file.has_bulk

    @property
    def cost_s(self) -> float:
        """What a look costs on this filesystem."""
        return self.control.cost_s + self.file.cost_s

    def write(self) -> bool:
        """Give the command what it takes without blocking. True if it took something."""
        took = self.queue.write()
        self.file.settle()
        return took
