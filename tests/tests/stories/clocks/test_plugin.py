import unittest

from flow import Fatal
from flow.testing import Host
from plugin import Lifecycle


class ClockTest(unittest.TestCase):
    def test_it_acts_by_the_clock_and_takes_what_it_is_given(self):
        host = Host(Lifecycle, {"word": "tock"})
        host.migrate("0.0.9")
        host.reconfigure({"word": "tick"})
        with self.assertRaisesRegex(Fatal, "^word: is empty$"):
            host.reconfigure({"word": ""})
        [action] = host.tick(7)
        said = {attribute.name: attribute.value.value for attribute in action.value.event.attributes}
        self.assertEqual((said["id"], said["word"], said["migrated"]), ("1", "tick", "0.0.9"))
        host.restart()
        host.tick(8)
        self.assertEqual(host.state[b"ticks"][-1], 2)


if __name__ == "__main__":
    unittest.main()
