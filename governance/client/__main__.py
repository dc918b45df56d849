import sys

from governance.client.cli import main

sys.exit(main())
