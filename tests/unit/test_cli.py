"""A script's command line and the configuration cannot disagree."""

import subprocess
import sys
from pathlib import Path

import pytest

from retrace.cli import arguments_of, command, section_from
from retrace.decoding.options import Guided
from retrace.errors import UserError
from retrace.systems.grace.options import Sampling
from retrace.workflow.declared import section_classes

SCRIPTS = sorted((Path(__file__).parents[2] / "scripts").glob("*.py"))


# No script takes these as options.
@pytest.mark.parametrize("name", sorted(section_classes().keys() - {"launch", "slurm", "seeds"}))
def test_arguments_give_the_section_back(name: str) -> None:
    section = section_classes()[name]
    options = section()
    parser = command("", section)
    assert section_from(parser.parse_args(arguments_of(options)), section) == options


def test_values_are_read_with_their_types() -> None:
    given = command("", Guided).parse_args(["--beta", "0.25", "--official", "true", "--candidates", "7"])
    options = section_from(given, Guided)
    assert (options.beta, options.official, options.candidates) == (0.25, True, 7)
    assert section_from(command("", Guided).parse_args(["--beta", "choose"]), Guided).beta == "choose"


def test_a_bad_value_names_the_option() -> None:
    with pytest.raises(UserError, match="--temperature '-1'"):
        section_from(command("", Sampling).parse_args(["--temperature", "-1"]), Sampling)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help_names_a_runnable_command_without_heavy_imports(script: Path) -> None:
    """Torch and transformers take seconds to import: asking for help must not."""
    code = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(script)], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(script.parent), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"python scripts/{script.name}" in done.stdout


def test_a_user_error_is_one_line_and_exit_status_2(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text(
        "from retrace import cli\nfrom retrace.errors import UserError\n"
        "def main(arguments=None): raise UserError('data.jsonl:3: question: empty')\ncli.run(main)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(SCRIPTS[0].parent), "PATH": ""},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "error: data.jsonl:3: question: empty\n")
