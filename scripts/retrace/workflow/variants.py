"""Variants: a checkpoint, decoder or method that extends another one with other options (`set`).

A variant has its own name and files. A checkpoint may set options that its own training depends on, a decoder its own
options. A method with `set` implies a variant of its checkpoint, network or decoder as needed, under the method's name.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from retrace.errors import UserError
from retrace.systems.declaration import OPTION_FIELDS, Checkpoint
from retrace.systems.registry import all_systems
from retrace.workflow.configuration import Configuration
from retrace.workflow.decoders import DecoderConfig, Decoders
from retrace.workflow.library import Library
from retrace.workflow.methods import MethodConfig
from retrace.workflow.names import GENERATOR, LAST, Checkpoints, base_decoder, check_comparable
from retrace.yaml_files import closest


def sections_of_checkpoint(kind: Checkpoint) -> list[str]:
    """Sections whose options a variant of a checkpoint may set."""
    options = [kind.rounds, kind.form, kind.splits, kind.train, kind.released]
    return [*dict.fromkeys([*kind.sections, *(option.split(".")[0] for option in options if option)])]


def sections_of_decoder(decoder: DecoderConfig) -> list[str]:
    return [decoder.section]


def within(option: str, sections: list[str]) -> bool:
    """Whether a dotted option is in one of the sections."""
    return any(option.startswith(f"{section}.") for section in sections)


def check_system(where: str, system: str) -> None:
    """Raise UserError, beginning with `where`, for a system that does not exist."""
    known = all_systems()
    if system not in known:
        raise UserError(f"{where}: {system!r} is not a system; {closest(system, known)}")


def check_option(where: str, dotted: str) -> None:
    """Raise UserError, beginning with `where`, for a dotted option or section that the configuration does not have."""
    fields: Mapping[str, Any] = Configuration.model_fields
    for part in dotted.split("."):
        if part not in fields:
            raise UserError(f"{where}: {dotted!r} is not an option of the configuration; {closest(part, fields)}")
        kind = fields[part].annotation
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def check_checkpoint(name: str, checkpoints: Checkpoints) -> None:
    """Raise UserError for a checkpoint of no system, or one that sets options of another step, which would have no or only
    partial effect."""
    kind, path = checkpoints[name], checkpoints.files.path(name)
    check_system(f"{path}: system", kind.system)
    own = sections_of_checkpoint(kind)
    if kind.extends and not own and not kind.made_from:
        raise UserError(f"{path}: extends: {kind.extends} has no options of its own, and no variants")
    for field in ("sections", "reads"):
        for section in getattr(kind, field):
            check_option(f"{path}: {field}", section)
    for field in OPTION_FIELDS:
        if option := getattr(kind, field):
            check_option(f"{path}: {field}", option)
    for option in kind.set:
        if not within(option, own):
            raise UserError(
                f"{path}: set: {option} is not an option of what this checkpoint makes itself "
                f"({', '.join(own) or 'nothing'}); make a variant of the checkpoint or decoder that it belongs to"
            )
        check_option(f"{path}: set", option)


def check_decoder(name: str, decoders: Decoders, checkpoints: Checkpoints) -> None:
    """Raise UserError for a decoder that sets options of another step, or whose parts are missing or faulty."""
    decoder, path = decoders[name], decoders.path(name)
    own = sections_of_decoder(decoder)
    for option in decoder.set:
        if not within(option, own):
            raise UserError(
                f"{path}: set: {option} is not an option of this decoder ({', '.join(own)}); make a variant "
                "of the checkpoint that it belongs to"
            )
        check_option(f"{path}: set", option)
    for field, other in (("extends", decoder.extends), ("reranks", decoder.reranks)):
        if other in decoders.faults:
            raise UserError(f"{path}: {field}: {decoders.faults[other].message}")
    if decoder.guide in checkpoints.files.faults:
        raise UserError(f"{path}: guide: {checkpoints.files.faults[decoder.guide].message}")
    if decoder.guide and (decoder.guide not in checkpoints or not checkpoints[decoder.guide].guides):
        raise UserError(
            f"{path}: guide: {decoder.guide!r} is not a known network; valid: {', '.join(checkpoints.guides)}"
        )


def leave_out_faulty(methods: Library[MethodConfig], checkpoints: Checkpoints, decoders: Decoders) -> None:
    """Declare the variants of methods, and leave out what is faulty or rests on what is, with all that its file implies."""
    methods.check(lambda name: methods[name])
    checkpoints.check(lambda name: check_checkpoint(name, checkpoints))
    decoders.check(lambda name: check_decoder(name, decoders, checkpoints))
    methods.check(lambda name: declare_variants(name, methods, checkpoints, decoders))
    kinds: list[Library[Any]] = [checkpoints.files, decoders, methods]
    known = -1
    while known != sum(map(len, kinds)):
        known = sum(map(len, kinds))
        faults = [fault for kind in kinds for fault in kind.faults.values()]
        for kind in kinds:
            for fault in faults:
                kind.leave_out(fault)
        checkpoints.check(lambda name: check_checkpoint(name, checkpoints))
        decoders.check(lambda name: check_decoder(name, decoders, checkpoints))
        methods.check(lambda name: check_method(name, methods, checkpoints, decoders))


def declare_variants(name: str, methods: Library[MethodConfig], checkpoints: Checkpoints, decoders: Decoders) -> None:
    """Declare the variants that a method with `set` implies, and make the method refer to them."""
    method = methods[name]
    if not method.set:
        return
    path = methods.path(name)
    if base_decoder(method.decoder) not in decoders:
        return  # reported when the method is requested
    decoder = decoders[base_decoder(method.decoder)]
    guide = checkpoints[decoder.guide] if decoder.guide else None
    loop, end = _loop_and_end(method.checkpoint, checkpoints)
    kind = None
    if loop in checkpoints:
        kind = checkpoints[loop]
    left = dict(method.set)
    of_decoder = _taken(left, sections_of_decoder(decoder))
    of_guide = _taken(left, sections_of_checkpoint(guide)) if guide else {}
    of_checkpoint = _taken(left, sections_of_checkpoint(kind)) if kind else {}
    if left:
        wrong = next(iter(left))
        own = [*sections_of_decoder(decoder), *(sections_of_checkpoint(guide) if guide else [])]
        own += sections_of_checkpoint(kind) if kind else []
        mend = "" if method.checkpoint != GENERATOR else "; to change a trained generator name it (`checkpoint: sft`)"
        raise UserError(
            f"{path}: set: {wrong} is not an option of the checkpoint or decoder of this method ({', '.join(own)}){mend}"
        )
    changed: dict[str, Any] = {}
    if of_guide:
        assert guide is not None
        network = f"{name}_{guide.name}"
        checkpoints.add(_variant(guide, network, of_guide), path)
    if of_decoder or of_guide:
        new = _variant(decoder, name, of_decoder)
        decoders.add(new.model_copy(update={"guide": network}) if of_guide else new, path)
        changed["decoder"] = name + method.decoder.removeprefix(decoder.name)
    if of_checkpoint:
        assert kind is not None
        checkpoints.add(_variant(kind, name, of_checkpoint), path)
        changed["checkpoint"] = name + end
    methods.replace(method.model_copy(update=changed))


def check_method(name: str, methods: Library[MethodConfig], checkpoints: Checkpoints, decoders: Decoders) -> None:
    """Raise UserError for a method of no system, or one of the user whose name would hide a checkpoint with its decoder."""
    method, path = methods[name], methods.path(name)
    check_comparable(name, path)
    check_system(f"{path}: paper", method.paper)
    if method.extends in methods.faults:
        raise UserError(f"{path}: extends: {methods.faults[method.extends].message}")
    if name in methods.shipped:
        return
    meant = pairs(name, checkpoints, decoders.names())
    if (found := checkpoints.decodable(name)) and found.round is not None:
        meant.append((name, "greedy"))
    if meant and (method.checkpoint, method.decoder) not in meant:
        checkpoint, decoder = meant[0]
        raise UserError(f"{path}: {name} is {checkpoint} decoded with {decoder}; give it another name")


def pairs(name: str, checkpoints: Checkpoints, decoders: Iterable[str]) -> list[tuple[str, str]]:
    """All (checkpoint, decoder) that CHECKPOINT_DECODER may mean, that of the longest decoder's name first."""
    ends = [decoder for decoder in sorted(decoders, key=len, reverse=True) if name.endswith(f"_{decoder}")]
    found = [(name.removesuffix(f"_{decoder}"), decoder) for decoder in ends]
    return [(checkpoint, decoder) for checkpoint, decoder in found if checkpoints.decodable(checkpoint)]


def _loop_and_end(checkpoint: str, checkpoints: Checkpoints) -> tuple[str, str]:
    """Split `dpo_st_last` into `dpo_st` and `_last`."""
    if checkpoint.endswith(LAST):
        return checkpoint.removesuffix(LAST), LAST
    loop = checkpoints.loop_of(checkpoint)
    return loop, checkpoint.removeprefix(loop)


def _taken(options: dict[str, Any], sections: list[str]) -> dict[str, Any]:
    """Remove and return the options of these sections."""
    found = {option: value for option, value in options.items() if within(option, sections)}
    for option in found:
        del options[option]
    return found


def _variant(of: Any, name: str, options: Mapping[str, Any]) -> Any:
    changes = {"name": name, "extends": of.name, "set": {**of.set, **options}, "title": f"{of.title} ({name})"}
    return of.model_copy(update=changes)
