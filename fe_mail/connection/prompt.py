"""
A server's connection that writes at once what fits into the socket.

Twisted registers a connection for writing, waits for the reactor to say that it may, writes, and
takes it out again: two system calls and one turn of the reactor for each reply, though a socket
nearly always has room for one. Here the first try is made at once; what does not fit goes Twisted's
way, and so does everything that a producer has to be told of.

Give the class to a port: ``port.transport = PromptServer``.
"""

from twisted.internet.tcp import Server

__all__ = ["PromptServer"]


class PromptServer(Server):
    """``startWriting`` is called for every write, and when the connection is to be closed."""

    _is_registered = False

    def startWriting(self) -> None:
        """Try, before the reactor is asked to say when."""
        if not self._is_registered and not self._sent_all():
            self._is_registered = True
            super().startWriting()  # type: ignore[no-untyped-call]  # Twisted's

    def stopWriting(self) -> None:
        """Everything is written, or nothing will be."""
        self._is_registered = False
        super().stopWriting()  # type: ignore[no-untyped-call]

    def _sent_all(self) -> bool:
        if not self._tempDataBuffer or self.dataBuffer or self._is_held:
            return False
        data = b"".join(self._tempDataBuffer)
        sent = self.writeSomeData(data)
        if not isinstance(sent, int) or sent < 0:
            return False  # the reactor finds that the connection is lost, and ends it
        self._tempDataBuffer = []
        self._tempDataLen = 0
        if sent == len(data):
            return True
        self.dataBuffer, self.offset = data, sent
        return False

    @property
    def _is_held(self) -> bool:
        """Is there somebody who only goes on when the reactor has written?"""
        has_to_resume = self.producer is not None and (
            not self.streamingProducer or self.producerPaused
        )
        is_ending = self.disconnecting or self._writeDisconnecting or self._aborting
        return bool(has_to_resume or is_ending)
