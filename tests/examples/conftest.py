from tests.client.conftest import double as double
