"""What all errors of tsmemory that a user can mend have in common."""


class UserError(ValueError):
    """Something that cannot be used as asked; the message says what it is and what to do.

    ``kedro run`` shows the message alone, without a traceback.
    """
