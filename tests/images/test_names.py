import os

from examine_jax.images.names import encodable, shown, unique_encodable


def test_names_that_are_text_stay_as_they_are():
    for name in [
        "a.png",
        'quote"s.png',
        "line\nbreak.png",
        "<b>&amp;</b>.png",
        "höhe/Ångström 日本.png",
        "tab\t.png",
    ]:
        assert encodable(name) == name


def test_bytes_that_are_not_utf8_become_visible_escapes():
    name = os.fsdecode(b"caf\xe9/\xff.png")
    assert encodable(name) == "caf\\xe9/\\xff.png"
    assert encodable(name).encode("utf-8")


def test_escaped_names_never_collide():
    raw, literal = os.fsdecode(b"\xff.png"), "\\xff.png"
    assert unique_encodable([raw, literal]) == ("\\xff.png~2", "\\xff.png")
    assert unique_encodable([literal, raw]) == ("\\xff.png", "\\xff.png~2")
    assert len(set(unique_encodable([raw, literal, "\\xff.png~2"]))) == 3


def test_messages_show_a_path_on_one_line():
    assert shown("plain/ä.png") == "plain/ä.png"
    assert shown("a\nb") == "'a\\nb'"
    assert shown(os.fsdecode(b"\xff")) == "\\xff"
