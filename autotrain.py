"""Train a video classifier: python autotrain.py [CLIPS_FOLDER or CONFIG] [key=value ...]"""

import sys

from autox_video.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
