#!/usr/bin/env bash
# Test in N processes: ./dist_test.sh N [CONFIG] [key=value ...]; dist_train.sh says what else.
AUTOX_VIDEO_SCRIPT=autotest.py AUTOX_VIDEO_SHELL_SCRIPT=dist_test.sh \
    exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_train.sh" "$@"
