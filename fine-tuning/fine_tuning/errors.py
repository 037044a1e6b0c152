"""What can go wrong between a dataset and a released model, in one tree. Messages name what, and what to do next.

LearningError
├── RecipeError        a recipe's file, key or value
├── BaseModelError     the model to train
├── TrainingRefused    a training cannot begin or go on
├── Interrupted        a training stopped, and can be resumed
├── ExportFailed       no GGUF could be written
├── EvaluationError    a file of questions or results
├── ReleaseRefused     a run must not become the shipped model
└── CloudError         Mistral's service
    └── NotFinished    its job still runs
"""

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


class EvaluationError(LearningError):
    """A file of questions, or of an earlier evaluation, cannot be used; the message says where and why."""


class ReleaseRefused(LearningError):
    """The run must not become the shipped model; the message says why."""


class CloudError(LearningError):
    """The service refuses, fails, or cannot be reached."""


class NotFinished(CloudError):
    """The job still runs there; `job_id` takes up the watch again."""

    job_id: str

    def __init__(self, message: str, job_id: str) -> None:
        super().__init__(message)
        vars(self).update(job_id=job_id)
