"""Errors that a user can fix; each message says what is wrong, where it is, and how to fix it.

Commands print the messages to stderr and exit with code 2. Any other exception indicates a bug in
this package and is shown with its traceback.
"""


class AutoXVideoError(Exception):
    """Base class of all errors that a user can fix; an error contains one message per problem.

    Args:
        problems: one message for each problem.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class InstallError(AutoXVideoError, ImportError):
    """A package is missing, too old, or incompatible with another package."""


class ConfigError(AutoXVideoError):
    """A config file or a command-line override cannot be used."""


class ListingError(AutoXVideoError):
    """A list file or a folder of clips cannot be used."""


class VideoError(AutoXVideoError):
    """A clip cannot be read."""


class CheckpointError(AutoXVideoError):
    """Weights are damaged or belong to a different model."""


class ResourceError(AutoXVideoError):
    """The machine lacks disk space, memory, a device or a permission."""


class NumbersError(AutoXVideoError):
    """The loss is NaN or infinite, and lower learning rates did not help."""


class FetchError(AutoXVideoError):
    """A file cannot be fetched from the network."""
