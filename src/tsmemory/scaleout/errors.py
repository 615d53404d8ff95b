"""What goes wrong when work is shared out."""

from tsmemory.errors import UserError


class ScaleoutError(UserError):
    """Work cannot be shared out as asked, or one of those who shared it has failed."""
