"""Whom methods cite."""

from probe.assets.manifest import Publication, manifests
from probe.models.registry import names
from probe.reporting import methods
from probe.reporting.references import (
    _NETWORKS,
    Cited,
    bibliography,
    of_network,
    short,
    with_letters,
    works,
)


def test_all_that_may_be_cited_is_written_down():
    cited = {*_NETWORKS.values(), *(key for keys in methods._MAP_WORKS.values() for key in keys)}
    assert cited <= set(works())


def test_every_method_of_attribution_has_its_work():
    from probe.attribution import METHODS

    ours = {name for name in METHODS if name in methods._MAP_WORKS}
    assert ours == set(methods._MAP_WORKS)


def test_networks_of_torchvision_have_theirs():
    known = {name: of_network(name) for name in names()}
    assert known["resnet18"] == "he2016"
    assert known["resnext50_32x4d"] == "xie2017"
    assert known["wide_resnet50_2"] == "zagoruyko2016"
    assert known["swin_v2_t"] == "liu2022swin"
    assert known["swin_t"] == "liu2021"
    assert of_network("timm:resnet18") is None
    assert of_network("tiny") is None


def test_in_a_text():
    assert short(works()["nili2014"]) == "Nili et al. 2014"
    assert short(works()["mantel1967"]) == "Mantel 1967"
    assert short(works()["benjamini1995"]) == "Benjamini & Hochberg 1995"


def test_works_that_read_alike_have_letters():
    cited = Cited()
    text = (
        f"convnext ({cited('liu2022')}), swin ({cited('liu2022swin')}), both ({cited('liu2022')})."
    )
    listed = bibliography(cited.all)
    by_title = {work.title: key[-1] for key, work in listed}
    net, swin = (by_title[works()[key].title] for key in ("liu2022", "liu2022swin"))
    assert {net, swin} == {"a", "b"}
    assert with_letters(text, cited.all, listed) == (
        f"convnext (Liu et al. 2022{net}), swin (Liu et al. 2022{swin}), "
        f"both (Liu et al. 2022{net})."
    )
    # Each by itself in a section of its own, of one page.
    alone = Cited()
    text = f"swin ({alone('liu2022swin')}; {alone('he2016')})"
    expected = f"swin (Liu et al. 2022{swin}; He et al. 2016)"
    assert with_letters(text, alone.all, listed) == expected
    # And without the other on the page, without letters.
    assert with_letters(text, alone.all, bibliography(alone.all)) == text


def test_a_work_is_listed_once_and_keys_are_unique():
    cited = Cited()
    cited("he2016", "liu2022", "he2016")
    cited.work(works()["liu2022swin"])
    listed = bibliography([*cited.all, works()["he2016"]])
    assert [key for key, _ in listed] == ["he2016", "liu2022a", "liu2022b"]
    every = [*works().values(), *(w for m in manifests().values() for w in m.publications)]
    keys = [key for key, _ in bibliography(every)]
    assert len(keys) == len(set(keys))
    assert all(isinstance(work, Publication) for work in works().values())
