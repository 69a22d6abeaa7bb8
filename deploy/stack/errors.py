"""What can go wrong with the local stack?"""


class StackError(Exception):
    """The root of all errors of the local stack; its message says what to do."""


class InvalidEnvironment(StackError):
    """One or more environment variables that the stack reads are wrong."""


class ProgramMissing(StackError):
    """A program, or the files of one, cannot be found or fetched."""


class StartFailed(StackError):
    """A process ended, or did not answer in time, while it was being started."""


class TopicMismatch(StackError):
    """A topic exists, but not as this stack needs it."""


class BrokerUnreachable(StackError):
    """No Kafka broker answers at the given address."""
