"""Project settings, read by Kedro."""

from kedro.config import OmegaConfigLoader

from tsmemory.hooks import ParameterHooks, QuietHooks, RunHooks
from tsmemory.mlflow_hooks import MlflowHooks
from tsmemory.resolvers import data_file, domain, first
from tsmemory.runs.runner import ResumingSession

# MLflow's hook does nothing unless `mlflow.enabled` asks for it; it reads what RunHooks write.
HOOKS = (QuietHooks(), ParameterHooks(), RunHooks(), MlflowHooks())

# Merely installed, kedro-mlflow breaks `kedro run` unless a tracking server is set.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow",)

# `kedro run` reuses what is whole and current instead of computing everything anew.
SESSION_CLASS = ResumingSession

CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment overrides single parameters, not whole blocks.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
    "custom_resolvers": {"domain": domain, "data_file": data_file, "first": first},
}
