"""Methods sections, written from what was done, with whom they cite.

Every sentence stands where the result says that it was so; what a result does not say is left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

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
    n_resamples = settings["n_resamples"]
    sentences = [
        *_of_rdms(facts, cited),
        _of_ceiling(facts, result.ceiling, cited),
        _of_intervals(comparison["resample"], n_resamples, cited),
        _of_test(comparison["test"], n_resamples, cited),
    ]
    choice = result.choice
    if choice is not None:
        sentences.append(
            f"The best layer was chosen on one random half of the stimuli and scored on the other, "
            f"in {choice.n_splits} splits; reported are the share of splits that chose it, and the "
            "mean score on the other halves."
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
        "flipping the signs of whole subjects"
        if by_subjects
        else "permuting the labels of the stimuli, in the same way at all times and in all layers"
    )
    sentences = [
        *_of_rdms(facts, cited),
        f"This was done in {len(times)} windows of {width:g} ms, from {times[0, 0]:g} to "
        f"{times[-1, 1]:g} ms after stimulus onset.",
        f"The noise ceiling was estimated in each window ({result.ceiling}; "
        f"{cited('nili2014' if len(facts['recording']['subjects']) > 1 else 'spearman1904')})."
        if result.table["ceiling_lower"].notna().any()
        else "",
        f"Clusters of times were tested with the largest cluster mass in any layer under "
        f"{n_resamples:,} permutations, {permuted} ({cited('maris2007', 'nichols2002')}).",
        f"Intervals (95 %) of scores and of latencies of the peaks are from {n_resamples:,} "
        f"bootstrap samples of {POPULATIONS[comparison['resample']]}."
        if comparison["resample"]
        else "",
        _of_baselines(result.table),
    ]
    first = _network_and_recording(facts, cited)
    return [*first, _joined(sentences), _of_software(result.provenance, cited)]


def of_comparison(result: Any, cited: Cited) -> list[str]:
    """Describe a comparison of RDMs that there were."""
    facts = result.facts
    n_models, n_data = len(result.models), len(result.data)
    comparator = facts["comparator"]
    many = n_data > 1
    sentences = [
        f"{count(n_models, 'model RDM')} and {count(n_data, 'RDM')} of data "
        f"({cited('kriegeskorte2008')}) over {result.models.n_stimuli} stimuli were compared by "
        f"{COMPARATORS.get(comparator, comparator)}"
        + (", and scores were averaged over the latter." if many else "."),
        "The noise ceiling lies between the mean similarity of each RDM of the data with the "
        f"pooled RDM of all others, and with that of all ({cited('nili2014')})."
        if many
        else "With one RDM of data, no noise ceiling was estimated.",
        _of_intervals(facts["resample"], facts["n_resamples"], cited),
        _of_test(facts["test"], facts["n_resamples"], cited).replace("over layers", "over models")
        .replace("layers against", "models against"),
    ]  # fmt: skip
    return [_joined(sentences), _of_software(result.provenance, cited)]


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
    sentences = [_of_fit(fit, settings, facts["model"]["layers"], cited)]
    sentences.append(_of_readout(fit, cited))
    chosen = fit.get("chosen_by")
    if chosen and fit["method"] != "pls" and fit["protocol"] is None:
        sentences.append(
            f"Penalties{' and pooling fields' if fit['readout'] == 'field' else ''} were chosen "
            f"for each site inside the training stimuli, by {chosen} ({cited('allen1974')})."
        )
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
        sentences.append(
            f"95 % intervals are over {fit['units']}, from {fit['n_resamples']:,} bootstrap "
            "samples."
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
    paragraphs = [_joined([*sentences, *_of_weights(first)])]
    for site in _sites_in(first):
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
            f"All pictures had a mean of {budget['mean']:.3g} and an RMS contrast of "
            f"{budget['contrast']:.3g}, as had the recorded stimuli that they are shown beside."
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
    ]
    if about.get("orientations") and "gratings" in stimuli:
        sentences.append(
            f"Sinusoidal gratings of {about['orientations']} orientations were shown at all "
            "spatial frequencies and phases; F0 is the mean response over phases, F1 its "
            "modulation by phase."
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
    """Return the manifest of a recording, and that of its pictures, if it has another one."""
    try:
        named = find_named(name)
    except ValueError:
        return []
    if named is None:
        return []
    of_pictures = named.manifest.stimuli_from
    return [named.manifest, *([manifests()[of_pictures]] if of_pictures else [])]


def _network_and_recording(facts: Mapping[str, Any], cited: Cited) -> list[str]:
    """Describe which network and which recording were compared: a paragraph each."""
    model, recording = facts["model"], facts["recording"]
    layers = list(model["layers"])
    named = (
        ", ".join(layers)
        if len(layers) <= SHOWN_LAYERS
        else f"{', '.join(layers[:3])}, …, {layers[-1]}"
    )
    network = [
        f"Activations were taken from {count(len(layers), 'layer')} of "
        f"{_network_name(model['name'], cited)}: {named}.",
        *_of_weights(model, cited),
        f"Stimuli were {model['preprocessing']}." if model.get("preprocessing") else "",
    ]
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
        f"From it, {of_what} in {facts.get('region') or recording.get('region')} entered, with "
        f"{recording['n_stimuli']:,} stimuli{_repetitions(recording)}.",
    ]
    if selection := recording.get("selection"):
        about_data.append(f"{_capital(selection['said'])}.")
    if window := recording.get("window"):
        about_data.append(
            f"Responses were counted from {window[0]:g} to {window[1]:g} ms after stimulus onset."
        )
    if recording.get("response_unit"):
        about_data.append(f"Responses are {recording['response_unit']}.")
    return [_joined(network), _joined(about_data)]


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
        return ", each shown once"
    return f", each shown {least if least == most else f'{least} to {most}'} times"


def _network_name(name: str, cited: Cited) -> str:
    if name.startswith(COMPACT):
        works = manifests()[COMPACT_MANIFEST].publications
        return f"{name} ({'; '.join(cited.work(work) for work in works)})"
    work = of_network(name)
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
    if kind == "imagenet":
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
    return (
        f"95 % confidence intervals generalise to other {POPULATIONS[resample]}: they are t "
        f"intervals, with a variance from the jackknife and {n_resamples:,} bootstrap samples "
        f"({cited('schutt2023', 'efron1981')})."
        if resample != "subjects"
        else "95 % confidence intervals generalise to other subjects: they are t intervals over "
        f"subjects ({cited('schutt2023')})."
    )


def _of_test(test: str, n_resamples: int, cited: Cited) -> str:
    how = {
        "permutation": f"by {n_resamples:,} permutations of the stimulus labels "
        f"({cited('mantel1967')})",
        "t": "by t-tests",
        "bootstrap": "by the share of bootstrap samples on the other side of zero",
        "sign-flip": "by flipping the signs of subjects",
    }.get(test, test)
    return (
        f"Scores were tested against zero (one-sided) {how}, and layers against each other by "
        "two-sided t-tests; p-values were corrected over layers and over pairs by the false "
        f"discovery rate ({cited('benjamini1995')}) and by Holm’s method ({cited('holm1979')})."
    )


def _of_baselines(table: Any) -> str:
    kinds = set(table["kind"])
    parts = []
    if "pixels" in kinds:
        parts.append("the pixels of the network’s input")
    if "untrained" in kinds:
        n = table.loc[table["kind"] == "untrained", "init_seed"].nunique() if (
            "init_seed" in table
        ) else 0  # fmt: skip
        parts.append(
            "the same network with random weights" + (f" ({count(n, 'seed')})" if n else "")
        )
    if "classic" in kinds:
        names = dict.fromkeys(table.loc[table["kind"] == "classic", "type"])
        parts.append(f"earlier features and networks ({', '.join(map(str, names))})")
    if not parts:
        return "No baselines were computed."
    return f"Compared in the same way, as baselines: {_listed(parts)}."


def _of_fit(
    fit: Mapping[str, Any], settings: Mapping[str, Any], layers: Sequence[str], cited: Cited
) -> str:
    method, protocol = fit["method"], fit.get("protocol")
    if protocol:
        return (
            f"Sites were predicted as Brain-Score does (protocol {protocol}; "
            f"{cited('schrimpf2018')})."
        )
    if method == "pls":
        return (
            "Each site’s response, averaged over repetitions, was predicted from each layer by "
            f"partial least squares with at most {settings.get('n_components')} components "
            f"({cited('yamins2014')})."
        )
    text = (
        "Each site’s response, averaged over repetitions, was predicted from each layer by ridge "
        f"regression ({cited('yamins2014')})"
    )
    if method == "banded":
        text += (
            f", and from all {len(layers)} layers together by banded ridge regression, with a "
            f"penalty for each layer and site ({cited('nunezelizalde2019', 'dupre2022')}); R² was "
            "divided among the layers by the product measure"
        )
    return f"{text}."


def _of_readout(fit: Mapping[str, Any], cited: Cited) -> str:
    return {
        "field": "Channels were pooled over positions with a Gaussian field for each site "
        f"({cited('styves2018')})." if fit["readout"] == "field" else "",
        "flat": "Channels were averaged over all positions.",
        "full": "Every unit of a layer was a predictor.",
    }.get(fit["readout"], "")  # fmt: skip


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
    own = versions.get("cnn-probe")
    with_others = f" with {_listed(parts)}" if parts else ""
    seed = (provenance.get("settings") or {}).get("seed")
    of_seed = f" Random numbers have the seed {seed}." if seed is not None else ""
    return f"All was computed by probe {own}{with_others}.{of_seed}" if own else ""


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
