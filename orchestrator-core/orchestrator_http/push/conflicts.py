"""News of conflicts, from the documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from orchestrator_core.news import MAX_IDS, News
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import document_path, project_of


def watch_conflicts(context: ContextFolder, tell: Callable[[News], object]) -> Callable[[], None]:
    """Tell of each document in which there are conflicts after a change. Returns what ends it."""
    return context.on_any_change(lambda paths: _tell_all(context, paths, tell))


def _tell_all(context: ContextFolder, paths: Iterable[str], tell: Callable[[News], object]) -> None:
    projects = {project_of(path) for path in paths}
    for project in projects & {None, *context.projects()}:
        ids: dict[str, list[str]] = defaultdict(list)
        for conflict in context.in_project(project).conflicts():
            path = document_path(conflict.name, project)
            ids[path].append(f"conflict:{conflict.conflict_id}")
        for path in ids.keys() & set(paths):
            tell(News(kind="conflict", ids=ids[path][:MAX_IDS], document=path))
