"""A module to preload that leaves a thread behind, as libraries do."""

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
