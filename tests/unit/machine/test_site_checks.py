"""What a site's SLURM is told, what it has, and what does not fit it."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.machine.cluster import grown, sbatch_options, slurm_resources
from retrace.machine.site_checks import (
    Job,
    add_limits,
    amount_of,
    ask_sinfo,
    file_system_of,
    folder_fault,
    gpus_of,
    impossible_jobs,
    minutes_of,
    read_partitions,
)
from retrace.machine.slurm_options import Slurm

SINFO = """\
cpu|10|64|257000|(null)|1-00:00:00|up
cpu|2|128|1030000|(null)|1-00:00:00|up
gpu|4|32|515000|gpu:a100:4(S:0-1)|2-00:00:00|up
gpu|1|32|257000|gpu:v100:8(S:0-1),shard:v100:32|2-00:00:00|up
old|1|8|16000|gpu:2|infinite|down
"""
PARTITIONS = read_partitions(SINFO)


def site(**changes) -> Slurm:
    values = {"cpu": {"partition": "cpu"}, "gpu": {"partition": "gpu"}}
    return Slurm.model_validate(values | changes)


def job(
    of: Slurm, gpus: int = 0, nodes: int = 1, threads: int = 8, memory: int = 30000, minutes: int = 60, weights=0
) -> Job:
    told = slurm_resources(of, gpus, nodes)
    return Job("train_sft", "gsm8k, flan_t5_large, 0", told, gpus, threads, memory, minutes, weights)


# ---------------------------------------------------------------- what SLURM is told


def test_gpus_by_gres_count_a_node_and_by_gpus_the_job() -> None:
    a100 = {"partition": "gpu", "gpu_type": "a100"}
    for ask_by, expected in (("gres", ("gpu:a100:4", None, None)), ("gpus", (None, 8, "a100"))):
        told = slurm_resources(site(gpu=a100 | {"ask_by": ask_by}), gpus=4, nodes=2)
        assert (told["gres"], told["gpu"], told["gpu_model"]) == expected
        assert (told["slurm_partition"], told["nodes"]) == ("gpu", 2)
    assert slurm_resources(site(), 2)["gres"] == "gpu:2"


def test_a_job_without_a_gpu_goes_to_the_cpu_partition_and_names_no_gpu() -> None:
    told = slurm_resources(site(account="lab", cpu={"partition": "cpu", "qos": "normal"}, extra="--exclude=node7"), 0)
    assert {name: value for name, value in told.items() if value is not None} == {
        "slurm_partition": "cpu",
        "slurm_account": "lab",
        "qos": "normal",
        "slurm_extra": "--exclude=node7",
        "nodes": 1,
    }


def test_words_of_a_command_of_our_own() -> None:
    of = site(account="lab", extra="--exclude=node7 --nice", gpu={"partition": "gpu", "constraint": "nvlink"})
    words = ["--account=lab", "--constraint=nvlink", "--gres=gpu:2", "--exclude=node7", "--nice"]
    assert sbatch_options(slurm_resources(of, 2)) == ["--partition=gpu", "--nodes=1", *words]
    of = site(gpu={"partition": "gpu", "gpu_type": "h100", "ask_by": "gpus"})
    assert sbatch_options(slurm_resources(of, 1))[2:] == ["--gpus=h100:1"]
    assert sbatch_options(slurm_resources(site(gpu={"partition": "gpu", "ask_by": "gpus"}), 1))[2:] == ["--gpus=1"]


def test_memory_grows_up_to_a_node_and_never_below_the_need() -> None:
    assert [grown(40000, attempt, None) for attempt in (1, 2, 3)] == [40000, 80000, 120000]
    assert [grown(40000, attempt, 64000) for attempt in (1, 2, 3)] == [40000, 64000, 64000]
    assert grown(80000, 1, 64000) == 80000  # and so the checks see that it does not fit


# ---------------------------------------------------------------- what the site has


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("infinite", None),
        ("30:00", 30),
        ("2:00:00", 120),
        ("1-00:00:00", 1440),
        ("7-12:30:00", 10830),
        ("90", 90),
        ("UNLIMITED", None),
        ("unlimited", None),
        ("n/a", None),
        ("NOT_SET", None),
        ("", None),
        ("2-00:00:00", 2880),
        ("1-12", 2160),
        ("1-12:30", 2190),
        ("0-00:30:00", 30),
        ("00:30", 0),
    ],
)
def test_time_limits(text: str, minutes: int | None) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("(null)", {}),
        ("gpu:2", {"gpu": 2}),
        ("gpu:a100:4(S:0-1),shard:8", {"a100": 4}),
        ("gpu:a100:2,gpu:v100:1", {"a100": 2, "v100": 1}),
        ("gpu:a100_1g.5gb:7(S:0)", {"a100_1g.5gb": 7}),
        ("fpga:1,gpu:1(IDX:0)", {"gpu": 1}),
        ("gpu:a100:no_consume:4", {"a100": 4}),
        ("gpu:no_consume:4", {"gpu": 4}),
        ("gpu:a100:2K", {"a100": 2048}),
        ("gpu:4(S:0-1)", {"gpu": 4}),
        ("gpu:a100:4(IDX:0-3)", {"a100": 4}),
        ("gpu:a100:4(S:0,2),gpu:a100:4(S:1,3)", {"a100": 8}),
        ("gpu:a100:2(IDX:0,3),gpu:v100:1(IDX:N/A)", {"a100": 2, "v100": 1}),
        ("gpu:tesla_v100-sxm2-32gb:4(S:0-1),mps:400", {"tesla_v100-sxm2-32gb": 4}),
        ("gpu:4090:2", {"4090": 2}),
        ("gpu", {"gpu": 1}),
        ("gpu:a100", {"a100": 1}),
        ("gpu:0", {"gpu": 0}),
        ("gres/gpu=4", {"gpu": 4}),
        ("gres/gpu:a100=4", {"a100": 4}),
        ("cpu=64,mem=500G,gres/gpu=4,gres/gpu:a100=4", {"a100": 4}),
        ("gres:gpu:a100:4", {"a100": 4}),
        ("gpu_mem:80,nogpu:2,shard:gpu:4", {}),
        ("", {}),
        ("N/A", {}),
    ],
)
def test_gpus_of_a_node(text: str, gpus: dict[str, int]) -> None:
    assert gpus_of(text) == gpus


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("64", "", 64),
        ("64+", "", 64),
        ("1K", "", 1024),
        ("1.5K", "", 1536),
        ("257000", "M", 257000),
        ("257000+", "M", 257000),
        ("64G", "M", 65536),
        ("64GB", "M", 65536),
        ("1T", "M", 1048576),
        ("2048K", "M", 2),
        ("unlimited", "M", None),
        ("UNLIMITED", "", None),
        ("N/A", "M", None),
        ("", "", None),
    ],
)
def test_numbers_as_slurm_prints_them(text: str, unit: str, number: int | None) -> None:
    assert amount_of(text, unit) == number


def test_the_default_partition_and_several_clusters() -> None:
    found = read_partitions(
        "CLUSTER: north\n\ncpu*|2|64+|64G|(null)|90|up\ngpu|1.5K|8|9000+|gpu:2|2-00|UP\nold|1|1|1||1|inact\n"
    )
    assert list(found) == ["cpu", "gpu", "old"]
    assert (found["cpu"].minutes, found["cpu"].nodes[0].memory_mb, found["cpu"].nodes[0].cpus) == (90, 65536, 64)
    assert (found["gpu"].count, found["gpu"].minutes, found["gpu"].up, found["old"].up) == (1536, 2880, True, False)


@pytest.mark.parametrize("line", ["PARTITION AVAIL TIMELIMIT", "cpu|10|64", "a|b|c|d|e|f|g|h"])
def test_an_answer_of_another_form_is_named(line: str) -> None:
    with pytest.raises(UserError, match=r"sinfo answered '.*' where a partition was expected; try `sinfo"):
        read_partitions(f"{SINFO}{line}\n")


def test_partitions() -> None:
    assert (PARTITIONS["cpu"].count, PARTITIONS["cpu"].minutes, PARTITIONS["cpu"].up) == (12, 1440, True)
    assert [node.memory_mb for node in PARTITIONS["gpu"].nodes] == [515000, 257000]
    assert (PARTITIONS["old"].up, PARTITIONS["old"].minutes) == (False, None)


# ---------------------------------------------------------------- what does not fit


def test_what_fits_is_let_through() -> None:
    jobs = [job(site(), 4), job(site(), 0, threads=128), job(site(), 8, memory=257000), job(site(), 4, nodes=5)]
    assert impossible_jobs(jobs, PARTITIONS, site()) == []


@pytest.mark.parametrize(
    ("changes", "asked", "message"),
    [
        (
            {"gpu": {"partition": "gpus"}},
            {"gpus": 1},
            "partition 'gpus' is unknown; did you mean 'gpu'? valid: cpu, gpu, old",
        ),
        ({"gpu": {"partition": "old"}}, {"gpus": 1}, "partition old is down"),
        ({"gpu": None}, {"gpus": 1}, "needs a GPU and slurm.gpu in profiles/slurm/site.yaml is null"),
        ({}, {"gpus": 9}, "asks for 9 GPUs on a node, a node of partition gpu has at most 8"),
        (
            {"gpu": {"partition": "gpu", "gpu_type": "a10"}},
            {"gpus": 1},
            "has no GPU of type 'a10'; did you mean 'a100'?",
        ),
        ({"gpu": {"partition": "gpu", "gpu_type": "a100"}}, {"gpus": 8}, "8 GPUs of type a100 on a node, and no node"),
        ({}, {"memory": 1_100_000}, "needs 1,100,000 MB of memory, the largest node of partition cpu has 1,030,000"),
        # The node with eight GPUs is the smaller one.
        (
            {},
            {"gpus": 8, "memory": 300_000},
            "needs 300,000 MB of memory, the largest node of partition gpu has 257,000",
        ),
        ({}, {"threads": 200}, "asks for 200 processors, the largest node of partition cpu has 128"),
        ({}, {"gpus": 1, "nodes": 6}, "asks for 6 nodes, partition gpu has 5"),
        ({}, {"minutes": 1500}, "asks for 25.0 hours, partition cpu allows 24.0: set slurm.cpu.hours: 24"),
        (
            {},
            {"gpus": 1, "memory": 2000, "weights": 3120},
            "gets 2,000 MB of memory, the model's weights alone take 3,120 MB",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_mend(changes, asked, message: str) -> None:
    of = site(**changes)
    (fault,) = impossible_jobs([job(of, **asked)] * 3, PARTITIONS, of)
    assert message in fault
    assert "profiles/slurm/site.yaml" in fault or "lower" in fault or "raise" in fault or "wait" in fault


def test_every_fault_is_named_once_for_each_rule() -> None:
    of = site()
    other = Job("decode", "svamp", slurm_resources(of, 9), 9, 1, 1000, 10)
    assert len(impossible_jobs([job(of, 9), job(of, 9), other, job(of, 0)], PARTITIONS, of)) == 2


def fault_of(of: Slurm, partitions=PARTITIONS, **asked) -> str | None:
    return next(iter(impossible_jobs([job(of, **asked)], partitions, of)), None)


def test_of_several_partitions_one_that_fits_is_enough() -> None:
    partitions = read_partitions(SINFO + "big|2|64|2000000|gpu:h100:16|infinite|up\n")
    for names in ("gpu,big", "big, gpu", " old,big*"):
        of = site(gpu={"partition": names})
        assert fault_of(of, partitions, gpus=16, memory=1_500_000) is None
        assert slurm_resources(of, 1)["slurm_partition"] == names.replace(" ", "").replace("*", "")
    assert "a node of partition gpu has at most 8" in fault_of(site(gpu={"partition": "gpu,cpu"}), gpus=9)
    assert "partition 'gpus' is unknown" in fault_of(site(gpu={"partition": "gpu,gpus"}), gpus=1)
    assert "partition old is down" in fault_of(site(gpu={"partition": "old"}), gpus=1)
    down = read_partitions(SINFO.replace("|up", "|down"))
    assert "partitions gpu, cpu are down" in fault_of(site(gpu={"partition": "gpu,cpu"}), down, gpus=1)


LIMITS = """\
PartitionName=cpu AllowGroups=ALL Default=YES QoS=N/A MaxNodes=2 MaxTime=1-00:00:00 MaxCPUsPerNode=UNLIMITED \
State=UP DefMemPerCPU=2000 MaxMemPerCPU=4000 TRES=cpu=768,mem=2T,node=12
PartitionName=gpu AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxCPUsPerNode=16 MaxMemPerNode=200000 TRES=gres/gpu=24
PartitionName=old MaxNodes=UNLIMITED MaxCPUsPerNode=UNLIMITED MaxMemPerNode=UNLIMITED
PartitionName=hidden MaxNodes=1
"""


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"gpus": 1, "memory": 200_000, "threads": 16}, None),
        ({"gpus": 1, "memory": 200_001}, "partition gpu gives a job 200,000 on a node (MaxMemPerNode)"),
        ({"gpus": 1, "threads": 17}, "partition gpu gives a job 16 on a node (MaxCPUsPerNode): lower `threads`"),
        ({"memory": 512_000, "nodes": 2}, None),
        (
            {"memory": 516_001},
            "partition cpu gives 4,000 for each processor (MaxMemPerCPU), and no node has 130 processors",
        ),
        ({"nodes": 3}, "asks for 3 nodes, partition cpu gives a job 2: lower launch.nodes"),
    ],
)
def test_limits_of_a_partition_on_a_job(asked: dict, message: str | None) -> None:
    partitions = read_partitions(SINFO)
    add_limits(partitions, LIMITS)
    fault = fault_of(site(), partitions, **asked)
    assert (message in fault) if message else fault is None
    assert fault_of(site(), **asked) is None, "without the limits it fits"


def programs(folder: Path, **texts: str) -> None:
    """Programs of SLURM that answer with a text."""
    for name in ("sbatch", "srun", "sinfo", "squeue", "scancel", *texts):
        (folder / name).write_text(f"#!/bin/sh\n{texts.get(name, 'exit 1')}\n")
        (folder / name).chmod(0o755)


@pytest.mark.parametrize("scontrol", ["there", "fails", "missing"])
def test_limits_are_asked_where_they_can_be(monkeypatch, tmp_path, scontrol: str) -> None:
    told = (
        {} if scontrol == "missing" else {"scontrol": f"cat <<'END'\n{LIMITS}END" if scontrol == "there" else "exit 1"}
    )
    programs(tmp_path, sinfo=f"cat <<'END'\n{SINFO}END", **told)
    (tmp_path / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = ask_sinfo()
    assert list(found) == ["cpu", "gpu", "old"]
    assert found["gpu"].memory_a_node == (200_000 if scontrol == "there" else None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gpu": {"partition": "gpu,,cpu"}}, "give a name, or several with a comma between them"),
        ({"cpu": {"partition": "cpu; rm"}}, "give a name, or several"),
        ({"cpu": {"partition": " "}}, "give a name, or several"),
        (
            {"gpu": {"partition": "gpu", "gpu_type": "v100-sxm2"}},
            "leave gpu_type null, and choose the nodes",
        ),
        ({"extra": "--comment='a"}, "cannot be cut into words"),
    ],
)
def test_a_site_that_cannot_be_asked_is_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        site(**values)


def test_further_words_keep_their_quotes() -> None:
    of = site(extra="--comment='two words' --nice")
    assert sbatch_options(slurm_resources(of, 0))[-2:] == ["--comment=two words", "--nice"]


def test_a_folder_with_any_name_is_tried_on_a_node(monkeypatch, tmp_path, capsys) -> None:
    """srun runs its last three words here, as on a node that sees everything."""
    odd = tmp_path / "it's a $(touch x) folder"
    odd.mkdir()
    programs(tmp_path, srun='while [ $# -gt 3 ]; do shift; done; exec "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    told = slurm_resources(site(), 0)
    assert folder_fault(odd, told, [odd]) is None
    assert capsys.readouterr().err == "", "it was tried"
    assert f"does not see {odd}/none" in folder_fault(odd, told, [odd, odd / "none"])
    assert list(odd.iterdir()) == []


# ---------------------------------------------------------------- commands and folders


def test_a_machine_without_slurm_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no sbatch on PATH"):
        ask_sinfo()


def test_a_controller_that_does_not_answer_is_named(monkeypatch, tmp_path) -> None:
    for name in ("sbatch", "srun", "sinfo", "squeue", "scancel"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'slurm_load_partitions: Unable to contact slurm controller' >&2\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(UserError, match=r"SLURM does not answer \(sinfo: slurm_load_partitions: Unable to contact"):
        ask_sinfo()


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/ann/local\\040disk xfs rw 0 0
scratch@tcp:/s /scratch lustre rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/ann/work", "nfs4"),
        ("/home/ann/local disk/work", "xfs"),
        ("/scratch", "lustre"),
        ("/scratch2/ann", "ext4"),
        ("/tmp/x", "tmpfs"),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str) -> None:
    assert file_system_of(Path(folder), MOUNTS) == kind
