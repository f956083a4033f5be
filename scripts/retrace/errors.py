"""The exception for errors that the user can fix."""


class UserError(Exception):
    """An error that the user can fix; its message names the file, the line, the value and the fix.

    Scripts print it as one line on standard error and exit with status 2, without a traceback.
    """
