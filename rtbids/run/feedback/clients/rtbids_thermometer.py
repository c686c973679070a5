"""A task: a thermometer that shows the feedback of ``rtbids run``, and sends the buttons that are pressed.

On the machine of the analysis::

    rtbids run EXPERIMENT SOURCE --feedback tcp://0.0.0.0:5555 --responses tcp://0.0.0.0:5555

and here, with `rtbids_client.py` in the same folder::

    python rtbids_thermometer.py tcp://192.168.0.10:5555 --lowest -1 --highest 1

The keys 1 to 4 are sent as responses, escape ends. Without PsychoPy, or with ``--text``, the thermometer is made of characters,
and each line that is typed is sent as a response.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time

from rtbids_client import Client

KEYS = ["1", "2", "3", "4"]
WIDTH = 40  # characters


def height(value, lowest, highest):
    """Return how full the thermometer is, from 0 to 1; None where there is nothing to show."""
    if isinstance(value, dict):
        value = next(iter(value.values()), None)
    if value is None:
        return None
    return min(1.0, max(0.0, (value - lowest) / (highest - lowest)))


def show_in_a_window(client, options):
    from psychopy import core, event, visual

    window = visual.Window(fullscr=options.full_screen, color="black", units="height")
    frame = visual.Rect(window, width=0.1, height=0.8, lineColor="white", fillColor=None)
    bar = visual.Rect(window, width=0.09, height=0.0, lineColor=None, fillColor="red")
    while True:
        for key in event.getKeys([*KEYS, "escape"]):
            if key == "escape":
                window.close()
                core.quit()
            client.respond("button", key)
        line = client.latest()
        full = height(line["value"], options.lowest, options.highest) if line else None
        if full is not None:
            bar.height = 0.8 * full
            bar.pos = (0, -0.4 + 0.4 * full)
        frame.draw()
        bar.draw()
        window.flip()


def show_as_text(client, options):
    threading.Thread(target=send_what_is_typed, args=(client,), daemon=True).start()
    client.wait()
    while client.connected or not options.once:
        print_new(client, options)
        time.sleep(1 / 60)  # as a screen would
    print_new(client, options)


def print_new(client, options):
    for line in client.lines():
        full = height(line["value"], options.lowest, options.highest)
        bar = "" if full is None else "#" * round(WIDTH * full)
        sys.stdout.write(f"{line['volume']:5d} |{bar:{WIDTH}}| {line['value']} ({line['status']})\n")
        sys.stdout.flush()


def send_what_is_typed(client):
    for typed in sys.stdin:
        client.wait()
        client.respond("button", typed.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="tcp://host:port of the analysis, or udp://host:port to listen on")
    parser.add_argument("--lowest", type=float, default=-1.0, help="value of an empty thermometer")
    parser.add_argument("--highest", type=float, default=1.0, help="value of a full one")
    parser.add_argument("--responses", help="udp://host:port that responses go to, where feedback comes by UDP")
    parser.add_argument("--full-screen", action="store_true")
    parser.add_argument("--text", action="store_true", help="no window")
    parser.add_argument("--once", action="store_true", help="with --text: end with the run")
    options = parser.parse_args()
    client = Client(options.address, options.responses)
    try:
        if not options.text and has_psychopy():
            show_in_a_window(client, options)
        else:
            show_as_text(client, options)
    except KeyboardInterrupt:
        pass
    finally:
        client.close()


def has_psychopy():
    try:
        import psychopy  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    main()
