"""An exchange behind the brokers' own protocols, for the demo and the tests."""
