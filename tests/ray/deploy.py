"""Deploys on a running cluster: `python -m tests.ray.deploy ADDRESS PORT MODULE:NAME`, all under the prefix /NAME."""

import importlib
import sys

import turboapi.compat

MODULES_FOR_FASTAPI = ("tests.ray.methods",)


def main(address: str, port: str, target: str) -> None:
    module, _, name = target.partition(":")
    options = {}
    if module in MODULES_FOR_FASTAPI:
        turboapi.compat.install()  # before Ray Serve imports fastapi, here and in the processes of the replicas
        options["worker_process_setup_hook"] = "turboapi.compat.install"
    import ray
    from ray import serve

    ray.init(address, runtime_env=options)
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    serve.run(getattr(importlib.import_module(module), name), name=name, route_prefix=f"/{name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
