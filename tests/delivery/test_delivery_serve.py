"""deploy/serve.yaml is a file that Serve takes, and says what serve/deploy.py says."""

from __future__ import annotations

from importlib import import_module

import pytest
from delivery_files import document

from pipeline.config import CanfleetConfig

# Serve's own models warn when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_it_names_the_same_applications_deployments_and_numbers() -> None:
    from ray.serve._private.build_app import build_app
    from ray.serve.deployment import deployment_to_schema
    from ray.serve.schema import ServeDeploySchema

    from actors.platform_client import PlatformClient
    from serve.deploy import build_apps

    file = ServeDeploySchema.model_validate(document("deploy/serve.yaml"))
    in_code = build_apps(CanfleetConfig(), PlatformClient.connect)
    assert [(app.name, app.route_prefix) for app in file.applications] == [
        (app.name, app.route_prefix) for app in in_code
    ]
    for written, coded in zip(file.applications, in_code, strict=True):
        assert written.logging_config == coded.logging_config
        built = [deployment_to_schema(one) for one in build_app(coded.target, name=coded.name).deployments]
        as_written = [one.model_dump(exclude_unset=True) for one in written.deployments]
        assert as_written == [one.model_dump(exclude_unset=True) for one in built]


def test_what_it_imports_is_there() -> None:
    from ray.serve._private.build_app import build_app

    for app in document("deploy/serve.yaml")["applications"]:
        module, _, attribute = app["import_path"].partition(":")
        found = getattr(import_module(module), attribute)
        [deployment] = build_app(found, name=app["name"]).deployments
        assert [deployment.name] == [one["name"] for one in app["deployments"]]


def test_all_of_it_is_replaced_by_one_change() -> None:
    apps = document("deploy/serve.yaml")["applications"]
    assert len({id(app["runtime_env"]["env_vars"]) for app in apps}) == 1
