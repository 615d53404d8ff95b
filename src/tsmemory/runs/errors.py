"""Errors that refuse a run before it starts."""

from click import ClickException


class RefusedRunError(ClickException):
    """A run cannot begin; on the command line the message is shown without a traceback."""


class ParameterError(RefusedRunError):
    """A parameter is unknown or impossible."""


class StaleArtefactError(RefusedRunError):
    """A pipeline would read an artefact that other parameters, data or code have made."""
