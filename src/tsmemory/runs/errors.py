"""Errors that end a run with a message instead of a traceback."""

from click import ClickException


class RefusedRunError(ClickException):
    """A run cannot begin; on the command line the message is shown without a traceback."""


class ParameterError(RefusedRunError):
    """A parameter is unknown or impossible."""


class StaleArtefactError(RefusedRunError):
    """A pipeline would read an artefact that other parameters, data or code have made."""


class FailedRunError(ClickException, ValueError):
    """A step met something that the user can mend; the message is that of the cause."""
