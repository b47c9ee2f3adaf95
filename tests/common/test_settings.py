"""Fields that describe themselves."""

import dataclasses

from examine_jax.common.settings import description, open_in_paper, setting


@dataclasses.dataclass(frozen=True)
class Settings:
    rate: float = setting(help="Of learning.", minimum=0)
    steps: int | None = setting(None, "Of training.", minimum=1, open_in_paper=True)
    plain: str = "a"


def test_a_described_field_is_a_field_like_any_other() -> None:
    assert Settings(0.1) == Settings(rate=0.1, steps=None, plain="a")
    rate, steps, plain = dataclasses.fields(Settings)
    assert rate.default is dataclasses.MISSING
    assert description(plain) is None
    about = description(steps)
    assert about is not None
    assert (about.help, about.minimum, about.main) == ("Of training.", 1, False)


def test_what_the_paper_leaves_open_is_listed() -> None:
    assert open_in_paper(Settings) == open_in_paper(Settings(1.0)) == ("steps",)
