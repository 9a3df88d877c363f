"""Run the command `autox-video` as `python -m autox_video`."""

import sys

from autox_video.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
