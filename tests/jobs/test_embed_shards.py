"""Shards of features: what says that a folder belongs to another run."""

import pathlib

from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.header_identities import SourceHeaders
from examine_jax.jobs.embed_shards import _identifiers
from examine_jax.jobs.headers import JobHeaders, PrivacySettings


def test_patients_hidden_by_another_key_are_another_run(tmp_path: pathlib.Path) -> None:
    header = HeaderIdentity(patient="P1", study="1.2", series="1.2.3", identifiers=("P1",))

    def mark(privacy: PrivacySettings, **files: HeaderIdentity) -> str | None:
        return _identifiers(JobHeaders({"images": SourceHeaders(files)}, privacy), "images")

    keys = [PrivacySettings(id_key=tmp_path / name) for name in ("one", "one", "two")]
    one, again, other = (mark(privacy, a=header) for privacy in keys)
    kept = mark(PrivacySettings(keep_ids=True), a=header)
    assert one == again
    assert len({one, other, kept, None}) == 4
    assert mark(keys[2]) is None
