import subprocess
import sys

import pytest

import tsmemory


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, tsmemory; dir(tsmemory); tsmemory.__version__; "
        "heavy = {'torch', 'chronos', 'faiss', 'pandas', 'numpy', 'kedro'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "from tsmemory import load_backbone; assert callable(load_backbone)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_offers_what_it_lists():
    assert set(tsmemory.__all__) <= set(dir(tsmemory))
    assert all(getattr(tsmemory, name) is not None for name in tsmemory.__all__)
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = tsmemory.predict
