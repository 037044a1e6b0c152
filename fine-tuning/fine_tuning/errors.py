"""What can go wrong between a dataset and an exported model. Messages name what, and what to do next."""

from __future__ import annotations

from shared_context.errors import ApplicationError


class LearningError(ApplicationError):
    """Base of this package's errors for training and export."""

    type = "invalid_request_error"
    code = "learning_error"
    status = 422


class RecipeError(LearningError):
    """A recipe's file, key or value."""


class BaseModelError(LearningError):
    """The model to train cannot be had or is unusable."""


class TrainingRefused(LearningError):
    """A training cannot begin or go on as asked."""


class Interrupted(LearningError):
    """A training stopped before its end; its checkpoint can be resumed."""


class ExportFailed(LearningError):
    """A trained model could not be written as GGUF."""
