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
    extends: Name | None = Field(default=None, description="all that is not said here is as there")
    set: dict[str, Value] = Field(default={}, description="dotted options that are otherwise than in the configuration")


class Checkpoint(Variant):
    """config/checkpoints/NAME.yaml. Names of checkpoints are NAME, with `rounds` NAME_roundN, with `guides`
    GENERATOR_NAME."""

    system: str = Field(default="", description="whose seeds, splits and text form it has; inherited from `extends`")
    starts_from: str | None = Field(
        default="base", description="checkpoint that its training starts from; `generator`: the model's own choice"
    )
    made_from: list[Name] = Field(default=[], description="further checkpoints that it is made from")
    sections: list[str] = Field(default=[], description="sections of the configuration that its own making depends on")
    rounds: str | None = Field(
        default=None, description="option with the number of rounds, for what goes round and round"
    )
    first_round: Literal[0, 1] = 0
    round0: str | None = Field(default=None, description="the checkpoint that stands for round 0, if it is not its own")
    round0_in_own_form: str | None = Field(
        default=None, description="the same where `form` is not the task's: the base model, asked in that form"
    )
    round0_rests_on: list[str] = Field(
        default=[], description="options or sections that round 0 depends on; variants with the same ones share it"
    )
    follows: Name | None = Field(
        default=None, description="the loop whose rounds it goes along with; a variant of that loop gets one of its own"
    )
    between: bool = Field(
        default=False, description="whether its models stand between the rounds of the loop it follows"
    )
    reads: list[str] = Field(default=[], description="sections that it depends on and another checkpoint sets")
    guides: bool = Field(
        default=False, description="a network beside a generator, which guides or ranks what it writes"
    )
    trajectories_of: Name | None = Field(default=None, description="whose sampled trajectories it is trained on")
    stage_of: Name | None = Field(
        default=None, description="the checkpoint that it is a stage of; not decoded by itself"
    )
    family: Literal["decoder_only", "encoder_decoder"] | None = Field(
        default=None, description="of the models that it can be made of; default: any"
    )
    scratch_only: bool = Field(default=False, description="made of models from scratch alone")
    form: str | None = Field(default=None, description="option with its text form; default: the task's own steps")
    splits: str | None = Field(
        default=None, description="option with the set of splits it reads; default: its system's"
    )
    train: str | None = Field(
        default=None, description="option with the split it is trained on; results then name its file"
    )
    computations: bool = Field(
        default=True, description="whether its texts may hold computations that a calculator takes over in decoding"
    )
    steps: bool = Field(default=True, description="whether it writes steps before the answer")
    decoder: Name | None = Field(default=None, description="the algorithm that alone can decode it; default: any")
    released: str | None = Field(default=None, description="option that names the authors' own, in place of a training")
    needs_solutions: str | None = Field(default=None, description="what is made of worked solutions, if anything is")
    reports: str | None = Field(default=None, description="file of its folder that results tell of")
    chosen_on_test: str | None = Field(
        default=None, description="option that lets its training choose on the test split, which results then say"
    )
    paper_names: list[str] = Field(
        default=[], description="the method's names in the paper's tables; {round} may stand in"
    )

    @model_validator(mode="after")
    def _options_are_dotted(self) -> "Checkpoint":
        for name in OPTION_FIELDS:
            value = getattr(self, name)
            if value is not None and "." not in value:
                raise ValueError(f"{name} names an option of the configuration, `section.option`, and is {value!r}")
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
