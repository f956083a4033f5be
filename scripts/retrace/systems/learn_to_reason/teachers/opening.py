"""The teacher that the options name, opened for a program."""

from collections.abc import Sequence
from contextlib import ExitStack

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.systems.learn_to_reason.teachers.base import Teacher
from retrace.tasks.base import Task


def open_teacher(
    stack: ExitStack,
    options: TeacherOptions,
    task: Task,
    examples: Sequence[Example],
    local_folder: str | None,
    local_file: str | None,
    dry: bool = False,
) -> Teacher:
    """The teacher that the options name. Its recording is closed with `stack`.

    local_folder, local_file: folder and YAML of the model, where it is a local one. dry: nothing will be sent. Raises
    UserError for a teacher that lacks what it needs.
    """
    from retrace.systems.learn_to_reason.teachers.oracle import Oracle
    from retrace.systems.learn_to_reason.teachers.recording import open_recording
    from retrace.systems.learn_to_reason.teachers.replay import Replay
    from retrace.systems.learn_to_reason.teachers.served import Served

    if options.kind == "oracle":
        return Oracle(task, examples, options.solutions)
    if options.kind == "replay":
        return Replay(options, stack.enter_context(open_recording(options.recording, writable=False)))
    recording = stack.enter_context(open_recording(options.recording))
    if options.kind == "openai":
        return Served(options, recording, dry=dry)
    from retrace.models.options import load_model_config
    from retrace.systems.learn_to_reason.teachers.local import Local

    if not (local_folder and local_file):
        raise UserError("--kind local: needs --local-folder and --local-file, the model's folder and YAML")
    return Local(options, recording, local_folder, load_model_config(local_file).family)
