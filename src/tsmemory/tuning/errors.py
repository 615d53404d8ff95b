"""Errors of tuning."""

from tsmemory.errors import UserError


class TuningError(UserError):
    """A study cannot be made, continued or used as asked; the message says what to do."""
