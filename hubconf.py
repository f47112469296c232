"""Entry points for ``torch.hub``: the file itself is ``baselines/ritm/hub/hubconf.py``, in the wheel too."""

import importlib.util as _util
from pathlib import Path as _Path

_file = _Path(__file__).resolve().parent / "baselines" / "ritm" / "hub" / "hubconf.py"
_spec = _util.spec_from_file_location("simclick_ritm_hubconf", _file)
assert _spec is not None
assert _spec.loader is not None
_module = _util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

dependencies = _module.dependencies
ritm = _module.ritm
