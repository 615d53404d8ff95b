"""Settings: cheap to import, and what they promise to Kedro."""

import json
import subprocess
import sys

from tsmemory import settings
from tsmemory.runs.runner import ResumingSession

HEAVY = ("torch", "faiss", "chronos", "transformers", "plotly", "matplotlib", "pyarrow")


def test_settings_import_nothing_heavy():
    code = "import json, sys, tsmemory.settings; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(json.loads(done.stdout))


def test_settings_name_our_session_and_resolvers():
    assert settings.SESSION_CLASS is ResumingSession
    assert set(settings.CONFIG_LOADER_ARGS["custom_resolvers"]) == {"domain", "data_file", "first"}
    assert settings.DISABLE_HOOKS_FOR_PLUGINS == ("kedro_mlflow",)


def test_the_package_runs_as_a_module(repository):
    done = subprocess.run(
        [sys.executable, "-m", "tsmemory", "--help"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--pipelines" in done.stdout
