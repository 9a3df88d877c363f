"""Simulates a full disk for one process; Python imports this file at startup, by PYTHONPATH.

$FULL_DISK is JSON: files opened for writing below `folder` are counted and their names written to
`log`. At the one with number `at` (from 1), files cannot grow any more beyond a `share` of their
usual size (`sizes`, by name; of a line, for files that are appended to). The limit is that of the
process (RLIMIT_FSIZE), so that writes really fail, in Python and in C++. It is lifted when that
file is done, or, with `to_the_end`, never.
"""

import json
import os
import re
import resource
import sys

LINE_BYTES = 80  # less than any line that is appended


class FullDisk:
    """An audit hook that counts files, and lowers the limit once."""

    def __init__(self, order: dict) -> None:
        self.order = order
        self.count = 0
        self.last = ""
        self.lowered = False
        self.log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, event: str, arguments: tuple) -> None:
        """Handle one of Python's audit events."""
        if event == "open" and _writes(*arguments):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            self.opened(path, appends=bool(arguments[2] & os.O_APPEND))
        elif event in ("os.rename", "os.remove") and self.lowered and not self.order["to_the_end"]:
            self.limit(None)

    def opened(self, path: str, *, appends: bool) -> None:
        """Count a file that is opened for writing; a temporary one counts once."""
        again = path == self.last and os.path.basename(path).startswith(".")
        if again or not path.startswith(self.order["folder"] + os.sep):
            return
        self.last, self.count = path, self.count + 1
        if self.lowered and not self.order["to_the_end"]:
            self.limit(None)
        name = re.sub(r"^\.(.+?)(\.copy)?\.\w{8}(\.[\w-]+)?$", r"\1", os.path.basename(path))
        os.write(self.log, f"{name}\n".encode())
        if self.count == self.order["at"]:
            there = os.path.getsize(path) if os.path.exists(path) else 0
            grows = LINE_BYTES if appends else self.order["sizes"].get(name, 0)
            self.limit(there + int(self.order["share"] * grows))

    def limit(self, size: int | None) -> None:
        """Set how large a file of this process may become, in bytes; None: as large as before."""
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        self.lowered = size is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def _writes(path: object, mode: str | None, flags: int) -> bool:
    if not isinstance(path, (str, bytes, os.PathLike)):
        return False
    return bool(flags & (os.O_WRONLY | os.O_RDWR)) or bool(set(mode or "") & set("wax+"))


if "FULL_DISK" in os.environ:  # removed, so that it applies to this process only
    sys.addaudithook(FullDisk(json.loads(os.environ.pop("FULL_DISK"))))
