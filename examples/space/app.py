"""The page of `llamaberry web` as a Hugging Face Space; README.md says how to set it up.

python examples/space/app.py    # on your own machine: http://127.0.0.1:7860, with LLAMABERRY_API_KEY set
"""

import os
import sys

from llamaberry.__main__ import main

# Threads stay in memory, and are not listed: visitors must not read each other's questions.
os.environ.setdefault("LLAMABERRY_CHECKPOINTS", "none")
# Hugging Face's proxy tells the page its public address.
os.environ.setdefault("FORWARDED_ALLOW_IPS", "*")

sys.argv[1:] = ["web", "--host", "0.0.0.0", "--port", os.environ.get("PORT", "7860")]  # noqa: S104 - behind the proxy
main()
