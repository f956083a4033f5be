"""Declaration of a checkpoint: the contents of config/checkpoints/NAME.yaml."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from retrace.sections import Name, Section
from retrace.yaml_files import read_yaml

# Fields of a checkpoint that name an option of the configuration.
OPTION_FIELDS = ("rounds", "form", "splits", "train", "released", "chosen_on_test")
Value = float | int | str | bool | list | None


class Variant(Section):
    """An entry that can extend another one of its kind and set options."""

    name: Name
    title: str = ""
    about: str = ""
    extends: Name | None = Field(default=None, description="entry that supplies all values not set here")
    set: dict[str, Value] = Field(default={}, description="dotted options whose values differ from the configuration")


class Checkpoint(Variant):
    """config/checkpoints/NAME.yaml.

    A checkpoint is named NAME; with `rounds` it is NAME_roundN, and with `guides` it is GENERATOR_NAME.
    """

    system: str = Field(
        default="", description="system that sets its seeds, splits and text form; inherited from `extends`"
    )
    starts_from: str | None = Field(
        default="base",
        description="checkpoint that its training starts from; `generator`: the one that the model's file names",
    )
    made_from: list[Name] = Field(default=[], description="other checkpoints that it is made from")
    sections: list[str] = Field(default=[], description="configuration sections that its own jobs depend on")
    rounds: str | None = Field(
        default=None, description="option with the number of rounds, for a checkpoint that is made in rounds"
    )
    first_round: Literal[0, 1] = 0
    round0: str | None = Field(default=None, description="another checkpoint that serves as round 0")
    round0_in_own_form: str | None = Field(
        default=None, description="the same when `form` is not the task's own: the base model with prompts in that form"
    )
    round0_rests_on: list[str] = Field(
        default=[], description="options or sections that round 0 depends on; variants with equal values share it"
    )
    follows: Name | None = Field(
        default=None, description="the loop whose rounds it follows; each variant of that loop gets its own"
    )
    between: bool = Field(
        default=False, description="whether its models come between the rounds of the loop it follows"
    )
    reads: list[str] = Field(default=[], description="sections that it depends on and that another checkpoint sets")
    guides: bool = Field(default=False, description="a network that guides or ranks a generator's output")
    trajectories_of: Name | None = Field(
        default=None, description="checkpoint whose sampled trajectories it is trained on"
    )
    stage_of: Name | None = Field(
        default=None, description="the checkpoint that it is a stage of; a stage is not decoded separately"
    )
    family: Literal["decoder_only", "encoder_decoder"] | None = Field(
        default=None, description="family of models that it can be made from; default: any"
    )
    scratch_only: bool = Field(default=False, description="made only from models that are trained from scratch")
    form: str | None = Field(default=None, description="option that sets its text form; default: the task's own steps")
    splits: str | None = Field(
        default=None, description="option that sets which splits it reads; default: its system's"
    )
    train: str | None = Field(
        default=None, description="option that sets the split it is trained on; results then name its file"
    )
    computations: bool = Field(
        default=True, description="whether its texts may hold computations that a calculator completes during decoding"
    )
    steps: bool = Field(default=True, description="whether it writes steps before the answer")
    decoder: Name | None = Field(default=None, description="the only algorithm that can decode it; default: any")
    released: str | None = Field(
        default=None, description="option that names the authors' released checkpoint, used instead of training"
    )
    needs_solutions: str | None = Field(default=None, description="what is made from worked solutions, if anything")
    reports: str | None = Field(default=None, description="file in its folder that results include")
    chosen_on_test: str | None = Field(
        default=None, description="option that lets training select on the test split; results then say so"
    )
    paper_names: list[str] = Field(
        default=[], description="the method's names in the paper's tables; may contain {round}"
    )

    @model_validator(mode="after")
    def _options_are_dotted(self) -> "Checkpoint":
        for name in OPTION_FIELDS:
            value = getattr(self, name)
            if value is not None and "." not in value:
                raise ValueError(f"{name} is {value!r}; it must name a configuration option as `section.option`")
        return self

    @property
    def shown(self) -> str:
        """The name as shown in messages."""
        return f"GENERATOR_{self.name}" if self.guides else f"{self.name}_roundN" if self.rounds else self.name


@cache
def root_at(config: Path, checkpoint: str) -> str:
    """Root of the checkpoint's `extends` chain; itself if it extends none."""
    path = config / "checkpoints" / f"{checkpoint}.yaml"
    parent = read_yaml(path).get("extends") if path.exists() else None
    return root_at(config, str(parent)) if parent else checkpoint
