"""Prints the versions installed in this environment as pip constraints.

    .venv/bin/python deployment/lock.py > constraints.txt

Left out: this project itself, pip's own tools, and local version tags ("+cpu"),
so that the same file fits CPU and GPU builds.
"""

from importlib.metadata import distributions

SKIPPED = {"orchestrator", "pip", "setuptools", "wheel"}


def constraints() -> list[str]:
    """One sorted `name==version` line per installed distribution."""
    pins = {}
    for distribution in distributions():
        name = distribution.metadata["Name"].lower().replace("_", "-")
        if name not in SKIPPED:
            pins[name] = distribution.version.split("+")[0]
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


if __name__ == "__main__":
    print("# Written by `make lock`: the versions everything was tested with.")
    print("\n".join(constraints()))
