"""Writes an encoder of timm with random weights, and times it batch by batch on one thread.

python encoder_speed_timm.py NAME IMAGE_SIZE FOLDER

The script runs in an environment with torch and timm, without JAX; `encoder_speed
--torch_python=…` starts it. It writes timm's folder, then reads a batch's size from each line of
its input and answers with one JSON object: CPU and wall seconds of one batch, and the peak memory.
"""

import json
import resource
import sys
import time

import timm
import torch
from timm.models._hub import save_for_hf


def main(name: str, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    model = timm.create_model(name, num_classes=0).eval()
    save_for_hf(model, folder, safe_serialization=True)
    print("ready", flush=True)
    for line in sys.stdin:
        pixels = torch.rand(int(line), 3, size, size)
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            model(pixels)
        answer = {
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
