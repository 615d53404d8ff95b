"""Other people's tools: MLflow and fev, each an extra of its own.

Nothing else imports these modules, and they import the tool only when they are used, so that the
package neither needs nor slows down for what is not installed.
"""
