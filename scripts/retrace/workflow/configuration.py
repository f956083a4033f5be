"""The typed configuration: every option that a user can set, with its meaning and its limits.

One class per script; a script's command line is made from its class (retrace.cli). Defaults are the paper's,
as far as a value does not depend on task and model; config/presets/ holds the rest, each with its source. A decoding
algorithm brings its own sections.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, model_validator

from retrace.decoding.options import (
    Beam,
    FewShot,
    FewShotMajority,
    Greedy,
    Guided,
    GuidedVote,
    Majority,
    SelfConsistency,
    Stepwise,
)
from retrace.machine.launch_options import Launch
from retrace.machine.logging_options import Logging
from retrace.machine.slurm_options import ResourceFactors, Slurm
from retrace.sections import Count, Name, Section
from retrace.systems.algorithms import option_sections
from retrace.systems.dpo_st.options import DpoSt
from retrace.systems.grace.options import Aligning, DiscriminatorTraining, Pairing, Sampling, Sweep, VerifierTraining
from retrace.systems.icot.options import (
    ControlTraining,
    CoupledTraining,
    EmulatorTraining,
    ExplicitCotTraining,
    Figures,
    Implicit,
    ImplicitData,
    NoCotTraining,
    Speed,
    StudentTraining,
    TeacherStates,
)
from retrace.systems.latro.options import LatroTraining
from retrace.systems.learn_to_reason.options import Exam, Feedback, LearnToReasonTraining, Rounds, Teacher
from retrace.training.options import BaseTraining, SftTraining, Training
from retrace.workflow.seeds import Seeds, SeedsOfSystems

# ---------------------------------------------------------------- tasks and models (one YAML file each)


# ---------------------------------------------------------------- options of the scripts


class Shards(Section):
    """Into how many jobs a step is split. A plan's own matter: the rows do not depend on it."""

    sample: Count = 1
    decode: Count = 1
    longest_hours: float = Field(
        default=0.0,
        ge=0,
        description="split a step into twice, four times, ... as many (at most 64) where a shard would take longer by the "
        "estimate, `sample` and `decode` being the fewest; 0: never",
    )


class Threads(Section):
    """Processor threads of a job, by kind; Snakemake lowers them to what it was given."""

    train: Count = 8
    sample: Count = 4
    align: Count = 4
    decode: Count = 4


class Limits(Section):
    """Use only the first rows of a split; -1: all. A result says how many there were."""

    train: int = Field(default=-1, ge=-1)
    dev: int = Field(default=-1, ge=-1)
    test: int = Field(default=-1, ge=-1)
    corpus: int = Field(default=-1, ge=-1)
    corpus_dev: int = Field(default=-1, ge=-1)


class When(Section):
    task: str | list[str] | None = None
    model: str | list[str] | None = None


class Override(Section):
    """Values for some tasks or models only."""

    when: When
    set: dict[str, float | int | str | bool | list | None] = Field(description="dotted names, for instance grace.beta")


class MethodConfig(Section):
    """A method: config/methods/NAME.yaml."""

    name: Name
    title: str
    checkpoint: Name = Field(description="`generator` (the model's own choice) or a checkpoint's name")
    decoder: Name
    paper: Literal["grace", "dpo_st", "icot", "latro", "learn_to_reason"] = "grace"
    votes: Name | None = Field(
        default=None, description="a decoder whose samples of the same checkpoint give the result's maj@k and pass@k"
    )
    paper_names: list[str] = Field(default=[], description="this method's names in the paper's tables")
    about: str = ""


class ConfigurationBase(Section):
    """The configuration's own sections; `Configuration` adds those that further decoding algorithms register."""

    preset: Name = "paper"
    seeds: Seeds = Field(
        default=SeedsOfSystems(), description="one run of everything for each: a list for all systems, or one for each"
    )
    mirror: str | None = Field(default=None, description="folder with files at HOST/PATH, looked up before the network")
    require_gpu: bool = Field(default=True, description="stop before the first job where no GPU can be found")
    container: str | None = Field(
        default=None, description="image that jobs run in with --sdm apptainer: a .sif file, or docker://NAME"
    )
    headline_models: dict[str, Name] = Field(
        default={"default": "flan_t5_large"},
        description="model of results/{task}/{method}_acc.json: of a paper's methods (latro), of a task, or default",
    )
    shards: Shards = Shards()
    threads: Threads = Threads()
    launch: Launch = Launch()
    logging: Logging = Logging()
    resource_factors: ResourceFactors = ResourceFactors()
    slurm: Slurm | None = Field(
        default=None, description="the cluster that jobs go to; profiles/slurm/site.yaml sets it"
    )
    limits: Limits = Limits()
    base: BaseTraining = BaseTraining()
    sft: SftTraining = SftTraining()
    sample: Sampling = Sampling()
    align: Aligning = Aligning()
    pair: Pairing = Pairing()
    discriminator: DiscriminatorTraining = DiscriminatorTraining()
    verifier: VerifierTraining = VerifierTraining()
    greedy: Greedy = Greedy()
    beam: Beam = Beam()
    self_consistency: SelfConsistency = SelfConsistency()
    stepwise: Stepwise = Stepwise()
    grace: Guided = Guided()
    grace_self_consistency: GuidedVote = GuidedVote()
    sweep: Sweep = Sweep()
    dpo_st: DpoSt = DpoSt()
    exam: Exam = Exam()
    teacher: Teacher = Teacher()
    feedback: Feedback = Feedback()
    learn_to_reason: LearnToReasonTraining = LearnToReasonTraining()
    rounds: Rounds = Rounds()
    icot_data: ImplicitData = ImplicitData()
    no_cot: NoCotTraining = NoCotTraining()
    explicit_cot: ExplicitCotTraining = ExplicitCotTraining()
    icot_states: TeacherStates = TeacherStates()
    icot_student: StudentTraining = StudentTraining()
    icot_emulator: EmulatorTraining = EmulatorTraining()
    icot: CoupledTraining = CoupledTraining()
    no_cot_deep: ControlTraining = ControlTraining()
    no_cot_from_teacher: ControlTraining = ControlTraining()
    implicit: Implicit = Implicit()
    icot_speed: Speed = Speed()
    figures: Figures = Figures()
    latro: LatroTraining = LatroTraining()
    latro_sft: SftTraining = SftTraining()
    maj: Majority = Majority()
    few_shot: FewShot = FewShot()
    few_shot_maj: FewShotMajority = FewShotMajority()
    overrides: list[Override] = Field(default=[])

    def trainings(self) -> dict[str, Training]:
        """The sections of trainings, by their names in `launch.trainings`."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        parts |= {f"dpo_st_{name}": getattr(self.dpo_st, name) for name in type(self.dpo_st).model_fields}
        return {name: part for name, part in parts.items() if isinstance(part, Training)}

    @model_validator(mode="after")
    def _known_trainings(self) -> "ConfigurationBase":
        known = self.trainings()
        unknown = sorted(set(self.launch.trainings) - set(known))
        if unknown:
            raise ValueError(f"launch.trainings: {unknown[0]!r} is no training; valid: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _batches_that_add_up(self) -> "ConfigurationBase":
        for name, training in self.trainings().items():
            size, device = training.batch_size, training.device_batch_size
            if size % min(device, size) == 0:
                continue
            place = self.launch.of(name)
            # Several processes may share out what one cannot; the training itself checks that.
            if max(place.gpus, place.processes, place.nodes) <= 1:
                section = name.replace("dpo_st_", "dpo_st.")
                fitting = max(part for part in range(1, device) if size % part == 0)
                raise ValueError(
                    f"{section}.batch_size {size} is no multiple of {section}.device_batch_size {device}; "
                    f"set device_batch_size to {fitting}, or another batch_size"
                )
        return self


def with_registered(base: type[ConfigurationBase]) -> type[ConfigurationBase]:
    """The class of the whole configuration: `base` and, behind its sections, those of registered decoding algorithms
    that it does not name."""
    further: dict[str, Any] = {
        name: (section, section()) for name, section in option_sections().items() if name not in base.model_fields
    }
    about = "All that config/config.yaml, a preset or `--config` may hold."
    return create_model("Configuration", __base__=base, __module__=__name__, __doc__=about, **further)


if TYPE_CHECKING:
    Configuration = ConfigurationBase
else:
    Configuration = with_registered(ConfigurationBase)
