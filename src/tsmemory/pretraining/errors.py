"""What pretraining says when it cannot go on."""

from tsmemory.errors import UserError


class PretrainingError(UserError):
    """A recipe, checkpoint or run that cannot be used; its message says what to do."""
