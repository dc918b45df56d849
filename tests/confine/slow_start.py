"""A module to preload that takes for ever."""

import time

time.sleep(60)
