"""Options of the benchmarks: pytest benchmarks --sizes=500x1024,100000x768 --peers"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sizes", default="500x192,500x1024,5000x768", help="N x D, comma separated")
    parser.addoption(
        "--torch",
        help="a Python interpreter with torch and transformers, to time PyTorch's step too",
    )
    parser.addoption(
        "--peers", action="store_true", help="also time the SVD loops and LAPACK's dlasd4"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "size" in metafunc.fixturenames:
        sizes = metafunc.config.getoption("--sizes").split(",")
        metafunc.parametrize(
            "size", [tuple(map(int, size.split("x"))) for size in sizes], ids=sizes
        )
