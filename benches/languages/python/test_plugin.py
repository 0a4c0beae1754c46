import unittest

from flow import Event
from flow.testing import Host
from plugin import Lifecycle


class MeasuredTest(unittest.TestCase):
    def test_data_is_rewritten(self):
        event = Event({}, b"abcdefghij")
        [action] = Host(Lifecycle, {"act": "rewrite-data"}).process(event)
        self.assertEqual(action.value.data.value, b"ABCDEFGHij")


if __name__ == "__main__":
    unittest.main()
