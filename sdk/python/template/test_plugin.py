import unittest

from flow import Event, Fatal, forward
from flow.testing import Host
from plugin import Lifecycle


class MyPluginTest(unittest.TestCase):
    def test_what_begins_with_the_prefix_goes_on(self):
        host = Host(Lifecycle, {"prefix": "alert."})
        knock, alert = Event.new("1", "/house", "knock"), Event.new("2", "/house", "alert.fire")
        self.assertEqual(host.process(knock, alert, b"no event"), [forward(1)])
        host.restart()  # a fresh instance on the committed state
        host.process(alert)
        self.assertEqual(int.from_bytes(host.state[b"seen"], "big"), 2)

    def test_a_wrong_configuration_is_refused_with_its_path(self):
        with self.assertRaisesRegex(Fatal, "^prefix: must be a text$"):
            Host(Lifecycle, {"prefix": 7})
        with self.assertRaisesRegex(Fatal, "^perfix: unknown field"):
            Host(Lifecycle, {"perfix": ""})


if __name__ == "__main__":
    unittest.main()
