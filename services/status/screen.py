"""Where a service's state is shown: once, or each second, to a person or to a script."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from services.status.picture import picture
from services.status.seen import ServiceStatus

INTERVAL_SECONDS = 1.0


def show(seen: ServiceStatus, *, as_json: bool) -> None:
    if as_json:
        print(seen.model_dump_json(indent=1))
    else:
        screen().print(picture(seen, time.time()))


def show_each_second(look: Callable[[], ServiceStatus], *, as_json: bool) -> bool:
    """Until Ctrl-C; whether it was well at last. On a terminal in place; elsewhere one below the
    other, JSON a line each."""
    console, healthy = screen(), False
    live = console.is_terminal and not as_json
    with Live(console=console, auto_refresh=False) if live else console as shown:
        try:
            while True:
                seen = look()
                healthy = seen.healthy
                if as_json:
                    print(seen.model_dump_json(), flush=True)
                elif isinstance(shown, Live):
                    shown.update(picture(seen, time.time()), refresh=True)
                else:
                    console.print(picture(seen, time.time()), "")
                time.sleep(INTERVAL_SECONDS)
        except KeyboardInterrupt:
            return healthy


def screen() -> Console:
    """Elsewhere than on a terminal no line is broken."""
    made = Console(highlight=False)
    if not made.is_terminal:
        made.width = 200
    return made
