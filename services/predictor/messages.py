"""What a client has sent already, without waiting for more."""

from __future__ import annotations

from starlette.types import Message, Receive


def message_there(receive: Receive) -> Message | None:
    """The next message of a request, where it is there already.

    One step of the coroutine shows that: it ends, or it waits, and is given up.
    """
    step = receive().__await__()
    try:
        next(step)
    except StopIteration as ended:
        message: Message = ended.value
        return message
    step.close()
    return None


def is_gone(receive: Receive) -> bool:
    """Whether the client of a request whose body has been read has hung up meanwhile; of one who
    stays nothing more comes."""
    message = message_there(receive)
    return message is not None and message["type"] == "http.disconnect"
