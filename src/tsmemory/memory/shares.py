"""What a fusion mixes and what its guard decided, as a table for people."""

import numpy as np
import pandas as pd

from tsmemory.memory.fusion import Fusion


def share_table(fusion: Fusion) -> pd.DataFrame:
    """What the guard decided in each horizon block, and the shares of what is mixed there.

    Args:
        fusion: The fusion.

    Returns:
        Table ``first_step, last_step, decision, skill, p_value`` and the shares of
        :meth:`Fusion.explain`. ``decision`` is ``fused`` or ``frozen``; ``skill`` and ``p_value``
        are those of the whole fusion against the frozen backbone, NaN where nothing was tested.
    """
    verdicts = {
        int(line["block"]): line for line in fusion.report.get("guard", {}).get("whole", ())
    }
    rows = []
    for number, line in enumerate(fusion.explain()):
        verdict = verdicts.get(number, {})
        used = line["backbone"] < 1 or line["width_backbone"] < 1
        rows.append(
            {
                "first_step": int(line["first_step"]),
                "last_step": int(line["last_step"]),
                "decision": "fused" if used else "frozen",
                "skill": float(verdict.get("skill", np.nan)),
                "p_value": float(verdict.get("p_value", np.nan)),
                **{n: v for n, v in line.items() if n not in ("first_step", "last_step")},
            }
        )
    return pd.DataFrame(rows)
