"""`orchestrator models`: what can answer, and the registry."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.lazy import LazyGroup
from ai_orchestrator.cli.options import make_settings, model_options

if TYPE_CHECKING:
    from orchestrator_core.models.registry import Registry
    from orchestrator_core.settings import Settings

COMMANDS = {
    "list": ("ai_orchestrator.cli.models:list_models", "What can answer; * is what does."),
    "add": ("ai_orchestrator.cli.models:add", "Take a file or folder into the registry."),
    "pull": ("ai_orchestrator.cli.model_hub:pull", "Download a model, and answer with it."),
    "search": ("ai_orchestrator.cli.model_hub:search", "Find GGUF models on the hub."),
    "verify": ("ai_orchestrator.cli.models:verify", "Compare files with their hashes."),
    "activate": (
        "ai_orchestrator.cli.model_activation:activate",
        "Answer with another model, without a restart.",
    ),
    "rollback": ("ai_orchestrator.cli.model_activation:rollback", "Go back to the model before."),
    "push": (
        "ai_orchestrator.cli.model_activation:push",
        "Send a model to the VPS, and have it answer with it.",
    ),
    "remove": ("ai_orchestrator.cli.models:remove", "Delete a version."),
}


@click.group(
    cls=LazyGroup,
    commands_at=COMMANDS,
    invoke_without_command=True,
    short_help="Models: list, pull, activate, go back.",
)
@model_options
@json_option
@settings_options
@click.pass_context
def models(
    context: click.Context, model: str | None, as_json: bool, config: str | None, data: str | None
) -> None:
    """Models: list, pull, activate, go back.

    \b
    orchestrator models                         what can answer; * is what does
    orchestrator models pull                    a good one that fits this machine
    orchestrator models activate mine:2         answer with it, without a restart
    orchestrator models rollback                go back
    """
    if context.invoked_subcommand is None:
        _show(config, data, model, as_json)


@click.command(short_help="What can answer; * is what does.")
@click.option("--vps", is_flag=True, help="The VPS's registry.")
@model_options
@json_option
@settings_options
def list_models(vps: bool, model: str | None, as_json: bool, config: str | None, data: str | None) -> None:
    """What can answer; * is what does: the configured model, the built-in one, the registry, the models folder."""
    if not vps:
        _show(config, data, model, as_json)
        return
    from ai_orchestrator.vps_link.pushing import open_vps

    with open_vps(make_settings(config, data)) as server:
        known = server.call("GET", "/models")
    if as_json:
        terminal.write_json(known)
        return
    rows = [
        (f"{'*' if each['active'] else ' '} {each['reference']}", _size(each["size"]), each["base"] or "-")
        for each in known["models"]
    ]
    terminal.write_table(("model", "size", "adapter of"), rows)
    if known["active"] is None:
        terminal.note("The VPS answers with the model that its settings name.")


def _show(config: str | None, data: str | None, model: str | None, as_json: bool) -> None:
    from ai_orchestrator.known_models import known_models

    models = known_models(make_settings(config, data, model__path=model))
    if as_json:
        terminal.write_json([asdict(model) for model in models])
        return
    rows = [
        (
            f"{'*' if model.active else ' '} {model.name}",
            model.backend or "-",
            _size(model.size_bytes),
            model.problem or model.path or model.source,
        )
        for model in models
    ]
    terminal.write_table(("model", "backend", "size", "where"), rows)


@click.command(short_help="Take a file or folder into the registry.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="What it shall be called. [default: the file's or folder's name]")
@click.option("--version", help="[default: the next number]")
@click.option(
    "--base", metavar="NAME:VERSION", help="For a LoRA adapter: the model it was trained on, or `builtin`."
)
@click.option("--licence", default="", help="Of the model, for those who get it.")
@click.option(
    "--dataset", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="It was trained on."
)
@click.option(
    "--run",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the training it came from.",
)
@json_option
@settings_options
def add(
    path: Path,
    name: str | None,
    version: str | None,
    base: str | None,
    licence: str,
    dataset: Path | None,
    run: Path | None,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """Take a file or folder into the registry, as a new version. Nothing answers with it before `activate`.

    A GGUF file (with its other parts), a folder with one, or a Hugging Face folder. `metrics.json`, `parity.json`
    and `training_metadata.yaml` beside it, or in --run, are kept in the manifest.
    """
    from ai_orchestrator.model_adding import add_model

    settings = make_settings(config, data)
    with terminal.patience("Copying"):
        added = add_model(
            settings, path, name=name, version=version, base=base, licence=licence, dataset=dataset, run=run
        )
    if as_json:
        terminal.write_json(added.manifest.model_dump(mode="json"))
    else:
        click.echo(f"Added {added.reference} ({_size(added.manifest.size)}).")
        terminal.note(f"To answer with it: `orchestrator models activate {added.reference}`")


@click.command(short_help="Compare files with their hashes.")
@click.argument("reference", required=False)
@settings_options
def verify(reference: str | None, config: str | None, data: str | None) -> int:
    """Compare the files of REFERENCE, or of all models, with their hashes."""
    from orchestrator_core.errors import ModelUnusable

    registry = _registry(make_settings(config, data))
    damaged = 0
    for version in registry.versions() if reference is None else [registry.find(reference)]:
        try:
            with terminal.patience(f"Reading {version.reference}"):
                version.verify()
        except ModelUnusable as error:
            damaged += 1
            click.echo(f"{version.reference}\tdamaged: {error.message}")
        else:
            click.echo(f"{version.reference}\tfine")
    return 1 if damaged else 0


@click.command(short_help="Delete a version.")
@click.argument("reference")
@click.option("--vps", is_flag=True, help="On the VPS.")
@settings_options
def remove(reference: str, vps: bool, config: str | None, data: str | None) -> None:
    """Delete a version. One that is active, or the base of another, stays."""
    settings = make_settings(config, data)
    if vps:
        from orchestrator_core.models.manifest import split_reference

        from ai_orchestrator.vps_link.pushing import open_vps

        name, version = split_reference(reference)
        if version is None:
            raise click.UsageError("Name the version, too: NAME:VERSION.")
        with open_vps(settings) as server:
            server.call("DELETE", f"/models/{name}/{version}")
    else:
        _registry(settings).remove(reference)
    click.echo(f"Removed {reference}.")


def _registry(settings: Settings) -> Registry:
    from orchestrator_core.models.registry import Registry

    return Registry(settings.models_folder)


def _size(size: Any) -> str:
    return "-" if size is None else f"{size / 1e6:,.1f} MB"
