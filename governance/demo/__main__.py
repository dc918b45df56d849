import sys

from governance.demo.run import main

sys.exit(main())
