"""Train and then test, as autotrain.py and autotest.py do, with one start of Python."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from autox_video.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train"]) or main(["test"]))
