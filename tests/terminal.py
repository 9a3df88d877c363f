"""Commands on a pseudo-terminal, and the lines that they leave on it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(command, *, cwd, columns=80):
    """Run a command on a terminal of that width; gives its exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    unset = ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**environment, "TERM": "xterm"},
    )
    os.close(theirs)
    text = b""
    while block := _read(ours):
        text += block
    os.close(ours)
    return process.wait(60), text.decode(errors="replace")


def _read(handle):
    try:
        return os.read(handle, 65536)
    except OSError:  # the other end is closed
        return b""


def lines_of(text):
    """What was written in one go on each line, without colours and moves of the cursor."""
    parts = re.split(r"[\r\n\0]+", _SEQUENCE.sub("\0", text))
    return [part.rstrip() for part in parts if part.strip()]
