"""Methods sections: what they say is what was done, whatever the settings."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import probe
from probe import inference
from probe.reporting import methods
from probe.reporting.references import Cited, bibliography, of_network, works

N_STIMULI = 12


def evaluated(n_models=3, n_subjects=3, comparator="spearman", **settings):
    rng = np.random.default_rng(0)
    truth = rng.random(N_STIMULI * (N_STIMULI - 1) // 2)
    models = truth + rng.random((n_models, len(truth)))
    data = truth + rng.random((n_subjects, len(truth)))
    names = [f"m{k}" for k in range(n_models)]
    return inference.evaluate(models, data, comparator, names=names, n_resamples=20, **settings)


def told_of(scored, n_subjects=3):
    cited = Cited()
    told = methods._of_tests(scored.table(), scored.pairs(), scored.test, 20, n_subjects, cited)
    return " ".join(told), cited


DESIGNS = [
    *((resample, "permutation") for resample in (None, "stimuli", "subjects", "both")),
    *(
        (resample, test)
        for resample in ("stimuli", "subjects", "both")
        for test in ("t", "bootstrap")
    ),
    ("subjects", "sign-flip"),
]


@pytest.mark.parametrize(("resample", "test"), DESIGNS)
def test_tests_are_told_where_there_are_p_values(resample, test):
    scored = evaluated(resample=resample, test=test)
    text, cited = told_of(scored)
    pairs = np.isfinite(scored.pairs()["p"]).any()
    assert pairs == (resample is not None)
    assert ("compared with each other" in text) == pairs == ("over pairs" in text)
    assert ("lower bound of the noise ceiling by one-sided t-tests" in text) == pairs
    to_zero, _, others = text.partition("compared with each other (two-sided) by ")
    how = {
        "permutation": ("20 permutations of the stimulus labels", "t-tests"),
        "t": ("t-tests", "t-tests"),
        "bootstrap": ("the share of 20 bootstrap samples",) * 2,
        "sign-flip": ("all 8 flips of the signs of subjects",) * 2,
    }[test]
    assert f"against zero (one-sided) by {how[0]}" in to_zero
    assert not pairs or others.startswith(how[1])
    assert ("mantel1967" in [work.key for work in cited.all]) == (test == "permutation")


def test_no_test_is_told_that_was_not_made():
    text, _ = told_of(evaluated(comparator="cosine", test="t"))
    assert "not tested against zero" in text
    assert "(one-sided) by t" not in text
    text, cited = told_of(evaluated(n_models=1, n_subjects=1), 1)
    assert text == (
        "Scores were tested against zero (one-sided) by 20 permutations of the stimulus labels "
        "(Mantel 1967)."
    )
    assert [work.key for work in cited.all] == ["mantel1967"]


def test_flips_are_all_or_at_random():
    assert methods._flips(10, 1000).startswith("1,000 random")
    assert methods._flips(10, 1023).startswith("all 1024")


@pytest.mark.parametrize(
    ("resample", "words", "without"),
    [
        (None, "no confidence intervals", "t intervals"),
        ("stimuli", "the jackknife and 20 bootstrap samples", "over subjects"),
        ("subjects", "with the variance over subjects", "bootstrap"),
        ("both", "and the variance over subjects", "percentiles"),
    ],
)
def test_intervals_are_told_as_they_were_made(resample, words, without):
    text = methods._of_intervals(resample, 20, Cited())
    assert words in text
    assert without not in text


def facts_of(**of_recording):
    recording = {"name": "mine", "subjects": ["a"], "n_stimuli": 9, "region": "V4"}
    return {
        "model": {"name": "resnet18", "layers": ["a"], "weights_kind": "imagenet"},
        "recording": recording | of_recording,
    }


def test_weights_are_not_said_to_be_of_imagenet_alone_where_that_is_not_known():
    def told(source):
        about = {"weights_kind": "imagenet", "weights_source": source}
        return " ".join(methods._of_weights(about, Cited()))

    assert "trained on ImageNet" in told("torchvision ResNet18_Weights.IMAGENET1K_V1 (r.pth)")
    for source in ("timm 1.0, vit_base_patch16_clip_224.openai", "torchvision IMAGENET1K_SWAG_E2E"):
        assert told(source) == f"Weights: {source}."


def test_a_network_of_a_user_is_not_taken_for_a_published_one():
    facts = facts_of()
    assert "resnet18 (He et al. 2016)" in methods._network_and_recording(facts, Cited())[0]
    facts["model"]["weights_kind"] = "user"
    assert "He et al." not in methods._network_and_recording(facts, Cited())[0]
    assert of_network("vitreous") is of_network("resnetlike") is None
    assert of_network("vit_b_16") == "dosovitskiy2021"


@pytest.mark.parametrize("name", ["v4", "it", "evc"])
def test_a_folder_of_a_user_is_not_taken_for_published_data(name):
    facts = facts_of(name=name, citation="Doe (2020)", licence="CC0")
    (terms,) = methods._terms_of_recording(facts["recording"])
    assert (terms.what, terms.licence, terms.citation) == (f"Recording {name}", "CC0", "Doe (2020)")
    told = " ".join(methods._network_and_recording(facts, Cited()))
    assert "(Doe (2020))" in told
    (published,) = methods._terms_of_recording({"name": "cowley2023/210325"})
    assert "Cowley" in published.citation


def test_presentations_that_were_used_to_choose_are_not_counted():
    selection = {"said": "neuroids with reliability ≥ 0.4: 2 of 3, chosen on other repetitions"}
    facts = facts_of(n_repetitions=[2, 3], selection=selection, window=[70, 170])
    text = methods._network_and_recording(facts, Cited())[1]
    assert "with 2 to 3 presentations of each" in text
    assert "shown" not in text
    assert "Only neuroids with reliability ≥ 0.4 were used (2 of 3, chosen on other rep" in text
    assert "Responses are those from 70 to 170 ms" in text  # counts, rates and voltages alike


def test_published_rdms_are_not_said_to_be_computed():
    facts = facts_of(kind="rdms")
    facts["comparison"] = {"metric": "correlation", "comparator": "spearman"}
    assert "not computed anew" in methods._of_rdms(facts, Cited())[0]
    facts["recording"]["kind"] = "responses"
    assert "not computed anew" not in methods._of_rdms(facts, Cited())[0]


def fit_of(method="ridge", protocol=None, readout="field", **more):
    return {
        "method": method, "protocol": protocol, "readout": readout, "n_splits": 10,
        "chosen_by": "the least error when each of 640 stimuli is left out in turn",
        "units": "stimuli", "n_resamples": 0,
        "aggregate": "r", "remarks": [],
    } | more  # fmt: skip


def text_of_encoding(fit, kinds=("layer",), splits=10, **of_recording):
    result = SimpleNamespace(
        provenance={"settings": {"n_components": 25, "splits": splits}},
        table=pd.DataFrame({"kind": list(kinds)}),
        sites=pd.DataFrame({"r": [0.5]}),
    )
    facts = facts_of(**of_recording) | {"fit": fit}
    return methods.of_encoding(facts, result, Cited())[2]


def test_a_fit_is_told_as_it_was_made():
    text = text_of_encoding(fit_of(), ("layer", "chosen"), n_repetitions=[1, 1])
    assert "Each site’s response was predicted from each layer (Yamins et al. 2014) by r" in text
    assert "640" not in text  # as many are not inside the training stimuli of a split
    assert "layer of its own" in text
    text = text_of_encoding(fit_of(), n_repetitions=[2, 3])
    assert "response, averaged over repetitions, was" in text
    assert "layer of its own" not in text
    read_in_full = "Read in full, since their positions are not known: fc6."
    assert read_in_full in text_of_encoding(fit_of(remarks=[read_in_full, "Else."]))
    groups = fit_of(
        units="8 groups of stimuli",
        chosen_by="the least error when each of 8 groups of stimuli is left out in turn",
    )
    assert "8 groups of stimuli, each of which was held out as a whole" in text_of_encoding(groups)
    assert "one group of stimuli at a time" in text_of_encoding(groups)
    assert "as a whole" not in text_of_encoding(groups, splits="ShuffleSplit(10)")


@pytest.mark.parametrize(
    ("method", "protocol", "words"),
    [
        ("pls", None, "partial least squares with at most 25 components, which all sites share"),
        ("pls", "brainscore-pls", "10 random splits of the stimuli into 90 % for training"),
        ("ridge", "brainscore-ridgecv", "one penalty for all sites"),
        ("banded", None, "a penalty for each layer and site"),
    ],
)
def test_methods_of_fitting(method, protocol, words):
    readout = "field" if method == "banded" else "full"
    text = text_of_encoding(fit_of(method, protocol, readout))
    assert words in text
    assert ("chosen for each site" in text) == (method == "banded")
    assert ("Schrimpf" in text) == (protocol is not None)


@pytest.fixture(scope="module")
def over_time(network, in_time):
    return {
        resample: probe.rsa(
            network, in_time, layers="act", resample=resample, n_resamples=20, time=(0, 40),
            step=20, progress=False,
        )
        for resample in ("stimuli", "none")
    }  # fmt: skip


def test_intervals_over_time_are_told_as_they_were_made(over_time):
    result = over_time["stimuli"]
    text = " ".join(methods.of_rsa_over_time(result.facts, result, Cited()))
    assert "of scores generalise to other stimuli: they are t intervals" in text
    assert "latencies of peaks are percentiles of 20 bootstrap samples of stimuli" in text
    assert "without intervals and tests, as baselines" in text
    result = over_time["none"]
    text = " ".join(methods.of_rsa_over_time(result.facts, result, Cited()))
    assert "no confidence intervals" in text
    assert "latencies" not in text


def test_the_choice_of_a_layer_is_of_half_as_many_divisions(rsa):
    assert rsa.choice.n_splits == 100
    text = " ".join(methods.of_rsa(rsa.facts, rsa, Cited()))
    assert "50 random divisions, each used both ways round" in text
    assert "correlation distance" in text


def test_works_of_one_title_are_two():
    cited = Cited()
    one = works()["he2016"]
    cited.work(one)
    cited.work(one.model_copy(update={"authors": ("Doe, Jane",)}))
    cited.work(one.model_copy(update={"title": one.title.upper()}))  # the same, of another list
    assert len(cited.all) == 2
    many = [one.model_copy(update={"title": f"T{k:02d}"}) for k in range(40)]
    keys = [key for key, _ in bibliography(many)]
    assert len(set(keys)) == 40
    assert keys == sorted(keys)


def test_sites_that_were_generated_are_said_to_be(network, encoding):
    measured = probe.tuning.tuning(network, sites=encoding, orientations=4, progress=False)
    assert measured.about["simulated"]
    about = {"model": "alexnet", "stimuli": ["gratings"], "sites": "sim-v4", "orientations": 8}
    assert "SIMULATED" in methods.of_tuning(about | {"simulated": True}, (), Cited())[0]
    assert "SIMULATED" not in methods.of_tuning(about | {"simulated": False}, (), Cited())[0]


def test_superstimuli_are_brought_to_a_budget_where_sites_look():
    budget = {"mean": 0.5, "contrast": 0.2}
    about = {"makers": ["alexnet"], "judge": "vgg16", "site": {}, "budget": budget}
    (text,) = methods.of_superstimuli(about, Cited())
    assert "brought to a mean of 0.5 and an RMS contrast of 0.2, as were" in text
    budget["masked"] = True
    (text,) = methods.of_superstimuli(about, Cited())
    assert "0.2 where a site looks, and to grey elsewhere, as" in text
