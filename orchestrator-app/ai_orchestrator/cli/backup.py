"""`orchestrator backup` and `orchestrator restore`: all that cannot be had again, in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal

if TYPE_CHECKING:
    from orchestrator_core.backup.archive import BackupManifest
    from orchestrator_core.backup.snapshot import DataPlace


@click.command(short_help="Write a backup, also while the server runs.")
@click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Where archives are kept. [default: <data>-backups, beside the data folder]",
)  # fmt: skip
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Delete all but the N newest archives.")
@json_option
@settings_options
def backup(to: Path | None, keep: int | None, as_json: bool, config: str | None, data: str | None) -> None:
    """Write conversations, running answers, documents with their history, credentials and settings to
    one verified archive. Models, saved prompts and the search index are left out.
    """
    from orchestrator_core.backup.making import back_up, default_target

    place = _place(config, data, must_exist=True)
    made = back_up(place, (to or default_target(place.data)).expanduser().absolute(), keep=keep)
    if as_json:
        about: dict[str, Any] = {"archive": made.path, "notes": made.notes, "removed": made.removed}
        terminal.write_json({**about, **_about(made.manifest)})
        return
    click.echo(made.path)
    terminal.note(_summary(made.manifest))
    for line in made.notes:
        terminal.note(line)
    for path in made.removed:
        terminal.note(f"Removed {path.name}.")
    terminal.note(
        "It holds everything that was said, and credentials if there are any; only you can read it."
        " Keep a copy on another disk, as carefully as a password."
    )


@click.command(short_help="Put a backup back.")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Only verify the archive.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--discard-replaced", is_flag=True, help="Delete the data that is replaced, once that is done.")
@json_option
@settings_options
def restore(
    archive: Path,
    check: bool,
    yes: bool,
    discard_replaced: bool,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """Make the data folder what it was when ARCHIVE was written.

    The server must be stopped. The present data is kept beside the data folder as
    <data>.before-restore-<time>, and models stay. Other tiers bring back what is newer.
    """
    from orchestrator_core.backup.archive import check_archive

    place = _place(config, data, must_exist=False)
    if check:
        manifest = check_archive(archive)
        if as_json:
            terminal.write_json(_about(manifest))
        else:
            click.echo(f"{archive.name} is intact: {_summary(manifest)}")
        return
    if not yes:
        if not terminal.interactive():
            raise click.UsageError("Nobody can be asked here: give --yes to replace the data.")
        click.confirm(f"Replace the data in {str(place.data)!r} by {archive.name}?", abort=True)

    from orchestrator_core.backup.restoring import restore as put_back

    done = put_back(archive.absolute(), place, discard=discard_replaced)
    if as_json:
        where = {"data": place.data, "replaced": done.replaced, "settings": done.settings}
        terminal.write_json({**where, "documents": done.documents, **_about(done.manifest)})
        return
    click.echo(f"Restored {place.data}: {_summary(done.manifest)}")
    if done.replaced is not None:
        terminal.note(f"The former data is in {done.replaced}; delete it when you no longer want it.")
    for path in done.documents:
        terminal.note(f"A former document is now {path}.")
    if done.settings is not None:
        terminal.note(f"The backup's settings are in {done.settings}.")


def _place(config: str | None, data: str | None, *, must_exist: bool) -> DataPlace:
    from orchestrator_core.backup.snapshot import DataPlace
    from orchestrator_core.settings import default_config_file

    from ai_orchestrator.cli.options import make_settings

    settings = make_settings(config, data)
    named = config or os.environ.get("ORCHESTRATOR_CONFIG")
    file = Path(named).expanduser().absolute() if named else default_config_file()
    kept = file if file.is_file() or not must_exist else None
    return DataPlace(settings.data.absolute(), settings.context_folder.absolute(), kept)


def _about(manifest: BackupManifest) -> dict[str, Any]:
    return {
        "created_at": manifest.created_at,
        "program": manifest.program,
        "replica": manifest.replica,
        "files": len(manifest.files),
        "bytes": manifest.size,
    }


def _summary(manifest: BackupManifest) -> str:
    return (
        f"{len(manifest.files)} files, {manifest.size:,} bytes, as of {manifest.created_at}"
        f" (version {manifest.program})."
    )
