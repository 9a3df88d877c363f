#!/usr/bin/env bash
# Test with N processes: ./dist_test.sh N [CONFIG] [key=value ...]; for variables see dist_train.sh.
AUTOX_VIDEO_SCRIPT=autotest.py AUTOX_VIDEO_SHELL_SCRIPT=dist_test.sh \
    exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_train.sh" "$@"
