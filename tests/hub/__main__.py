"""`python -m tests.hub`: a Hub to play with, empty at first and forgotten when it stops."""

import argparse
import sys
import time

from .server import LoopbackHub

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, default=8090)
port = parser.parse_args().port
try:
    hub = LoopbackHub(port)
except SystemExit:  # uvicorn's way to say that the port is taken
    sys.exit(f"Port {port} is taken. Name another one: python -m tests.hub --port 8091")
with hub:
    print(f"A Hub is running for user alice. In another terminal:\n\nexport HF_ENDPOINT={hub.endpoint}")
    print(f"export HF_TOKEN={hub.tokens['write']}\nexport HF_HUB_DISABLE_XET=1\n\nCtrl-C stops it.", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass
