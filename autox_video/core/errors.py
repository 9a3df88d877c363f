"""What a user can get wrong: every error says what is wrong, where, and what to do about it.

The commands print these sentences on stderr and end with exit code 2; anything else that is raised
is a defect of this project and keeps its traceback.
"""


class AutoXVideoError(Exception):
    """Base of all errors that a user can mend; carries one sentence per problem.

    Args:
        problems: the sentences, each complete in itself.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class InstallError(AutoXVideoError, ImportError):
    """A package is missing, too old, or in conflict with another."""


class ConfigError(AutoXVideoError):
    """A config file or a command-line override cannot be used."""


class ListingError(AutoXVideoError):
    """A list file or a folder of clips cannot be used."""


class VideoError(AutoXVideoError):
    """A clip cannot be read."""


class CheckpointError(AutoXVideoError):
    """Weights are damaged, or belong to another model."""


class ResourceError(AutoXVideoError):
    """The machine lacks something: disk space, memory, a device, a permission."""


class NumbersError(AutoXVideoError):
    """Training gives numbers that are not finite, whatever is tried."""
