"""The typed configuration: every user option, with its meaning and limits.

There is one class per script, from which its command line is generated (retrace.cli). Defaults are the paper's,
as far as a value does not depend on task and model; config/presets/ holds the rest, each with its source. Systems and
decoding algorithms add their own sections.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from retrace.decoding.options import KEPT_BY_DEFAULT, Keep
from retrace.machine.launch_options import Launch
from retrace.machine.logging_options import Logging
from retrace.machine.slurm_options import ResourceFactors, Slurm
from retrace.sections import SPEED_ONLY, Count, Name, Section
from retrace.systems.algorithms import option_sections
from retrace.systems.registry import all_systems
from retrace.training.options import BaseTraining, Training
from retrace.workflow.seeds import Seeds, SeedsOfSystems

HEADLINE = {"default": "flan_t5_large"}


class Shards(Section):
    """Number of jobs that a step is split into. It does not change the rows."""

    sample: Count = 1
    decode: Count = 1
    longest_hours: float = Field(
        default=0.0,
        ge=0,
        description="split a step into twice, four times, ... as many (at most 64) where a shard would take longer by the "
        "estimate, `sample` and `decode` being the fewest; 0: never",
    )


class Threads(Section):
    """CPU threads of a job, by kind; Snakemake caps them at its own limit."""

    train: Count = 8
    sample: Count = 4
    align: Count = 4
    decode: Count = 4


class Limits(Section):
    """Use only the first rows of a split; -1: all. Results state the number."""

    train: int = Field(default=-1, ge=-1)
    dev: int = Field(default=-1, ge=-1)
    test: int = Field(default=-1, ge=-1)
    corpus: int = Field(default=-1, ge=-1)
    corpus_dev: int = Field(default=-1, ge=-1)


class When(Section):
    task: str | list[str] | None = None
    model: str | list[str] | None = None


class Override(Section):
    """Values for certain tasks or models only."""

    when: When
    set: dict[str, float | int | str | bool | list | None] = Field(description="dotted names, for instance grace.beta")


class ConfigurationBase(Section):
    """Options of no particular system; `Configuration` adds the sections of systems and decoding algorithms."""

    preset: Name = "paper"
    seeds: Seeds = Field(
        default=SeedsOfSystems(), description="one run of everything for each: a list for all systems, or one for each"
    )
    own: str | None = Field(
        default=None,
        description="folder with tasks/, models/, checkpoints/, decoders/, methods/, prompts/ and presets/ of your own; "
        "default: config/ of the folder that the run is in",
    )
    mirror: str | None = Field(default=None, description="folder with files at HOST/PATH, looked up before the network")
    require_gpu: bool = Field(default=True, description="stop before the first job where no GPU can be found")
    container: str | None = Field(
        default=None, description="image that jobs run in with --sdm apptainer: a .sif file, or docker://NAME"
    )
    headline_models: Annotated[dict[str, Name], AfterValidator(lambda given: {**HEADLINE, **given})] = Field(
        default=HEADLINE,
        description="model of results/{task}/{method}_acc.json: of a paper's methods on a task (icot/running_sum), of a "
        "paper's methods (latro), of a task, or default",
    )
    default_tasks: list[Name] = Field(
        default=[],
        description="tasks of a plain `snakemake`, which compares GRACE with its baselines on them; empty: the generated "
        "task where the default model is trained from scratch, else the first table of GRACE's paper",
    )
    tables: Literal["show", "run"] = Field(
        default="show",
        description="papers' tables and claims. show: what is there is filled in, and of the rest it is said what makes it; "
        "run: all that is in them is made",
    )
    keep_candidates: Keep = Field(
        default="auto",
        description="write all candidates of each step of guided decoding next to its predictions; auto: for splits of up "
        f"to {KEPT_BY_DEFAULT:,} questions; changing it reruns nothing",
        json_schema_extra=SPEED_ONLY,
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
    overrides: list[Override] = Field(default=[])

    def trainings(self) -> dict[str, Training]:
        """Sections of trainings, by their names in `launch.trainings`."""
        return self._trainings_alone

    @cached_property
    def _trainings_alone(self) -> dict[str, Training]:
        # Needed several times for every planned job.
        return {name: part for name, (_, part) in self._trainings().items()}

    def _trainings(self) -> dict[str, tuple[str, Training]]:
        """Trainings by name, with dotted sections: `dpo_st_sft` is `dpo_st.sft`."""
        found = {}
        for name in type(self).model_fields:
            section = getattr(self, name)
            inner = type(section).model_fields if isinstance(section, Section) else {}
            parts = {name: section} | {f"{name}.{one}": getattr(section, one) for one in inner}
            found |= {dotted.replace(".", "_"): (dotted, part) for dotted, part in parts.items()}
        return {name: (dotted, part) for name, (dotted, part) in found.items() if isinstance(part, Training)}

    @model_validator(mode="after")
    def _known_trainings(self) -> "ConfigurationBase":
        known = self.trainings()
        unknown = sorted(set(self.launch.trainings) - set(known))
        if unknown:
            raise ValueError(f"launch.trainings: {unknown[0]!r} is no training; valid: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _batches_that_add_up(self) -> "ConfigurationBase":
        for name, (section, training) in self._trainings().items():
            size, device = training.batch_size, training.device_batch_size
            if size % min(device, size) == 0:
                continue
            place = self.launch.of(name)
            # Several processes may divide a batch that one cannot; the training itself checks that.
            if max(place.gpus, place.processes, place.nodes) <= 1:
                fitting = max(part for part in range(1, device) if size % part == 0)
                raise ValueError(
                    f"{section}.batch_size {size} is no multiple of {section}.device_batch_size {device}; "
                    f"set device_batch_size to {fitting}, or another batch_size"
                )
        return self


def with_sections(base: type[ConfigurationBase]) -> type[ConfigurationBase]:
    """The class of the whole configuration: the sections of `base`, then those of systems and algorithms."""
    sections = {name: kind for system in all_systems().values() for name, kind in system.sections.items()}
    sections |= {name: kind for name, kind in option_sections().items() if name not in sections}
    further: dict[str, Any] = {name: (kind, kind()) for name, kind in sections.items()}
    about = "All that config/config.yaml, a preset or `--config` may hold."
    return create_model("Configuration", __base__=base, __module__=__name__, __doc__=about, **further)


if TYPE_CHECKING:
    Configuration = ConfigurationBase
else:
    Configuration = with_sections(ConfigurationBase)
