"""What the command line's exit says to a script: one code for each branch of the error tree.

A class without a code of its own has its nearest ancestor's.
"""

from __future__ import annotations

from si_stream.errors import (
    BrokerError,
    CheckpointError,
    DataError,
    IdentityMismatch,
    NotFinite,
    ProcessEnded,
    RequestError,
    SettingsError,
)

EXIT_CODES: dict[type[Exception], int] = {
    SettingsError: 2,  # as for a command line that cannot be parsed
    DataError: 3,
    BrokerError: 4,
    CheckpointError: 5,
    IdentityMismatch: 6,
    RequestError: 7,
    ProcessEnded: 8,
    NotFinite: 9,
}
OTHER_ERROR = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def exit_code(error: Exception) -> int:
    for ancestor in type(error).__mro__:
        if ancestor in EXIT_CODES:
            return EXIT_CODES[ancestor]
    return OTHER_ERROR
