"""Types for node signatures whose modules load torch or faiss.

Kedro imports every node and reads its type hints at each command. At run time these names are
``Any``, so that commands start fast; type checkers see the real classes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsmemory.evaluation.ablation import AblationScores, RowFacts
    from tsmemory.evaluation.model_files import ModelFiles
    from tsmemory.evaluation.scores import MethodScores
    from tsmemory.evaluation.trace_scores import TraceScores
    from tsmemory.memory.closed_form import ClosedForm
    from tsmemory.memory.forecast_tables import ForecastTables
    from tsmemory.memory.forecaster import MemoryForecaster
    from tsmemory.memory.forecasts import BackboneForecasts
    from tsmemory.memory.new_tables import Reading
    from tsmemory.memory.seeded import SeededAdapters
    from tsmemory.retrieval.datastore import Datastore
    from tsmemory.scaleout.content_cache import ContentCache
    from tsmemory.scaleout.shards import ShardCache
    from tsmemory.teacher.neighbours import Neighbours
    from tsmemory.tuning.journal import StudyJournal
else:
    AblationScores = BackboneForecasts = ClosedForm = ContentCache = Datastore = Any
    ForecastTables = MemoryForecaster = MethodScores = ModelFiles = Neighbours = Reading = Any
    RowFacts = SeededAdapters = ShardCache = StudyJournal = TraceScores = Any

__all__ = [
    "AblationScores",
    "BackboneForecasts",
    "ClosedForm",
    "ContentCache",
    "Datastore",
    "ForecastTables",
    "MemoryForecaster",
    "MethodScores",
    "ModelFiles",
    "Neighbours",
    "Reading",
    "RowFacts",
    "SeededAdapters",
    "ShardCache",
    "StudyJournal",
    "TraceScores",
]
