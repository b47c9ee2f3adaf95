"""One process of test_detector_devices.py: the same loss gradient on one device and on four."""

import jax
import jax.flatten_util
import numpy as np

from examine_jax.training.devices import data_mesh, replicate, sharded
from tests.support.tiny_detector import TINY, tiny_batch, tiny_start

TOLERANCE = 2e-5


def main() -> None:
    jax.config.update("jax_num_cpu_devices", 4)
    mesh = data_mesh(4)
    assert mesh.size == 4
    params, state = tiny_start()
    key = jax.random.key(0)
    gradient = jax.jit(jax.value_and_grad(TINY.loss, has_aux=True))
    (_, (moved, metrics)), alone = gradient(params, state, tiny_batch(), key)
    batch = {name: jax.device_put(column, sharded(mesh)) for name, column in tiny_batch().items()}
    spread = replicate(mesh, (params, state))
    data = jax.random.wrap_key_data(replicate(mesh, jax.random.key_data(key)))
    (_, (moved_too, metrics_too)), together = gradient(*spread, batch, data)
    for name, expected in metrics.items():
        np.testing.assert_allclose(metrics_too[name], expected, rtol=TOLERANCE, err_msg=name)
    for one, other in (((alone), (together)), (moved, moved_too)):
        expected, found = (np.asarray(jax.flatten_util.ravel_pytree(x)[0]) for x in (one, other))
        assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()
    print("the same")


if __name__ == "__main__":
    main()
