"""`generate_training_data.py`: build a dataset, or check one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from training_data.building import Built, Sources, build
from training_data.dataset import DEFAULT_SEED, write_rows
from training_data.dataset_figures import Figures, figures, token_counter
from training_data.errors import DatasetError
from training_data.fact_split import split_by_fact
from training_data.facts import OUTSIDE, TOPICS
from training_data.reader import read_records
from training_data.records import Record


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("continuity_dataset.json"),
    help="Dataset to write: a JSON list, or JSONL when the name ends in .jsonl.",
)
@click.option("--format", "form", type=click.Choice(["json", "jsonl"]), help="Overrides the name's ending.")
@click.option("--messages", is_flag=True, help="Write every example as chat messages.")
@click.option("--seed", type=int, default=DEFAULT_SEED, help="Same seed, same files.")
@click.option(
    "--val-split",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    help="Also write NAME.train and NAME.val, the latter with this share of facts that the former never tells.",
)
@click.option("--topic", "topics", multiple=True, type=click.Choice([*TOPICS, OUTSIDE]), help="Only these.")
@click.option("--curated/--no-curated", default=True, help="This project's own facts.")
@click.option(
    "--documents",
    type=click.Path(path_type=Path),
    help="Also learn from the handoff documents in this context folder. Nothing of yours is read unless named.",
)
@click.option(
    "--conversations",
    type=click.Path(path_type=Path),
    help="Also learn from the conversations in this data folder.",
)
@click.option("--conversation", "chosen", multiple=True, help="Of these only this one, by id.")
@click.option("--check", type=click.Path(path_type=Path), help="Write nothing: check this dataset file.")
@click.option("--stats", is_flag=True, help="Also print counts, lengths, topics and repetitions.")
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), help="Whose tokens: a GGUF file or a model's folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(
    output: Path,
    form: str | None,
    messages: bool,
    seed: int,
    val_split: float,
    topics: tuple[str, ...],
    curated: bool,
    documents: Path | None,
    conversations: Path | None,
    chosen: tuple[str, ...],
    check: Path | None,
    stats: bool,
    tokenizer: Path | None,
    as_json: bool,
) -> None:
    """Write the dataset of this project's facts, and of your own documents and conversations where you name
    them: instruction, input, output, topic, fact, source, licence.

    Secrets, e-mail addresses, telephone and account numbers are left out and counted; names are not found.
    """
    if form is not None:
        output = output.with_suffix(f".{form}")
    try:
        if check is None:
            built = build(Sources(curated, documents, conversations, chosen), seed, topics)
            _write(built.records, output, val_split, seed, messages, quiet=as_json)
            _tell_removed(built)
            records: Sequence[Record] = built.records
        else:
            records = read_records(check)
            click.echo(f"{check}: {len(records)} examples, no fault", err=as_json)
        if stats or as_json:
            described = figures(records, token_counter(tokenizer) if tokenizer else None)
            click.echo(json.dumps(asdict(described), indent=1) if as_json else _table(described))
    except DatasetError as error:
        raise click.ClickException("\n".join(filter(None, (error.message, error.hint)))) from error


def _write(
    records: Sequence[Record], output: Path, val_split: float, seed: int, messages: bool, *, quiet: bool
) -> None:
    if not records:
        raise click.ClickException("Nothing is left to write: name another source or topic.")
    files = {output: records}
    if val_split:
        train, val = split_by_fact(records, val_split, seed)
        files[output.with_suffix(f".train{output.suffix}")] = train
        files[output.with_suffix(f".val{output.suffix}")] = val
    for path, some in files.items():
        try:
            write_rows([record.as_messages() if messages else record.as_dict() for record in some], path)
        except OSError as error:
            raise click.ClickException(f"Cannot write {str(path)!r}: {error}") from error
        facts = len({record.fact for record in some})
        click.echo(f"{path}: {len(some)} examples of {facts} facts", err=quiet)
    for topic, count in Counter(record.topic for record in records).items():
        click.echo(f"  {topic:<13}{count:>6}", err=quiet)


def _tell_removed(built: Built) -> None:
    reasons = Counter((each.source.partition(" ")[0], each.reason) for each in built.removed)
    for (source, reason), count in reasons.items():
        click.echo(f"left out of {source}: {count} ({reason})", err=True)


def _table(told: Figures) -> str:
    lines = [f"examples {told.examples}, facts {told.facts}, repeated {told.repeated}"]
    for name, lengths in (("examples", told.lengths), ("answers", told.answers)):
        lines.append(
            f"{told.unit} of {name}: {lengths.least} to {lengths.most}, median {lengths.median}, "
            f"95 % up to {lengths.p95}, {lengths.total} in all"
        )
    for name, counts in (("topic", told.topics), ("source", told.sources), ("licence", told.licences)):
        lines += [f"{name:<8} {key:<34} {count:>6}" for key, count in counts.items()]
    return "\n".join(lines)
