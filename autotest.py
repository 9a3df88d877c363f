"""Say what a trained model sees in every clip: python autotest.py [CONFIG] [key=value ...]"""

import sys

from autox_video.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
