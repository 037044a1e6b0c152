"""`orchestrator models pull` and `search`."""

from __future__ import annotations

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.advice import complete
from ai_orchestrator.cli.options import make_settings


@click.command(short_help="Download a model, and answer with it.")
@click.argument("what", required=False)
@click.option("--name", help="What it shall be called. [default: the file's name]")
@click.option("--no-activate", is_flag=True, help="Only download it.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask; without WHAT, the best that fits this machine.")
@click.option("--list", "only_list", is_flag=True, help="Only list what is recommended for this machine.")
@settings_options
def pull(
    what: str | None,
    name: str | None,
    no_activate: bool,
    yes: bool,
    only_list: bool,
    config: str | None,
    data: str | None,
) -> int:
    """Download a model from the Hugging Face hub, compare its hash, and answer with it, without a restart.

    WHAT is a recommended name, owner/name, or owner/name:file.gguf; without it, choose among those that fit this
    machine's memory. A download that was broken off goes on where it stood.
    """
    from orchestrator_core.models.memory import check_fits

    from ai_orchestrator import model_hub

    settings = make_settings(config, data)
    if what is None or only_list:
        what = _choose(yes, only_list)
        if what is None:
            return 0 if only_list else 2
    model = model_hub.look_up(what)
    files = ", ".join(sorted(model.files))
    click.echo(f"{model.repo}: {files}, {model.size / 1e9:.2f} GB, licence {model.licence}")
    if not no_activate:
        check_fits(model.repo, model.size, gpu_layers=settings.engine.n_gpu_layers)
    if not yes and terminal.interactive() and not click.confirm("Download it?", default=True):
        return 1
    if not terminal.interactive():
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    version = model_hub.download(settings, model, name=name)
    click.echo(f"Downloaded {version.reference}; its SHA-256 is the hub's.")
    if no_activate:
        terminal.note(complete(f"To answer with it: `orchestrator models activate {version.reference}`"))
        return 0
    from ai_orchestrator.cli.model_activation import perform

    perform(settings, version.reference)
    return 0


def _choose(yes: bool, only_list: bool) -> str | None:
    """A recommended model that fits; None: nobody chose."""
    from orchestrator_core.models.memory import main_memory

    from ai_orchestrator.model_hub import recommended_for

    memory = main_memory().total
    fitting = recommended_for(memory)
    if not fitting:
        click.echo(f"No recommended model fits the {memory / 1e9:.1f} GB of this machine.", err=True)
        return None
    if yes and not only_list:
        return fitting[0].name
    rows = [
        (str(number), model.name, f"{model.size / 1e9:.1f} GB", model.licence, model.why)
        for number, model in enumerate(fitting, 1)
    ]
    terminal.write_table(("", "model", "size", "licence", ""), rows)
    if only_list:
        return None
    if not terminal.interactive():
        terminal.note(complete(f"Name one: `orchestrator models pull {fitting[0].name}`, or add --yes."))
        return None
    number: int = click.prompt("Which one?", type=click.IntRange(1, len(fitting)), default=1)
    return fitting[number - 1].name


@click.command(short_help="Find GGUF models on the hub.")
@click.argument("words", nargs=-1, required=True)
@json_option
@settings_options
def search(words: tuple[str, ...], as_json: bool, config: str | None, data: str | None) -> None:
    """Find GGUF models on the hub, those most downloaded first."""
    from ai_orchestrator import model_hub

    models = model_hub.search(" ".join(words))
    if as_json:
        terminal.write_json(models)
        return
    rows = [(each["repo"], f"{each['downloads'] or 0:,}", each["licence"]) for each in models]
    terminal.write_table(("repository", "downloads", "licence"), rows)
