"""Everything PacaBench raises on purpose, named by what the caller can do about it.

PacabenchError
├── UsageError                 say it differently on the command line
├── ConfigError                mend pacabench.yaml (or .env, or the environment)
├── DatasetError               mend the data
├── RunError                   look at the run's directory
│   ├── RunNotFoundError       name another run
│   ├── RunLockedError         wait for, or stop, the harness that holds it
│   ├── RunChangedError        undo the change, or say --accept-changes
│   └── JournalError           the files of the run cannot be read or written
├── CassetteError              name another cassette, or record it anew
├── SandboxUnavailableError    no case can be served; the run must stop
│   ├── EngineUnreachableError start the engine
│   ├── ImageError             an image is missing or cannot be made
│   └── WeakSandboxError       the engine does not keep a promise
└── InfrastructureError        this attempt only; it becomes an outcome and is retried
    ├── SandboxError           -> sandbox_error
    ├── ProviderError          -> provider_error
    └── EvaluatorError         -> evaluator_error

What an agent does wrong is never an exception: ``attempt.py`` turns it into an
:class:`~pacabench.model.Outcome`.
"""


class PacabenchError(Exception):
    """Base of all. The message says what happened, where, and what to do next."""


class UsageError(PacabenchError):
    """The command line asks for something that does not exist. Exit code 2."""


class ConfigError(PacabenchError):
    """The configuration cannot be used; names file, line and key."""


class DatasetError(PacabenchError):
    """A data set cannot be used; names file and line."""


class RunError(PacabenchError):
    """Something about a run's directory."""


class RunNotFoundError(RunError):
    """No run, or more than one, fits the name that was given."""


class RunLockedError(RunError):
    """Another harness holds the run; names its host and process id."""


class RunChangedError(RunError):
    """Configuration, data or agent changed since the run began; carries the differences."""


class JournalError(RunError):
    """A journal file cannot be read or written (disk full, damage, permissions)."""


class CassetteError(PacabenchError):
    """A cassette cannot be read, or not be recorded into; names the directory."""


class SandboxUnavailableError(PacabenchError):
    """The sandbox cannot serve any case. Fatal to the run, never an outcome."""


class EngineUnreachableError(SandboxUnavailableError):
    """No Docker Engine answers, or it does not let us in."""


class ImageError(SandboxUnavailableError):
    """An image is missing and cannot be pulled or built."""


class WeakSandboxError(SandboxUnavailableError):
    """A probe showed that a promised protection does not hold on this engine."""


class InfrastructureError(PacabenchError):
    """One attempt failed for a reason that is not the agent's. Retried."""


class SandboxError(InfrastructureError):
    """The sandbox failed under one attempt (engine hiccup, dead lane)."""


class ProviderError(InfrastructureError):
    """The LLM provider failed under one attempt."""


class EvaluatorError(InfrastructureError):
    """The evaluator itself failed; says nothing about the answer."""
