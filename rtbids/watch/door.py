"""What every receiver of images says of those that it does not take, and of senders that it turns away."""

from __future__ import annotations

import logging
import threading

from rtbids.clock import Clock
from rtbids.watch.faults import Fault, Faults

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000  # statuses of a store (PS3.4, B.2.3)
NOT_OF_ITS_CLASS = 0xA900
logger = logging.getLogger("rtbids")


class Door:
    """The part of a `rtbids.watch.associations.Receiver` that does not depend on where images go."""

    def __init__(self, faults: Faults, clock: Clock) -> None:
        self._faults, self._clock = faults, clock
        self._one_at_a_time = threading.Lock()
        self._count = 0
        self._said: set[str] = set()
        self._refused: set[str] = set()  # classes

    def moment(self) -> float:
        return self._clock.now()

    def unreadable(self, why: str) -> int:
        with self._one_at_a_time:
            self._count += 1
            name = f"image {self._count} from the network"
            self._faults.note(Fault.FOREIGN, name, f"{name}: {why}")
            return CANNOT_UNDERSTAND

    def refuse(self, sop_class: str) -> None:
        with self._one_at_a_time:
            if sop_class not in self._refused:
                self._refused.add(sop_class)
                self._faults.note(Fault.FOREIGN, sop_class, f"images from the network: no MR images ({sop_class})")

    def broken_off(self, *, in_image: bool) -> None:
        if not in_image:
            logger.info("an association ended without being released, between two images")
            return
        with self._one_at_a_time:
            text = "an image from the network: its association broke off in the middle of it"
            self._faults.note(Fault.INCOMPLETE, text, text)

    def turned_away(self, why: str) -> None:
        self.say_once(f"an association was turned away: {why}")

    def say_once(self, text: str) -> None:
        """Warn of something, the first time."""
        if text not in self._said:
            self._said.add(text)
            logger.warning("%s", text)
