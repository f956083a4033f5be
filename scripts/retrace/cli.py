"""Command lines made from the typed option sections, so that a script and the configuration cannot disagree."""

import argparse
import os
import sys
import types
import typing
from collections.abc import Callable, Collection, Sequence
from functools import cache

from pydantic import BaseModel, ValidationError

from retrace.errors import UserError
from retrace.machine.launch import join_launcher
from retrace.machine.storage import refusal

# What a training is told for the model card alone; it changes neither the weights nor the time that they take.
OF_THE_CARD = {
    "checkpoint": "the checkpoint's name",
    "system": "the system that it belongs to",
    "preset": "the preset that its options come from",
}

SectionType = typing.TypeVar("SectionType", bound=BaseModel)


def _plain(annotation: object) -> tuple[object, bool]:
    """The annotation without `| None`, and whether None was allowed."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        return (parts[0] if len(parts) == 1 else str), len(parts) < len(typing.get_args(annotation))
    return annotation, False


@cache
def flag_of(field: str) -> str:
    return "--" + field.replace("_", "-")


def command(doc: str | None, *sections: type[BaseModel]) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring, with one option for each field of each section.

    Values stay text here; `section_from` lets pydantic read them, so the limits are those of the configuration.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for section in sections:
        group = parser.add_argument_group(section.__name__, (section.__doc__ or "").strip().split("\n")[0])
        for name, field in section.model_fields.items():
            annotation, optional = _plain(field.annotation)
            choices = (
                [str(c) for c in typing.get_args(annotation)]
                if typing.get_origin(annotation) is typing.Literal
                else None
            )
            if choices and optional:
                choices.append("none")
            default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)}"
            about = f"{field.description or ''} ({default})".strip().replace("%", "%%")
            many = typing.get_origin(annotation) in (list, tuple)
            group.add_argument(
                flag_of(name),
                dest=f"{section.__name__}.{name}",
                help=about,
                choices=choices,
                nargs="*" if many else None,
                required=field.is_required(),
                default=argparse.SUPPRESS,
            )
    return parser


def add_form(parser: argparse.ArgumentParser) -> None:
    """The option that says how a checkpoint writes its solutions (`Task.in_form`)."""
    parser.add_argument(
        "--form",
        default="steps",
        help="text form that the checkpoint was trained in: steps, or a system's own, NAME or, with the worked examples in "
        "FILE, NAME:FILE (dpo_st, learn_to_reason:FILE; default steps)",
    )


def add_card(parser: argparse.ArgumentParser) -> None:
    """The options of a training that its checkpoint's model card alone tells."""
    group = parser.add_argument_group("model card", "what README.md of the output folder says of it")
    for name, about in OF_THE_CARD.items():
        group.add_argument(f"--{name}", help=about)


def section_from(arguments: argparse.Namespace, section: type[SectionType]) -> SectionType:
    """The section's values from the command line, with defaults. Raises UserError for an invalid value."""
    prefix = section.__name__ + "."
    given = {key[len(prefix) :]: value for key, value in vars(arguments).items() if key.startswith(prefix)}
    given = {key: (None if value == "none" else value) for key, value in given.items()}
    try:
        return section.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        name = flag_of(str(fault["loc"][0])) if fault["loc"] else section.__name__
        raise UserError(f"{name} {fault.get('input')!r}: {fault['msg']}") from None


def arguments_of(section: BaseModel, only: Collection[str] | None = None) -> list[str]:
    """Command-line arguments for all fields of this section, or only the named ones."""
    argv: list[str] = []
    for name, value in section.model_dump(include=None if only is None else set(only)).items():
        argv.append(flag_of(name))
        if isinstance(value, list | tuple):
            argv += [str(item) for item in value]
        else:
            argv.append("none" if value is None else str(value).lower() if isinstance(value, bool) else str(value))
    return argv


def leave_processes() -> None:
    """Leave the process group of a multi-process training; otherwise does nothing.

    A thread of the group that drops its last tensor while the interpreter is ending would abort the process.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def run(main: Callable[[Sequence[str] | None], None]) -> None:
    """Run a script's main: a UserError becomes one line on standard error and exit status 2.

    Failures of the machine (a full disk, missing permissions) are reported the same way; any other error is a bug and
    keeps its traceback.
    """
    if "SLURM_JOB_ID" not in os.environ:
        # Flush a job's progress to its log line by line.
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    join_launcher()
    try:
        main(None)
        leave_processes()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if not (fault := refusal(error)):
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{fault}", file=sys.stderr)
        sys.exit(2)
