"""Methods sections, written from what was done, with whom they cite.

Every sentence stands where the result says that it was so; what a result does not say is left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from probe.assets.manifest import Manifest, manifests
from probe.output.text import count
from probe.recordings.catalogue import find_named
from probe.reporting.parts import Terms
from probe.reporting.references import Cited, of_network

METRICS = {
    "correlation": "correlation distance (1 − Pearson r)",
    "euclidean": "squared Euclidean distance, divided by the number of units",
    "cosine": "cosine distance",
    "mahalanobis": "squared Mahalanobis distance",
    "crossnobis": "cross-validated squared Mahalanobis distance (crossnobis)",
    "poisson": "the Poisson distance (symmetrised Kullback–Leibler divergence)",
}
COMPARATORS = {
    "spearman": "Spearman’s rank correlation",
    "pearson": "Pearson’s correlation",
    "cosine": "the cosine similarity",
    "rho-a": "ρ-a, the expectation of Spearman’s correlation under random breaking of ties",
    "tau-a": "Kendall’s τ-a",
    "tau-b": "Kendall’s τ-b",
    "whitened-pearson": "the whitened Pearson correlation",
    "whitened-cosine": "the whitened cosine similarity",
    "bures": "the Bures similarity",
}
POPULATIONS = {"stimuli": "stimuli", "subjects": "subjects", "both": "stimuli and subjects"}
COMPACT, COMPACT_MANIFEST = "v4-compact:", "cowley2023-compact"
"""How names of networks begin that are published neurons, and what says whose these are."""

SHOWN_LAYERS = 12
"""Layers that a text names; of more, it gives the first and the last."""


def of_rsa(facts: Mapping[str, Any], result: Any, cited: Cited) -> list[str]:
    """Describe a comparison by RDMs, at one time.

    Parameters
    ----------
    facts : mapping
        Of the result: ``model``, ``recording``, ``comparison``.
    result : RSAResult
    cited : Cited
        Remembers what is cited.
    """
    comparison, settings = facts["comparison"], result.provenance["settings"]
    first = _network_and_recording(facts, cited)
    n_resamples, n_subjects = settings["n_resamples"], len(facts["recording"]["subjects"])
    sentences = [
        *_of_rdms(facts, cited),
        _of_ceiling(facts, result.ceiling, cited),
        _of_intervals(comparison["resample"], n_resamples, cited),
        *_of_tests(result.layers, result.pairs, comparison["test"], n_resamples, n_subjects, cited),
    ]
    choice = result.choice
    if choice is not None:
        # Every division is used both ways round.
        sentences.append(
            f"The best layer was chosen on one half of the stimuli and scored on the other, in "
            f"{choice.n_splits // 2} random divisions, each used both ways round; reported are the "
            f"layer that was chosen most often, in what share of these {choice.n_splits} choices, "
            "and the mean score, of whichever layer was chosen, on the halves that had no part in "
            "the choice."
        )
    sentences.append(_of_baselines(result.table))
    return [*first, _joined(sentences), _of_software(result.provenance, cited)]


def of_rsa_over_time(facts: Mapping[str, Any], result: Any, cited: Cited) -> list[str]:
    """Describe a comparison by RDMs at every time: see `of_rsa`."""
    comparison, settings = facts["comparison"], result.provenance["settings"]
    times = result.times
    width = times[0, 1] - times[0, 0]
    n_resamples = settings["n_resamples"]
    by_subjects = comparison["resample"] == "subjects"
    permuted = (
        f"under {_flips(len(facts['recording']['subjects']), n_resamples)}"
        if by_subjects
        else f"under {n_resamples:,} permutations of the labels of the stimuli, the same at all "
        "times and in all layers"
    )
    bounds = result.table["ceiling_lower"].notna()
    where = "in each window" if bounds.all() else "in each window in which it is defined"
    sentences = [
        *_of_rdms(facts, cited),
        f"This was done in {len(times)} windows of {width:g} ms, from {times[0, 0]:g} to "
        f"{times[-1, 1]:g} ms after stimulus onset.",
        f"The noise ceiling was estimated {where} ({result.ceiling}; "
        f"{cited('nili2014' if len(facts['recording']['subjects']) > 1 else 'spearman1904')})."
        if bounds.any()
        else "",
        f"The mass of each cluster of times was compared with the largest in any layer {permuted} "
        f"({cited('maris2007', 'nichols2002')}).",
        _of_intervals(comparison["resample"], n_resamples, cited),
        f"Those of the latencies of peaks are percentiles of {n_resamples:,} bootstrap samples of "
        f"{POPULATIONS[comparison['resample']]}."
        if comparison["resample"]
        else "",
        _of_baselines(result.table, scores_alone=True),
    ]
    first = _network_and_recording(facts, cited)
    return [*first, _joined(sentences), _of_software(result.provenance, cited)]


def of_plain(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe what made a result that is known by its plain values, as its file has them.

    Parameters
    ----------
    about : mapping
        What ``to_dict`` of the result returns, and ``result.json``, ``searchlight.json`` or
        ``reliability.json`` hold.
    cited : Cited

    Returns
    -------
    list of str
        Empty of another kind.
    """
    makers = {
        "Comparison": of_comparison,
        "SearchlightResult": of_searchlight,
        "Reliability": of_reliability,
        "Transfer": of_transfer,
    }
    maker = makers.get(kind_of_plain(about))
    return maker(about, cited) if maker else []


def kind_of_plain(about: Mapping[str, Any]) -> str:
    """Return the class of a result that is known by its plain values; empty of another."""
    for kind, parts in {
        "Comparison": ("models", "data", "comparison", "pairs"),
        "SearchlightResult": ("neighbourhoods", "comparison", "recording"),
        "Reliability": ("rdms", "recording", "source"),
        "Transfer": ("pictures", "choices", "folds"),
    }.items():
        if all(part in about for part in parts):
            return kind
    return ""


def of_comparison(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe a comparison of RDMs that there were, from its plain values."""
    facts = about["comparison"]
    n_models, n_data = len(about["models"]), len(about["data"])
    table, pairs = pd.DataFrame(about["table"]), pd.DataFrame(about["pairs"])
    comparator = facts["comparator"]
    many = n_data > 1
    sentences = [
        f"{count(n_models, 'model RDM')} and {count(n_data, 'RDM')} of data "
        f"({cited('kriegeskorte2008')}) over {about['n_stimuli']} stimuli were compared by "
        f"{COMPARATORS.get(comparator, comparator)}"
        + (", and scores were averaged over the latter." if many else "."),
        "The noise ceiling lies between the mean similarity of each RDM of the data with the "
        f"pooled RDM of all others, and with that of all ({cited('nili2014')})."
        if many
        else "With one RDM of data, no noise ceiling was estimated.",
        "The data are SIMULATED: generated, not measured."
        if about.get("simulated")
        else "",
        _of_intervals(facts["resample"], facts["n_resamples"], cited),
        *_of_tests(
            table, pairs, facts["test"], facts["n_resamples"], n_data, cited, what="models",
        ),
    ]  # fmt: skip
    return [_joined(sentences), _of_software(about["provenance"], cited)]


def of_searchlight(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe a searchlight, from its plain values."""
    comparison, near = about["comparison"], about["neighbourhoods"]
    recording = about["recording"]
    places = "voxels" if "affine" in about["space"] else "vertices"
    metric, comparator = comparison["metric"], comparison["comparator"]
    of_layers = comparison["layers_metric"]
    distance = f"the {_bare(METRICS.get(metric, metric))}"
    if of_layers != metric:
        distance += f", those of the layers the {_bare(METRICS.get(of_layers, of_layers))},"
    several = len(recording["subjects"]) > 1
    test = str(comparison.get("test") or "none")
    sentences = [
        f"Around each of {about['space']['n']:,} {places}, those within "
        f"{comparison['radius_mm']:g} mm ({near['least']} to {near['most']}, median "
        f"{near['median']:g}) made a representational dissimilarity matrix (RDM) of their "
        f"responses ({cited('kriegeskorte2006', 'kriegeskorte2008')}).",
        f"RDMs hold {distance} between the patterns of every pair of stimuli; that of each layer "
        f"was compared with that of each neighbourhood by "
        f"{COMPARATORS.get(comparator, comparator)}"
        + (", and maps were averaged over subjects." if several else "."),
    ]
    if test == "none":
        sentences.append("Scores were not tested.")
    else:
        work = cited("nichols2002") if several else cited("mantel1967", "nichols2002")
        sentences.append(f"Tests are one-sided and corrected over all {places}: {test} ({work}).")
    facts = {**about, "region": _listed(list(recording["regions"]))}
    first = _network_and_recording(facts, cited)
    return [*first, _joined(sentences), _of_software(about["provenance"], cited)]


def of_reliability(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe how the reliability of a recording was measured, from its plain values."""
    recording = about["recording"]
    region = _listed(list(recording["regions"]))
    first = _about_recording(recording, region, cited)
    if about["source"] == "published":
        how = (
            "Reliabilities are those that were published with the responses, which are averages: "
            "none was measured."
        )
        return [first, how, _of_software(about["provenance"], cited)]
    metric, n_splits = about["metric"], about["n_splits"]
    rdms = pd.DataFrame(about["rdms"])
    halves = "r_halves" in rdms and rdms["r_halves"].notna().any()
    sentences = [
        "The reliability ρ of each neuroid is the share of signal in the variance, over stimuli, "
        "of averages over all repetitions, from an analysis of variance of stimuli and "
        f"repetitions ({cited('sahani2003')}).",
        f"The repetitions were divided into random halves {n_splits} times. Of each neuroid, the "
        "averages over the two halves were correlated (Pearson), and of each region and subject "
        f"the RDMs of the two halves ({METRICS.get(metric, metric)}; Spearman’s rank "
        f"correlation; {cited('nili2014')}); mean correlations over divisions were extended to "
        f"all repetitions by the Spearman–Brown formula ({cited('spearman1910')})."
        if halves
        else "",
        *(str(remark) for remark in about.get("remarks", ())),
    ]
    return [first, _joined(sentences), _of_software(about["provenance"], cited)]


def of_transfer(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe another classification of frozen layers, from its plain values."""
    model, pictures, table = about["model"], about["pictures"], pd.DataFrame(about["table"])
    counts = pictures["classes"]
    layers = table.loc[table["kind"] == "layer", "layer"].nunique()
    few = table["few_shot"].astype(bool)
    shots = sorted({int(n) for n in table.loc[few, "n_train_per_class"].dropna()})
    kinds = set(table["kind"])
    baselines = [
        *(["the same network with random weights"] if "untrained" in kinds else []),
        *dict.fromkeys(map(str, table.loc[table["kind"] == "baseline", "layer"])),
    ]
    network = [
        f"{count(layers, 'layer')} of {_network_name(model['name'], cited)}, frozen "
        f"({cited('yosinski2014')}), gave the features of {sum(counts.values()):,} pictures of "
        f"{len(counts)} classes ({pictures['name']}): {about['reduced']}.",
        *_of_weights(model, cited),
        f"Pictures were {model['preprocessing']}." if model.get("preprocessing") else "",
    ]
    sentences = [
        f"Classes were read from each layer by a linear probe ({cited('alain2017')}), a ridge "
        "classifier whose penalty was chosen inside the training pictures, leaving out one at a "
        f"time ({cited('allen1974')}), and by {about['neighbours']} nearest neighbours by cosine "
        "distance, weighted by its inverse.",
        f"Each picture was held out once in {about['folds']} stratified folds, which were drawn "
        f"{count(about['repeats'], 'time')}.",
        f"Classifiers were also trained with {_listed([str(n) for n in shots])} pictures of each "
        "class."
        if shots
        else "",
        f"95 % intervals are from {about['n_resamples']:,} bootstrap samples of the pictures."
        if about.get("n_resamples")
        else "",
        "The best layer was chosen on one half of the pictures and scored on the other, in random "
        "divisions; reported are the layer that was chosen most often, and the mean accuracy on "
        "the halves that had no part in the choice."
        if about.get("choices")
        else "",
        f"Classified in the same way, as baselines: {_listed(baselines)}."
        if baselines
        else "No baselines were computed.",
        *(str(remark) for remark in about.get("remarks", ())),
    ]
    return [_joined(network), _joined(sentences), _of_software(about["provenance"], cited)]


def of_encoding(facts: Mapping[str, Any], result: Any, cited: Cited) -> list[str]:
    """Describe the prediction of recorded sites from layers.

    Parameters
    ----------
    facts : mapping
        Of the result: ``model``, ``recording``, ``fit``.
    result : Encoding or EncodingOverTime
    cited : Cited
    """
    fit, settings = facts["fit"], result.provenance["settings"]
    sentences = [_of_fit(facts, settings, cited)]
    sentences.append(_of_readout(fit, cited))
    chosen = fit.get("chosen_by")
    # How many there are is not how many are left inside the training stimuli of a split.
    left_out = "one group of stimuli" if "groups" in str(chosen) else "one stimulus"
    if chosen and fit["method"] != "pls" and fit["protocol"] is None:
        sentences.append(
            f"Penalties{' and pooling fields' if fit['readout'] == 'field' else ''} were chosen "
            f"for each site inside the training stimuli, leaving out {left_out} at a time "
            f"({cited('allen1974')})."
        )
    if "chosen" in set(result.table["kind"]):
        sentences.append(
            "Each site was also predicted from a layer of its own, which was chosen inside the "
            f"training stimuli, leaving out {left_out} at a time."
        )
    sentences += [r for r in fit.get("remarks", ()) if r.startswith("Sites are read from")]
    # A splitter of the user's, and that of a protocol, may not look at groups.
    if (
        "groups" in fit["units"]
        and fit["protocol"] is None
        and isinstance(settings.get("splits"), int)
    ):
        sentences.append(f"There were {fit['units']}, each of which was held out as a whole.")
    sentences.append(f"Scores are of stimuli that were held out: {fit['aggregate']}.")
    if hasattr(result, "generalisation"):
        times = result.times
        sentences.append(
            f"Sites were fitted in each of {len(times)} windows of {times[0, 1] - times[0, 0]:g} "
            f"ms, from {times[0, 0]:g} to {times[-1, 1]:g} ms after stimulus onset, and each fit "
            "was tested in all windows."
        )
    else:
        sentences += _of_encoding_scores(result, cited)
    if "r_low" in result.table and result.table["r_low"].notna().any():
        of_samples = (
            f"{fit['n_resamples']:,} bootstrap samples of "
            f"{'the ' if fit['units'] != 'stimuli' else ''}{fit['units']}"
        )
        banded = fit["method"] == "banded"
        of_bands = ", and of what layers contribute to R²," if banded else ""
        # A fit of earlier versions has percentiles everywhere.
        sentences.append(
            f"95 % intervals of medians over sites are t intervals around the score, with the "
            f"standard deviation over {of_samples} for its standard error; those of single sites"
            f"{of_bands} are percentiles of the same samples."
            if fit.get("intervals")
            else f"95 % intervals are percentiles of {of_samples}."
        )
    pairs = getattr(result, "pairs", None)
    if pairs is not None and len(pairs) and pairs["p"].notna().any():
        who = "Layers and all of them together" if fit["method"] == "banded" else "Layers"
        sentences.append(
            f"{who} were compared with each other by two-sided t-tests of the mean difference in r "
            "over sites, with a variance over stimuli and sites from bootstrap samples of both "
            f"({cited('schutt2023')}); p-values are given as they are, and corrected over pairs "
            f"{_by_both(cited)}."
        )
    sentences.append(_of_encoding_baselines(result.table))
    first = _network_and_recording(facts, cited)
    return [*first, _joined(sentences), _of_software(result.provenance, cited)]


_MAP_WORKS: Mapping[str, Sequence[str]] = {
    "gradient": ("simonyan2014",),
    "input-x-gradient": ("shrikumar2016",),
    "smoothgrad": ("smilkov2017",),
    "vargrad": ("adebayo2018",),
    "integrated-gradients": ("sundararajan2017",),
    "expected-gradients": ("erion2021",),
    "deeplift": ("shrikumar2017",),
    "lrp": ("bach2015",),
    "guided-backprop": ("springenberg2015",),
    "deconvnet": ("zeiler2014",),
    "occlusion": ("zeiler2014",),
    "rise": ("petsiuk2018",),
    "guided-grad-cam": ("selvaraju2017", "springenberg2015"),
    "grad-cam": ("selvaraju2017",),
    "grad-cam++": ("chattopadhay2018",),
    "hires-cam": ("draelos2020",),
    "layer-cam": ("jiang2021",),
    "score-cam": ("wang2020",),
    "ablation-cam": ("desai2020",),
    "attention-rollout": ("abnar2020",),
    "attention-grad-cam": ("chefer2021",),
}
"""Which works describe a method of attribution."""


def of_saliency(
    maps: Sequence[Mapping[str, Any]], cited: Cited, used: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """Describe maps of one picture.

    Parameters
    ----------
    maps : sequence of mapping
        What the metadata of each say.
    cited : Cited
    used : sequence of mapping, optional
        All settings of each map's method, those with their default value, too.
    """
    sentences = []
    for k, about in enumerate(maps):
        method = str(about.get("method", ""))
        works = _MAP_WORKS.get(method)
        how = f"{method} ({cited(*works)})" if works else method
        at = f" at layer {about['layer']}" if about.get("layer") else ""
        settings = used[k] if used else about.get("settings")
        told = ""
        if isinstance(settings, Mapping) and settings:
            told = f", with {_settings_text(settings)}"
        sentences.append(
            f"Which parts of the picture {about.get('image', '')} drive {about.get('target', '')} "
            f"of {_network_name(str(about.get('model', '')), cited)} was computed by "
            f"{how}{at}{told}."
        )
    first = maps[0] if maps else {}
    if first.get("preprocessing"):
        sentences.append(f"The picture was {first['preprocessing']}.")
    return [_joined([*sentences, *_of_weights(first)]), *_of_sites(first, cited)]


def _of_sites(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe the recorded sites that are the target of a picture, a paragraph each."""
    paragraphs = []
    for site in _sites_in(about):
        papers = [
            work for m in _manifests_of(str(site.get("recording"))) for work in m.publications
        ]
        of = "; ".join(dict.fromkeys(cited.work(work) for work in papers))
        simulated = " The recording is SIMULATED: its responses were generated, not measured."
        paragraphs.append(
            f"The target is a recorded site, predicted by a readout of the network that was fitted "
            f"to {site.get('n_stimuli')} stimuli{f' ({of})' if of else ''}: {site.get('said')}."
            + (simulated if site.get("simulated") else "")
        )
    return paragraphs


def of_dream(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe a dream, from what its metadata say."""
    settings = about["settings"]
    what = settings.get("target") or settings.get("layers")
    like = f", like those to {settings['guide']}" if settings.get("guide") else ""
    sentences = [
        f"The picture {about.get('image', '')} was changed by gradient ascent so that it drives "
        f"{what} of {_network_name(str(about['model']), cited)} more{like} (DeepDream; "
        f"{cited('mordvintsev2015')}), in {count(settings['octaves'], 'octave')} of "
        f"{count(settings['steps'], 'step')} each.",
        *_of_weights(about),
        f"Random numbers have the seed {about['seed']}." if about.get("seed") is not None else "",
    ]
    return [_joined(sentences), *_of_sites(about, cited)]


def of_style(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe a picture in the style of others, from what its metadata say."""
    settings, content = about["settings"], about.get("content")
    styles = _listed([str(style["name"]) for style in about["styles"]])
    network = _network_name(str(about["model"]), cited)
    layers = ", ".join(settings["layers"])
    statistics = {
        "gram": "the Gram matrices of features",
        "wasserstein": "means and covariances of features, by the squared 2-Wasserstein distance "
        "between normal distributions,",
    }.get(settings["loss"], settings["loss"])
    made = f"{content['name']} was painted anew in the style of" if content else (
        "A texture was made of"
    )  # fmt: skip
    like_content = (
        f", and for its content like those of the picture at {settings['content_layer']}"
        if content
        else ""
    )
    sentences = [
        f"{made} {styles}, by optimising the picture so that {statistics} of {network} are like "
        f"those of the style at {layers}{like_content} (after {cited('gatys2016')}), in "
        f"{count(settings['steps'], 'step')} at most.",
        *_of_weights(about),
        f"Random numbers have the seed {about['seed']}." if about.get("seed") is not None else "",
    ]
    return [_joined(sentences)]


def of_visualisation(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe pictures of what a network looks for, from what their metadata say."""
    settings, names = about["settings"], [str(name) for name in about["targets"]]
    few = names[:SHOWN_LAYERS]
    more = f" and {len(names) - len(few)} more" if len(names) > len(few) else ""
    sentences = [
        f"Pictures were made that drive {', '.join(few)}{more} of "
        f"{_network_name(str(about['model']), cited)}, by gradient ascent from noise "
        f"({cited('olah2017')}), with the parameterisation {settings['parameterisation']} and "
        f"{count(settings['steps'], 'step')} at most.",
        *_of_weights(about),
        f"Random numbers have the seed {about['seed']}." if about.get("seed") is not None else "",
    ]
    return [_joined(sentences), *_of_sites(about, cited)]


def terms_of_picture(about: Mapping[str, Any]) -> list[Terms]:
    """Return on what terms the weights and the recording behind a picture may be used."""
    listed = []
    for site in _sites_in(about):
        listed += _terms_of_recording({"name": str(site.get("recording")), **site})
    if isinstance(about.get("weights"), str) and about.get("model"):
        model = {"name": about["model"], "weights_source": about["weights"]}
        listed += _terms_of_weights({**model, "weights_kind": "published"})
    return listed


def of_superstimuli(about: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe pictures that were made for recorded sites, from what their metadata say."""
    makers = about.get("makers") or []
    networks = _listed([_network_name(str(name), cited) for name in makers])
    sites = about.get("site") or {}
    recordings = dict.fromkeys(str(one.get("recording")) for one in sites.values())
    papers = [
        cited.work(work)
        for name in recordings
        for m in _manifests_of(name)
        for work in m.publications
    ]
    of = f" ({'; '.join(dict.fromkeys(papers))})" if papers else ""
    sentences = [
        f"Pictures were made to drive recorded sites of {_listed(list(recordings))}{of}, as "
        f"predicted by readouts of {networks} that were fitted to one half of the stimuli.",
        f"They were judged by {_network_name(str(about.get('judge')), cited)}, fitted to the other "
        "half of the stimuli.",
    ]
    budget = about.get("budget")
    if isinstance(budget, Mapping) and {"mean", "contrast"} <= set(budget):
        sentences.append(
            f"All pictures were brought to a mean of {budget['mean']:.3g} and an RMS contrast of "
            f"{budget['contrast']:.3g}"
            + (" where a site looks, and to grey elsewhere" if budget.get("masked") else "")
            + ", as were the recorded stimuli that are shown beside them."
        )
    if about.get("simulated"):
        sentences.append("The recording is SIMULATED: its responses were generated, not measured.")
    return [_joined(sentences)]


def of_tuning(about: Mapping[str, Any], sources: Sequence[str], cited: Cited) -> list[str]:
    """Describe the measurement of tuning, from what its metadata say."""
    stimuli = about.get("stimuli") or []
    whose = f"sites of {about['sites']}" if about.get("sites") else "units"
    sentences = [
        f"Tuning of {whose} of {_network_name(str(about.get('model', '')), cited)} was measured "
        f"as in a recording, with {', '.join(map(str, stimuli))} shown on mid-grey at the size of "
        "the network’s input.",
        *_of_weights(about),
        "The recording is SIMULATED: its responses were generated, not measured."
        if about.get("simulated")
        else "",
    ]
    if about.get("orientations") and "gratings" in stimuli:
        sentences.append(
            f"Sinusoidal gratings of {about['orientations']} orientations were shown at several "
            "spatial frequencies and phases each; F0 is the mean response over phases, F1 the "
            "amplitude of its first harmonic."
        )
    degrees = about.get("degrees")
    sentences.append(
        f"A picture was taken to span {degrees:g}° of visual field."
        if degrees
        else "Frequencies and sizes are relative to the picture."
    )
    if sources:
        sentences.append(
            f"Distributions were compared with published ones ({'; '.join(sources)}) by the "
            "greatest gap between cumulative shares, D."
        )
    return [_joined(sentences)]


def terms_of(facts: Mapping[str, Any]) -> list[Terms]:
    """Return on what terms the data and the weights of a comparison may be used."""
    return [*_terms_of_recording(facts["recording"]), *_terms_of_weights(facts["model"])]


def terms_of_plain(facts: Mapping[str, Any]) -> list[Terms]:
    """Return on what terms the data and the weights may be used that a result has, if any."""
    recording, model = facts.get("recording"), facts.get("model")
    return [
        *(_terms_of_recording(recording) if isinstance(recording, Mapping) else ()),
        *(_terms_of_weights(model) if isinstance(model, Mapping) else ()),
    ]


def _terms_of_recording(recording: Mapping[str, Any]) -> list[Terms]:
    listed = []
    for manifest in _manifests_of(recording["name"]):
        note = f". {manifest.licence.note}" if manifest.licence.note else ""
        listed.append(
            Terms(
                f"{manifest.title} ({manifest.name})",
                f"{manifest.licence.name}{note}",
                " ".join(f"{work}." for work in manifest.publications),
                manifest.homepage,
            )
        )
    if not listed:
        simulated = bool(recording.get("simulated"))
        listed.append(
            Terms(
                f"Recording {recording['name']}" + (" (SIMULATED)" if simulated else ""),
                str(recording.get("licence") or "not stated"),
                str(recording.get("citation") or ""),
            )
        )
    return listed


def _terms_of_weights(model: Mapping[str, Any]) -> list[Terms]:
    """Return on what terms weights may be used, of those that somebody published."""
    name, source = str(model["name"]), str(model.get("weights_source") or "")
    if name.startswith(COMPACT):
        of_neurons = manifests()[COMPACT_MANIFEST]
        return [
            Terms(
                of_neurons.title,
                of_neurons.licence.name,
                " ".join(f"{work}." for work in of_neurons.publications),
                of_neurons.homepage,
            )
        ]
    made_here = source.startswith(("random initialisation", "the user's own"))
    if made_here or model.get("weights_kind") not in ("imagenet", "published"):
        return []  # they were drawn or made here, or are the user's
    licence = str(model.get("weights_licence") or "not stated: ask the source")
    return [Terms(f"Weights of {name}", licence, "", source)]


def _manifests_of(name: str) -> list[Manifest]:
    """Return the manifest of a recording, and that of its pictures, if it has another one.

    Parameters
    ----------
    name : str
        As the recording has it: ``cowley2023/210325``.
    """
    try:
        named = find_named(name)
    except ValueError:
        return []
    if named is None or name.partition("/")[0] != named.manifest.name:
        return []  # a folder of a user's may be called like a short name, such as v4
    of_pictures = named.manifest.stimuli_from
    return [named.manifest, *([manifests()[of_pictures]] if of_pictures else [])]


def _network_and_recording(facts: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe which network and which recording were compared: a paragraph each."""
    model = facts["model"]
    layers = list(model["layers"])
    named = (
        ", ".join(layers)
        if len(layers) <= SHOWN_LAYERS
        else f"{', '.join(layers[:3])}, …, {layers[-1]}"
    )
    network = [
        f"Activations were taken from {count(len(layers), 'layer')} of "
        f"{_network_name(model['name'], cited, str(model.get('weights_kind', '')))}: {named}.",
        *_of_weights(model, cited),
        f"Stimuli were {model['preprocessing']}." if model.get("preprocessing") else "",
    ]
    recording = facts["recording"]
    region = facts.get("region") or recording.get("region")
    return [_joined(network), _about_recording(recording, region, cited)]


def _about_recording(recording: Mapping[str, Any], region: Any, cited: Cited) -> str:
    """Describe which recording it is, and what of it was used."""
    simulated = bool(recording.get("simulated"))
    works = [cited.work(work) for m in _manifests_of(recording["name"]) for work in m.publications]
    source = f" ({'; '.join(dict.fromkeys(works))})" if works else ""
    if not works and recording.get("citation"):
        source = f" ({recording['citation']})"
    subjects = recording["subjects"]
    n_subjects = f"{len(subjects)} subjects" if len(subjects) > 1 else f"subject {subjects[0]}"
    neuroids = recording.get("n_neuroids")
    of_what = f"{count(neuroids, 'neuroid')} of {n_subjects}" if neuroids else n_subjects
    about_data = [
        f"The recording is {'SIMULATED: its responses were generated, not measured' if simulated else _title(recording)}"  # noqa: E501
        f"{source}.",
        f"From it, {of_what} in {region} entered, with "
        f"{recording['n_stimuli']:,} stimuli{_repetitions(recording)}.",
    ]
    if selection := recording.get("selection"):
        which, _, how_many = str(selection["said"]).partition(": ")
        about_data.append(f"Only {which} were used ({how_many}).")
    if window := recording.get("window"):
        about_data.append(
            f"Responses are those from {window[0]:g} to {window[1]:g} ms after stimulus onset."
        )
    if recording.get("response_unit"):
        about_data.append(f"Responses are {recording['response_unit']}.")
    return _joined(about_data)


def _title(recording: Mapping[str, Any]) -> str:
    return f"“{recording.get('title') or recording['name']}”"


def _repetitions(recording: Mapping[str, Any]) -> str:
    repetitions = recording.get("n_repetitions")
    if recording.get("averaged"):
        return ", of each of which the mean over repetitions was published"
    if not repetitions:
        return ""
    least, most = min(repetitions), max(repetitions)
    if most == 1:
        return ", with one presentation of each"
    # Not how often each was shown: some presentations may be missing, or have been used to choose.
    return f", with {least if least == most else f'{least} to {most}'} presentations of each"


def _network_name(name: str, cited: Cited, kind: str = "") -> str:
    """Return a network with the work that describes it; a user's own may have any name."""
    if name.startswith(COMPACT):
        works = manifests()[COMPACT_MANIFEST].publications
        return f"{name} ({'; '.join(cited.work(work) for work in works)})"
    work = of_network(name) if kind != "user" else None
    return f"{name} ({cited(work)})" if work else name


def _of_weights(model: Mapping[str, Any], cited: Cited | None = None) -> list[str]:
    """Describe the weights, as far as they are told."""
    kind = model.get("weights_kind") or model.get("weights")
    source = model.get("weights_source")
    digest = str(model.get("weights_sha256") or "")
    if kind is None:
        return []
    of_digest = f" (SHA-256 {digest[:12]}…)" if digest else ""
    if kind == "random":
        seed = model.get("weights_seed")
        return ["It was not trained" + (f" (seed {seed})." if seed is not None else ".")]
    # With what else, or instead, these were trained is not known here.
    elsewhere = str(source or "").startswith("timm ") or "SWAG" in str(source or "")
    if kind == "imagenet" and not elsewhere:
        on = f"on ImageNet ({cited('russakovsky2015')})" if cited else "on ImageNet"
        return [f"It had been trained {on}; weights: {source or 'imagenet'}{of_digest}."]
    return [f"Weights: {source or kind}{of_digest}."]


def _of_rdms(facts: Mapping[str, Any], cited: Cited) -> list[str]:
    comparison = facts["comparison"]
    metric, comparator = comparison["metric"], comparison["comparator"]
    works = ["kriegeskorte2008"]
    works += ["walther2016"] if metric in ("mahalanobis", "crossnobis") else []
    if metric in ("mahalanobis", "crossnobis", "poisson"):
        works += ["schutt2023"] if metric == "poisson" else []
        distance = (
            f"Representational dissimilarity matrices (RDMs) of the recording hold the "
            f"{_bare(METRICS[metric])}, those of the layers the {METRICS['euclidean']}, between "
            f"the patterns of every pair of stimuli ({cited(*works)})."
        )
    else:
        distance = (
            f"Representational dissimilarity matrices (RDMs) hold the "
            f"{METRICS.get(metric, metric)} between the patterns of every pair of stimuli, for "
            f"each layer and each subject ({cited(*works)})."
        )
        if facts["recording"].get("kind") == "rdms":
            distance += (
                " Those of the subjects are part of the recording, and were not computed anew; "
                "several of one subject were averaged."
            )
    whitened = comparator.startswith("whitened")
    work = f" ({cited('diedrichsen2021' if whitened else 'schutt2023')})" if (
        whitened or comparator == "rho-a"
    ) else ""  # fmt: skip
    many = len(facts["recording"]["subjects"]) > 1
    return [
        distance,
        f"The RDM of each layer was compared with that of {'each' if many else 'the'} subject by "
        f"{COMPARATORS.get(comparator, comparator)}{work}"
        + (", and scores were averaged over subjects." if many else "."),
    ]


def _bare(text: str) -> str:
    return text.removeprefix("the ")


def _of_ceiling(facts: Mapping[str, Any], ceiling: Any, cited: Cited) -> str:
    if not ceiling.known:
        return f"No noise ceiling was estimated ({ceiling.kind})."
    if len(facts["recording"]["subjects"]) > 1:
        return (
            "The noise ceiling lies between the mean similarity of each subject’s RDM with the "
            "pooled RDM of all other subjects, and with that of all subjects "
            f"({cited('nili2014')})."
        )
    return (
        "The noise ceiling lies between the split-half reliability of the subject’s RDM, corrected "
        f"by the Spearman–Brown formula, and its square root ({cited('spearman1904')})."
    )


def _of_intervals(resample: str | None, n_resamples: int, cited: Cited) -> str:
    if not resample:
        return "Nothing was resampled: there are no confidence intervals."
    start = (
        f"95 % confidence intervals of scores generalise to other {POPULATIONS[resample]}: they "
        f"are t intervals around the score ({cited('schutt2023')})"
    )
    if resample == "subjects":
        return f"{start}, with the variance over subjects."
    over_stimuli = (
        f"over stimuli that was estimated from the jackknife and {n_resamples:,} bootstrap samples "
        f"({cited('efron1981')})"
    )
    if resample == "stimuli":
        return f"{start}, with a variance {over_stimuli}."
    return (
        f"{start}, with a variance {over_stimuli} and the variance over subjects, of which what "
        "both have in common counts once."
    )


def _flips(n_subjects: int, n_resamples: int) -> str:
    """Describe how many flips of signs were made: all there are, if they are not more."""
    if 2.0**n_subjects <= n_resamples + 1:
        return f"all {2**n_subjects} flips of the signs of subjects"
    return f"{n_resamples:,} random flips of the signs of subjects"


def _by_both(cited: Cited) -> str:
    return (
        f"by the false discovery rate ({cited('benjamini1995')}) and by Holm’s method "
        f"({cited('holm1979')})"
    )


def _of_tests(
    table: Any,
    pairs: Any,
    test: str,
    n_resamples: int,
    n_subjects: int,
    cited: Cited,
    what: str = "layers",
) -> list[str]:
    """Describe those tests of which there are p-values, and how these were corrected."""
    how = {
        "t": "t-tests, with the standard errors of the intervals",
        "bootstrap": f"the share of {n_resamples:,} bootstrap samples on the other side of zero",
        "sign-flip": _flips(n_subjects, n_resamples),
    }
    sentences = []
    if table["p_zero"].notna().any():
        works = {"permutation": "mantel1967", "sign-flip": "nichols2002"}
        by = how.get(test, f"{n_resamples:,} permutations of the stimulus labels")
        work = f" ({cited(works[test])})" if test in works else ""
        sentences.append(f"Scores were tested against zero (one-sided) by {by}{work}.")
    else:
        sentences.append(
            "Scores were not tested against zero, which is not what RDMs that have nothing in "
            "common score with this comparator."
        )
    if has_pairs := bool(len(pairs)) and bool(pairs["p"].notna().any()):
        # Labels that are permuted say nothing of pairs.
        by = how.get(test, how["t"])
        sentences.append(f"{_capital(what)} were compared with each other (two-sided) by {by}.")
    if table["p_ceiling"].notna().any():
        sentences.append(
            "Scores were compared with the lower bound of the noise ceiling by one-sided t-tests."
        )
    if len(table) > 1:
        over = f"over {what}{' and over pairs of them' if has_pairs else ''}"
        sentences.append(f"P-values are given as they are, and corrected {over} {_by_both(cited)}.")
    return sentences


def _of_baselines(table: Any, *, scores_alone: bool = False) -> str:
    """Describe baselines; untrained networks, and over time all, have scores and no tests."""
    kinds = set(table["kind"])
    parts = []
    if "pixels" in kinds:
        parts.append("the pixels of the network’s input")
    if "untrained" in kinds:
        n = table.loc[table["kind"] == "untrained", "init_seed"].nunique() if (
            "init_seed" in table
        ) else 0  # fmt: skip
        told = [*([count(n, "seed")] if n else []), *([] if scores_alone else ["scores alone"])]
        parts.append(
            "the same network with random weights" + (f" ({'; '.join(told)})" if told else "")
        )
    if "classic" in kinds:
        names = dict.fromkeys(table.loc[table["kind"] == "classic", "type"])
        parts.append(f"earlier features and networks ({', '.join(map(str, names))})")
    if not parts:
        return "No baselines were computed."
    alone = ", but without intervals and tests" if scores_alone else ""
    return f"Compared in the same way{alone}, as baselines: {_listed(parts)}."


def _of_fit(facts: Mapping[str, Any], settings: Mapping[str, Any], cited: Cited) -> str:
    fit, layers = facts["fit"], facts["model"]["layers"]
    method, protocol = fit["method"], fit.get("protocol")
    repetitions = facts["recording"].get("n_repetitions") or [1, 1]
    averaged = ", averaged over repetitions," if max(repetitions) > 1 else ""
    text = f"Each site’s response{averaged} was predicted from each layer ({cited('yamins2014')}) "
    pls = (
        f"by partial least squares with at most {settings.get('n_components')} components, which "
        "all sites share"
    )
    if protocol:
        how = pls if method == "pls" else (
            "by ridge regression with one penalty for all sites, which was chosen inside the "
            "training stimuli, leaving out one at a time"
        )  # fmt: skip
        return (
            f"{text}{how}: a regression of Brain-Score ({protocol}; {cited('schrimpf2018')}), with "
            f"all units of the layer, in {fit['n_splits']} random splits of the stimuli into 90 % "
            "for training and 10 % for testing."
        )
    if method == "pls":
        return f"{text}{pls}."
    text += "by ridge regression"
    if method == "banded":
        text += (
            f", and from all {len(layers)} layers together by banded ridge regression, with a "
            f"penalty for each layer and site ({cited('nunezelizalde2019', 'dupre2022')}); R² was "
            "divided among the layers by the product measure"
        )
    return f"{text}."


def _of_readout(fit: Mapping[str, Any], cited: Cited) -> str:
    pooled = "Channels were pooled over positions with a Gaussian field for each site"
    together = ", one for all layers that were read together" if fit["method"] == "banded" else ""
    text = {
        "flat": "Channels were averaged over all positions.",
        "full": "Every unit of a layer was a predictor.",
    }.get(fit["readout"], "")
    if fit["readout"] == "field":
        text = f"{pooled}{together} ({cited('styves2018')})."
    unpooled = [r for r in fit.get("remarks", ()) if r.startswith("Read in full")]
    return " ".join([text, *unpooled])


def _of_encoding_scores(result: Any, cited: Cited) -> list[str]:
    columns = {name for name in result.sites if result.sites[name].notna().any()}
    parts = []
    if "r_ceiled" in columns:
        parts.append(f"r divided by the root of the reliability ρ ({cited('schoppe2016')})")
    if "r2_er" in columns:
        parts.append(f"r² without the bias of noise, r²_ER ({cited('pospisil2021')})")
    if "feve" in columns:
        parts.append(f"the fraction of explainable variance, FEVE ({cited('cadena2019')})")
    return [f"Scores besides r: {_listed(parts)}."] if parts else []


def _of_encoding_baselines(table: Any) -> str:
    kinds = set(table["kind"])
    names = {
        "pixels": "the pixels", "gabor": "Gabor energy",
        "untrained": "the same network with random weights",
        "classic": "earlier features and networks",
    }  # fmt: skip
    parts = [name for kind, name in names.items() if kind in kinds]
    if "shuffled" in table and table["shuffled"].notna().any():
        parts.append("responses that were permuted over stimuli")
    return f"Fitted in the same way, as baselines: {_listed(parts)}." if parts else (
        "No baselines were fitted."
    )  # fmt: skip


def _of_software(provenance: Mapping[str, Any], cited: Cited) -> str:
    versions = dict(provenance.get("versions") or {})
    if not versions:
        return ""
    works = {"torch": "paszke2019", "numpy": "harris2020", "scikit-learn": "pedregosa2011"}
    names = {"torch": "PyTorch", "numpy": "NumPy", "scikit-learn": "scikit-learn"}
    parts = [
        f"{names[key]} {versions[key]} ({cited(work)})"
        for key, work in works.items()
        if key in versions
    ]
    of_probe = versions.get("cnn-probe")
    with_others = f" with {_listed(parts)}" if parts else ""
    seed = (provenance.get("settings") or {}).get("seed")
    of_seed = f" Random numbers have the seed {seed}." if seed is not None else ""
    return f"All was computed by probe {of_probe}{with_others}.{of_seed}" if of_probe else ""


def _sites_in(about: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what the metadata of a picture say of each recorded site."""
    site = about.get("site")
    if not isinstance(site, Mapping):
        return []
    several = [site] if "said" in site else list(site.values())
    return [one for one in several if isinstance(one, Mapping) and one.get("said")]


def _settings_text(settings: Mapping[str, Any]) -> str:
    texts = []
    for name, value in settings.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        text = f"{name} {value:g}" if is_number else f"{name} {value}"
        # 0 of the normalised input is the mean colour, and not black.
        texts.append(
            f"{text} of the normalised input" if name == "baseline" and is_number else text
        )
    return ", ".join(texts)


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(textwrap.dedent(sentence) for sentence in sentences if sentence)
