"""Templates that the rules are written with."""

import pytest

from retrace.workflow.commands import benchmarks, logs, on_devices, printed, program, run, training


def test_paths_of_a_run() -> None:
    assert run("sft/model") == "results/{task}/{model}/seed{seed}/sft/model"
    assert logs("sft.log") == "logs/{task}/{model}/seed{seed}/sft.log"
    assert benchmarks("{checkpoint}/x.tsv") == "benchmarks/{task}/{model}/seed{seed}/{checkpoint}/x.tsv"


def test_a_program_writes_what_it_prints_to_the_log() -> None:
    command = program("gather_rows {input} --output {output}")
    assert command == "python $RETRACE_SCRIPTS/gather_rows.py {input} --output {output} > {log} 2>&1"


def test_names_in_capitals_stand_for_arguments() -> None:
    command = program("plot {TASK} {PAPERS}", "{SEEDS}")
    assert "--task-file {params.task_file} --papers $RETRACE_CONFIG/papers" in command
    assert "--seeds {params.seeds} --preset {params.preset} >" in command


def test_a_name_that_stands_for_nothing_is_refused() -> None:
    with pytest.raises(KeyError, match="TASKS"):
        program("plot {TASKS}")


def test_devices_are_asked_for_by_the_launcher() -> None:
    start = "python $RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} $RETRACE_SCRIPTS/decode.py guided --model x >"
    assert on_devices("decode guided", "--model x").startswith(start)


def test_a_training_takes_what_all_take_before_its_own_arguments() -> None:
    words = training("train_sft {MODEL}", "--ratio 0").split()
    assert words[2:6] == ["--gpus", "{resources.gpus}", "{resources.launch}", "$RETRACE_SCRIPTS/train_sft.py"]
    assert words.index("{params.options}") < words.index("--ratio")
    for word in ("--task-file", "--model-file", "--seed", "--state", "{params.speed}"):
        assert words.count(word) == 1


def test_what_is_printed_is_shown_and_logged() -> None:
    assert printed("ask_teacher --dry-run").endswith("ask_teacher.py --dry-run 2> {log} | tee -a {log}")
