"""`mistral_api_finetune.py` and `mistral_api_inference.py`: the way through Mistral's service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import yaml
from training_data.errors import DatasetError
from training_data.reader import read_records
from training_data.records import Record

from fine_tuning.errors import CloudError, LearningError, NotFinished
from fine_tuning.evaluation.compare_models import asked, prompt_options, show, side_by_side
from fine_tuning.evaluation.evaluate import run
from fine_tuning.mistral_cloud.jobs import NOT_DOWNLOADABLE, CloudAnswerer, CloudJob, MistralCloud, Patience

DEFAULT_MODEL = "open-mistral-7b"
_SETTINGS = {"show_default": True, "help_option_names": ["-h", "--help"]}
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(context_settings=_SETTINGS)
@click.option("--train_file", "--train-file", type=_FILE, help="Dataset to learn from, JSON or JSONL.")
@click.option("--val_file", "--val-file", type=_FILE, help="Held-out examples.")
@click.option("--model", default=DEFAULT_MODEL, help="The service's name of the base model.")
@click.option("--training_steps", "--training-steps", type=click.IntRange(1), default=100)
@click.option("--learning_rate", "--learning-rate", type=click.FloatRange(0, min_open=True), default=1e-4)
@click.option("--suffix", help="Part of the tuned model's name.")
@click.option(
    "--upload_personal", "--upload-personal", is_flag=True, help="Also send what is from your own texts."
)
@click.option("--job_id", "--job-id", help="Start nothing: watch this job.")
@click.option("--wait_hours", "--wait-hours", type=click.FloatRange(0), default=24.0)
@click.option("--output_dir", "--output-dir", type=click.Path(path_type=Path), default=Path("outputs"))
@click.option("--server_url", "--server-url", help="Another server than Mistral's.")
def finetune(
    train_file: Path | None,
    val_file: Path | None,
    model: str,
    training_steps: int,
    learning_rate: float,
    suffix: str | None,
    upload_personal: bool,
    job_id: str | None,
    wait_hours: float,
    output_dir: Path,
    server_url: str | None,
) -> None:
    """Fine-tune in Mistral's cloud: upload, job, monitoring, result. The key is taken from MISTRAL_API_KEY.

    Your examples leave this machine, and the tuned model cannot be downloaded: it never runs on your machines.
    """
    try:
        if not job_id and train_file is None:
            raise click.UsageError("Give --train_file, or --job_id to watch a job.")
        files = {
            path: _allowed(path, upload_personal) for path in (train_file, val_file) if path and not job_id
        }
        cloud = MistralCloud(server_url, Patience(longest_s=wait_hours * 3600))
        if not job_id:
            ids = {path: cloud.upload(records, f"{path.stem}.jsonl") for path, records in files.items()}
            click.echo("uploaded: " + ", ".join(path.name for path in ids))
            started = cloud.create(
                model,
                ids[train_file],  # type: ignore[index]
                ids.get(val_file) if val_file else None,
                steps=training_steps,
                learning_rate=learning_rate,
                suffix=suffix,
            )
            job_id = started.job_id
            click.echo(f"job {job_id} started; watch it again with --job_id {job_id}")
        job = cloud.watch(job_id, lambda state: click.echo(f"job {state.job_id}: {state.status}"))
        click.echo(f"tuned model: {job.model}\n{NOT_DOWNLOADABLE}")
        click.echo(f"written: {_keep(job, model, output_dir)}")
    except NotFinished as error:
        raise click.ClickException(f"{error} Watch it again with --job_id {error.job_id}") from error
    except CloudError as error:
        raise click.ClickException(str(error)) from error
    except DatasetError as error:
        raise click.ClickException("\n".join(filter(None, (error.message, error.hint)))) from error
    except KeyboardInterrupt:
        if job_id:
            click.echo(f"The job goes on there. Watch it again with --job_id {job_id}", err=True)
        raise


def _allowed(path: Path, upload_personal: bool) -> Sequence[Record]:
    records = read_records(path)
    own = [record for record in records if record.source.startswith(("conversation:", "document:"))]
    if own and not upload_personal:
        raise CloudError(
            f"{len(own)} of {len(records)} examples in {path.name!r} are from your own documents and "
            "conversations. --upload_personal sends them to Mistral; without it nothing was sent."
        )
    return records


def _keep(job: CloudJob, base: str, folder: Path) -> Path:
    path = folder / job.job_id / "training_metadata.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            yaml.safe_dump({"base_model": base, **asdict(job), "note": NOT_DOWNLOADABLE}), "utf-8"
        )
    except OSError as error:
        raise CloudError(
            f"The model is {job.model!r}, but {str(path)!r} cannot be written: {error}"
        ) from error
    return path


@click.command(context_settings=_SETTINGS)
@click.option("--base_model", "--base-model", default=DEFAULT_MODEL)
@click.option(
    "--fine_tuned_model", "--fine-tuned-model", required=True, help="As mistral_api_finetune.py told it."
)
@click.option("--max_tokens", "--max-tokens", type=click.IntRange(1), default=256)
@click.option("--server_url", "--server-url", help="Another server than Mistral's.")
@prompt_options
def inference(
    base_model: str,
    fine_tuned_model: str,
    max_tokens: int,
    server_url: str | None,
    prompts: tuple[str, ...],
    more_prompts: tuple[str, ...],
    eval_file: Path | None,
    limit: int | None,
    form: str,
    output: Path | None,
) -> None:
    """Ask a model tuned in Mistral's cloud and its base the same, and show the answers side by side."""
    names = base_model, fine_tuned_model
    try:
        items = asked((*prompts, *more_prompts), eval_file, limit)
        cloud = MistralCloud(server_url)
        answers = [run(CloudAnswerer(cloud, name), items, max_tokens=max_tokens) for name in names]
    except LearningError as error:
        raise click.ClickException(str(error)) from error
    show(side_by_side(names, *answers), form, output)
