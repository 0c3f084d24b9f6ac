"""``python -m tests.envoy.scripts MODULE... > IN.jsonl`` writes cases to be recorded; knows the command line."""

from __future__ import annotations

import importlib
import json
import sys

for name in sys.argv[1:]:
    module = importlib.import_module(f"{__package__}.{name}")
    for case in module.cases():
        print(json.dumps(case))
