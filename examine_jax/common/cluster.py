"""Joins this process to others by `jax.distributed`, within a time limit."""

import contextlib
import dataclasses
import hashlib
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from examine_jax.common.processes import process_count, process_index, wait_for_all

SILENT_SECONDS = 60  # a process that is silent for so long is taken for dead
_ABOVE = 60  # seconds: JAX's own limits end the process without a message of ours


@dataclasses.dataclass(frozen=True)
class Cluster:
    """How the processes of one job find each other.

    What is None comes from the scheduler: SLURM, Open MPI, Kubernetes or a Cloud TPU.

    Attributes:
        coordinator: HOST:PORT at which process 0 waits for the others.
        process_id: the number of this process, from 0.
        num_processes: how many there are.
        wait_seconds: how long to wait for the others.
    """

    coordinator: str | None = None
    process_id: int | None = None
    num_processes: int | None = None
    wait_seconds: int = 300

    def __post_init__(self) -> None:
        count, own = self.num_processes, self.process_id
        if count is not None and own is not None and own >= count:
            raise ValueError(
                f"process_id {own} is none of the {count} processes: they are counted from 0 to "
                f"{count - 1}"
            )
        if self.coordinator is not None:
            host, _, port = self.coordinator.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(
                    f"coordinator {self.coordinator!r} must be HOST:PORT, as node1:29500: process "
                    "0 waits there"
                )


def join(cluster: Cluster, give_up: Callable[[str], NoReturn]) -> None:
    """Joins this process to the others. Call it before JAX finds its devices.

    Args:
        cluster: how the processes find each other.
        give_up: ends the process with a message. A thread calls it where the others do not come in
            time: JAX waits in a call that cannot be interrupted.

    Raises:
        ValueError: no scheduler says what is missing in `cluster`; nobody answers at the
            coordinator's address; process 0 cannot wait there.
    """
    # Without JAX's own handler, SIGTERM does what each command says.
    jax.config.update("jax_enable_preemption_service", False)
    begin = time.monotonic()
    if cluster.coordinator is not None and cluster.process_id is not None:
        if cluster.process_id == 0:
            _check_free(cluster.coordinator)
        else:
            _wait_for(cluster, begin)
    left = max(1.0, cluster.wait_seconds - (time.monotonic() - begin))
    with _limited(left, lambda: give_up(_nobody(cluster))):
        try:
            jax.distributed.initialize(
                cluster.coordinator,
                cluster.num_processes,
                cluster.process_id,
                initialization_timeout=cluster.wait_seconds + _ABOVE,
                heartbeat_timeout_seconds=SILENT_SECONDS,
                shutdown_timeout_seconds=SILENT_SECONDS,
            )
            _connect()
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"no scheduler says where the processes are ({error}): give coordinator, "
                "process_id and num_processes"
            ) from error
        except jax.errors.JaxRuntimeError as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{_nobody(cluster)} ({reason})") from error
        except RuntimeError as error:  # JAX has found its devices, or the processes are joined
            raise ValueError(f"the processes cannot be joined any more: {error}") from error
    if cluster.num_processes not in (None, process_count()):
        raise ValueError(
            f"process {process_index()} expects {cluster.num_processes} processes, the coordinator "
            f"counts {process_count()}: give all the same num_processes"
        )


def _connect() -> None:
    """Connects all devices once, while no process is late.

    On CPUs, devices that compute together for the first time wait for each other 30 seconds only.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("all",), axis_types=(AxisType.Auto,))
    own = np.zeros(jax.local_device_count(), np.float32)
    spread = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("all")), own)
    whole = NamedSharding(mesh, PartitionSpec())
    jax.jit(jnp.sum, out_shardings=whole)(spread).block_until_ready()
    wait_for_all("connected")


def code_digest() -> str:
    """A digest of the library's own source files."""
    digest = hashlib.blake2b(digest_size=8)
    folder = pathlib.Path(__file__).parents[1]
    for file in sorted(folder.rglob("*.py")):
        digest.update(str(file.relative_to(folder)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _nobody(cluster: Cluster) -> str:
    count = "" if cluster.num_processes is None else f" {cluster.num_processes}"
    where = "" if cluster.coordinator is None else f" at {cluster.coordinator}"
    own = "a process" if cluster.process_id is None else f"process {cluster.process_id}"
    return (
        f"{own}: not all{count} processes met{where} within {cluster.wait_seconds} s: start all "
        "of them, with the same coordinator and num_processes, and each with a process_id of its "
        "own"
    )


def _check_free(address: str) -> None:
    """Raises ValueError where another program waits at the coordinator's port."""
    port = address.rpartition(":")[2]
    try:
        with socket.socket() as waiting:
            waiting.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            waiting.bind(("", int(port)))
    except OSError as error:
        raise ValueError(
            f"process 0 cannot wait at {address} ({error.strerror}): another program does, or "
            "another process has process_id 0; name a free port"
        ) from error


def _wait_for(cluster: Cluster, begin: float) -> None:
    """Waits until somebody answers at the coordinator's address."""
    assert cluster.coordinator is not None
    host, _, port = cluster.coordinator.rpartition(":")
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() - begin > cluster.wait_seconds:
                raise ValueError(
                    f"process {cluster.process_id}: nobody answers at the coordinator "
                    f"{cluster.coordinator} after {cluster.wait_seconds} s ({error}): start "
                    "process 0 there, or give its host's name and port"
                ) from error
            time.sleep(0.5)


@contextlib.contextmanager
def _limited(seconds: float, too_late: Callable[[], NoReturn]) -> Iterator[None]:
    timer = threading.Timer(seconds, too_late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
