"""What is said when a forecaster cannot be built, loaded or asked as it was."""


class ForecasterError(ValueError):
    """A forecaster or a request that does not fit; its message says where and what to do."""
