"""Parts of paths that hold names or identifiers of headers are found, and others are not."""

import pytest

from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.hidden_names import HiddenNames, hidden_names
from examine_jax.images.identifying import IdentifyingTerms

ANNA = HeaderIdentity(
    people=("Müller^Anna-Maria", "Ó Briain^Séamus"),
    identifiers=("AB-1234/56", "ACC0099887"),
    unique_identifiers=("1.2.840.113619.2.5",),
    birth_dates=("19560312",),
    places=("St. Hedwig, Obertal",),
)
LI = HeaderIdentity(people=("Li^Na",), identifiers=("7",))
TARO = HeaderIdentity(people=("Yamada^Tarou=山田^太郎=やまだ^たろう",), identifiers=("000123456",))
TRIAL = HeaderIdentity(people=("TRIAL-0001",), identifiers=("TRIAL-0001",))
TERMS = IdentifyingTerms.of((ANNA, LI, TARO, TRIAL))


@pytest.mark.parametrize(
    "part",
    [
        *(
            "MUELLER",
            "muller_a",
            "Müller, Anna",
            "ANNA MARIA",
            "AnnaMüller",
            "amueller",
            "O'Briain",
        ),
        *(
            "Mu\u0308ller",
            "DrMuller",
            "amueller",
            "patientmueller",
            "CT_MULLER_1",
            "SEAMUS",
            "mullerscan",
        ),
        *("M%C3%BCller", "mu%CC%88ller", "M\\xfcller", "M\udcfcller"),
        *("AB123456", "ab 1234 56", "AB-1234-56", "study_acc0099887", "1.2.840.113619.2.5"),
        *("1956-03-12", "12.03.1956", "03121956", "st hedwig obertal", "123456", "IM0000123456"),
        *("Yamada", "山田太郎", "太郎", "たろう", "li_na", "NALI", "TRIAL-0001", "trial0001_ct"),
    ],
)
def test_names_and_identifiers_are_found(part: str) -> None:
    assert TERMS.identify(part)


@pytest.mark.parametrize(
    "part",
    [
        *("", "CT", "IM0001", "series 3", "patient2", "7", "1234", "1234567", "TRIAL", "0001"),
        *("1.2.840.113619.2.6", "1956", "Hedwig", "scan", "lina_was_here"[5:], "Mul", "li"),
    ],
)
def test_other_parts_are_kept(part: str) -> None:
    assert not TERMS.identify(part)


@pytest.mark.parametrize(
    ("part", "found"),
    [("7", True), ("patient 7", True), ("0007", True), ("p7", True), ("17", False), ("Li", True)],
)
def test_a_short_identifier_counts_in_the_path_of_its_own_file(part: str, found: bool) -> None:
    assert TERMS.identify(part, LI) is found
    assert not TERMS.identify(part, ANNA)


def test_words_of_many_headers_are_no_names() -> None:
    terms = IdentifyingTerms.of(
        [HeaderIdentity(people=("Anonymous^Patient", "", "^^"), identifiers=("PHANTOM", "0", "-"))]
    )
    assert not terms
    assert not terms.identify("anonymous patient 0")


def _hide(all_parts: bool = False) -> HiddenNames:
    return HiddenNames(TERMS, lambda kind, text: f"{kind}<{len(text)}>", all_parts)


def test_parts_are_hidden_and_others_stay() -> None:
    hide = _hide()
    assert hide.name("MÜLLER/CT/AB123456.dcm") == "name<6>/CT/name<8>.dcm"
    assert hide.name("a/Müller.nii.gz?z=17") == "a/name<6>.nii.gz?z=17"
    assert hide.name("Müller.svs?x=0&y=5&w=9~2") == "name<6>.svs?x=0&y=5&w=9~2"
    assert hide.name("ct/1.2.840.113619.2.5[3]") == "ct/name<18>[3]"
    assert hide.name("ct/7.dcm") == "ct/7.dcm"
    assert hide.name("ct/7.dcm", LI) == "ct/name<1>.dcm"
    assert hide.path("/data/Müller/x") == "/data/name<6>/x"
    assert _hide(all_parts=True).name("a/b.png") == "name<1>/name<1>.png"


def test_messages_are_hidden_too() -> None:
    hide = _hide()
    text = "cannot read '/d/Müller/a.dcm': see Anna Mu/b.png, 12 images, black to white"
    assert hide.text(text, {"Anna Mu/b.png": "X"}) == (
        "cannot read '/d/name<6>/a.dcm': see X, 12 images, black to white"
    )
    assert hide.text("series 1.2.840.113619.2.5 by", {}) == "series name<18> by"


def test_two_names_do_not_become_one() -> None:
    names = ("Müller.dcm", "Yamada.dcm")  # of one length
    with pytest.raises(ValueError, match="two names would become the same"):
        hidden_names(names, _hide(), {})
    assert hidden_names(("b/7.dcm", "a/7.dcm"), _hide(), {"a/7.dcm": LI})[0] == "b/7.dcm"
