"""What is said when a forecaster cannot be built, loaded or asked as it was."""

from tsmemory.errors import UserError


class ForecasterError(UserError):
    """A forecaster or a request that does not fit; its message says where and what to do."""
