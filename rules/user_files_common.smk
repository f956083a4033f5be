"""Files of the user's as inputs: their contents count, not their dates. Defines no rules."""

from retrace.workflow import user_files


def noticing(param, files):
    """Params function: `param`, and the checksum of the user's files that `files` gives for the wildcards, if there are any."""

    def value(wildcards):
        found = files(wildcards)
        return f"{param(wildcards)} {user_files.digest_of(found)}" if found else param(wildcards)

    return value


def user_inputs(files, made):
    """Input function: the user's files that `files` gives. Their dates mean nothing; see `noticing`.

    A missing one is left to the job, which knows where it is named. Not so where the job's output exists: Snakemake would
    delete that before the job fails, and stops before if the file is an input.

    Args:
        files: Function from wildcards to paths.
        made: The job's output, with wildcards.
    """

    def inputs(wildcards):
        found = files(wildcards)
        for file in found:
            note_missing(file)
        kept = Path(made.format(**dict(wildcards.items()))).exists()
        return [ancient(str(file)) for file in found if kept or file.exists()]

    return inputs


@lru_cache(maxsize=None)
def note_missing(file):
    """Print a note, once, about a file of the user's that does not exist."""
    if workflow.is_main_process and not file.exists():
        print(f"note: {file}: no such file, and what is planned needs it", file=sys.stderr)


def files_of_split(wildcards):
    """The user's files that a split is made from. A node plans nothing, and need not see them."""
    return (
        []
        if workflow.remote_exec
        else user_files.of_split(settings.task(wildcards.task), settings.file_of_task(wildcards.task), wildcards.split)
    )


def files_of_examples(wildcards):
    """The user's file with worked examples for Learn-to-Reason's prompts."""
    return (
        []
        if workflow.remote_exec
        else user_files.of_examples(settings.task(wildcards.task), settings.file_of_task(wildcards.task))
    )


def files_of_model(wildcards):
    """The files of a model in a folder of the user's."""
    return [] if workflow.remote_exec else user_files.of_model(settings.model(wildcards.model))


def files_of_options(*names):
    """The user's files that options of the job's configuration name: a folder, a file, or a list of them."""

    def files(wildcards):
        values = [settings.option(values_of(wildcards), name) for name in names]
        words = [word for value in values for word in (value if isinstance(value, list) else [value])]
        return user_files.of_names(words, settings.models)

    return files
