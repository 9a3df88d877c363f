"""`python -m autox_video` is the command `autox-video`."""

import sys

from autox_video.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
