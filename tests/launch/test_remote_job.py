"""The main command and pretraining from start to end on images in a bucket."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("s3fs", reason="URLs need examine-jax[remote]")
moto_server = pytest.importorskip("moto.server")

import boto3

from tests.support.commands import run
from tests.support.tiny_architecture import TINY


@pytest.mark.study
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_images_in_a_bucket_are_assessed_and_train_an_encoder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secretsecret")
    client = boto3.client("s3")
    client.create_bucket(Bucket="scans")
    generator = np.random.default_rng(0)
    names = [f"a/{index:02}.png" for index in range(24)]
    for name in names:
        stream = io.BytesIO()
        pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "png")
        client.put_object(Bucket="scans", Key=f"set/{name}", Body=stream.getvalue())
    client.put_object(Bucket="scans", Key="set/empty.png", Body=b"")
    options = ("--images=s3://scans/set", "--steps=1", f"--architecture={TINY}", "--batch_size=8")
    code, shown = run("assess", *options, f"--workdir={tmp_path / 'assessed'}", "--budget=2")
    assert code == 0, shown
    rows = (tmp_path / "assessed" / "scores.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == names
    assert "empty.png,empty: 0 bytes" in (tmp_path / "assessed" / "skipped.csv").read_text()
    method = ("--method=autoencoder", "--on_demand", f"--workdir={tmp_path / 'trained'}")
    code, shown = run("pretrain", *options, *method)
    assert code == 0, shown
    server.stop()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"secretsecret" not in path.read_bytes()
