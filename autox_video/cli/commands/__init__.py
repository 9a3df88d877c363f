"""The commands of `autox-video`, one module each: arguments, call and exit code."""
