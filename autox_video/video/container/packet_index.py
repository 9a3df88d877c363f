"""Which packets of a clip to decode for given times: pure arithmetic on their time stamps.

A packet holds one frame. Packets are numbered in order of decoding, which is their order in the
file; frames come on screen in the order of their stamps.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np


class PacketIndex:
    """Time stamps and kinds of all packets of a clip.

    Args:
        stamps: for each packet, when its frame comes on screen, in ticks.
        is_key: for each packet, whether decoding can start at it.
        is_shown: for each packet, whether its frame comes on screen at all: an edit list may cut
            off the start, which is then only decoded for what leans on it.
    """

    def __init__(
        self, stamps: Sequence[int], is_key: Sequence[bool], is_shown: Sequence[bool]
    ) -> None:
        self.stamps = np.array(stamps, dtype=np.int64)
        self._is_key = np.array(is_key, dtype=bool)
        self._is_shown = np.array(is_shown, dtype=bool)

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        return self.stamps.nbytes + self._is_key.nbytes + self._is_shown.nbytes + self.keys.nbytes

    @property
    def is_exact(self) -> bool:
        """Whether all frames that are shown can be decoded."""
        if len(self.stamps) == 0 or not self._is_key[0]:
            return False
        shown = self.stamps[self._is_shown]
        # Frames ahead of the first key frame lean on frames that are not in the file.
        return len(shown) > 0 and shown.min() >= self.stamps[0]

    @property
    def names_frames(self) -> bool:
        """Whether no two frames that are shown have the same stamp."""
        shown = self.stamps[self._is_shown]
        return len(np.unique(shown)) == len(shown)

    def shows(self, number: int) -> bool:
        """Whether the frame of a packet is shown."""
        return bool(self._is_shown[number])

    @property
    def shows_all(self) -> bool:
        """Whether every frame is shown."""
        return bool(self._is_shown.all())

    @property
    def has_leading(self) -> bool:
        """Whether frames are shown before the key frame that they follow in the file."""
        keys = self.keys[np.searchsorted(self.keys, np.arange(len(self.stamps)), "right") - 1]
        return bool((self.stamps < self.stamps[keys]).any())

    @cached_property
    def displayed(self) -> np.ndarray:
        """Numbers of the packets whose frames are shown, in order of display: (N,) int64."""
        numbers = np.flatnonzero(self._is_shown)
        return numbers[np.argsort(self.stamps[numbers], kind="stable")]

    def runs(self, wanted: Sequence[int], *, jumps: bool) -> list[tuple[int, int]]:
        """Give the stretches of packets to decode for the frames of the `wanted` packets.

        Args:
            wanted: numbers of packets, rising.
            jumps: whether decoding may start at any key frame, or only at the first.

        Returns:
            (start, end) each, `end` not included; each starts at a key frame.
        """
        runs: list[tuple[int, int]] = []
        for number in wanted:
            start = self._start_for(number) if jumps else 0
            while runs and start <= runs[-1][1]:
                start = min(start, runs.pop()[0])
            runs.append((start, number + 1))
        return runs

    @cached_property
    def keys(self) -> np.ndarray:
        """Numbers of the key packets: (K,) int64."""
        return np.flatnonzero(self._is_key)

    def _start_for(self, number: int) -> int:
        """Give the last key packet from which on the frame of a packet can be decoded.

        A frame that is shown before the key frame that it follows in the file may lean on frames
        from before that key frame.
        """
        place = int(np.searchsorted(self.keys, number, side="right")) - 1
        while place > 0 and self.stamps[self.keys[place]] > self.stamps[number]:
            place -= 1
        return int(self.keys[place])
