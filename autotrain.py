"""Train the best video model for your clips: python autotrain.py [CONFIG] [key=value ...]"""

import sys

from autox_video.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
