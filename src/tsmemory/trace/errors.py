"""What is said when a backbone cannot be adapted as it was asked."""

from tsmemory.errors import UserError


class TraceError(UserError):
    """A model, a setting or an artefact that does not fit; its message says what to do."""
