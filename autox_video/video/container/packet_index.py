"""Determine which packets must be decoded to obtain given frames, using only timestamps.

Each packet contains one frame. Packets are numbered in decoding order, which is their order in
the file. Frames are displayed in the order of their timestamps.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np


class PacketIndex:
    """Timestamps and flags of all packets of a clip.

    Args:
        stamps: for each packet, when its frame is displayed, in ticks.
        is_key: for each packet, whether decoding can start at that packet.
        is_shown: for each packet, whether its frame is displayed. An edit list may hide frames at
            the start that are decoded only because other frames depend on them.
    """

    def __init__(
        self, stamps: Sequence[int], is_key: Sequence[bool], is_shown: Sequence[bool]
    ) -> None:
        self.stamps = np.array(stamps, dtype=np.int64)
        self._is_key = np.array(is_key, dtype=bool)
        self._is_shown = np.array(is_shown, dtype=bool)

    @property
    def nbytes(self) -> int:
        """Memory used, in bytes."""
        return self.stamps.nbytes + self._is_key.nbytes + self._is_shown.nbytes + self.keys.nbytes

    @property
    def is_exact(self) -> bool:
        """Whether all displayed frames can be decoded."""
        if len(self.stamps) == 0 or not self._is_key[0]:
            return False
        shown = self.stamps[self._is_shown]
        # Frames shown before the first key frame depend on frames that are not in the file.
        return len(shown) > 0 and shown.min() >= self.stamps[0]

    @property
    def names_frames(self) -> bool:
        """Whether all displayed frames have distinct timestamps."""
        shown = self.stamps[self._is_shown]
        return len(np.unique(shown)) == len(shown)

    def shows(self, number: int) -> bool:
        """Return whether the frame of a packet is displayed."""
        return bool(self._is_shown[number])

    @property
    def shows_all(self) -> bool:
        """Whether every frame is displayed."""
        return bool(self._is_shown.all())

    @property
    def has_leading(self) -> bool:
        """Whether any frame is stored after a key frame but displayed before that key frame."""
        keys = self.keys[np.searchsorted(self.keys, np.arange(len(self.stamps)), "right") - 1]
        return bool((self.stamps < self.stamps[keys]).any())

    @cached_property
    def displayed(self) -> np.ndarray:
        """Numbers of the packets whose frames are displayed, in display order: (N,) int64."""
        numbers = np.flatnonzero(self._is_shown)
        return numbers[np.argsort(self.stamps[numbers], kind="stable")]

    def runs(self, wanted: Sequence[int], *, jumps: bool) -> list[tuple[int, int]]:
        """Return the ranges of packets to decode to obtain the frames of the `wanted` packets.

        Args:
            wanted: packet numbers, sorted.
            jumps: whether decoding may start at any key frame or only at the first one.

        Returns:
            Pairs (start, end), with `end` exclusive. Each range starts at a key frame.
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
        """Numbers of the packets that contain key frames: (K,) int64."""
        return np.flatnonzero(self._is_key)

    def _start_for(self, number: int) -> int:
        """Return the number of the last key frame from which a packet's frame can be decoded.

        A frame that follows a key frame in the file but is displayed before that key frame may
        depend on frames before the key frame.
        """
        place = int(np.searchsorted(self.keys, number, side="right")) - 1
        while place > 0 and self.stamps[self.keys[place]] > self.stamps[number]:
            place -= 1
        return int(self.keys[place])
