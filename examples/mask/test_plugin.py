import json
import unittest

from flow import Event, Fatal, dead_letter, forward, rewrite
from flow.testing import Host
from plugin import Lifecycle


def order(data: object, **attributes) -> Event:
    return Event.new("1", "/shop", "order", **attributes).with_json(data)


class MaskTest(unittest.TestCase):
    def test_fields_are_masked_at_any_depth_and_in_lists(self):
        host = Host(Lifecycle, {"fields": ["card", "buyer.email", "items.note"]})
        data = {"card": 4711, "buyer": {"email": "a@b", "id": 7}, "items": [{"note": "x"}, {"n": 1}, {"note": "y"}]}
        [action] = host.process(order(data))
        wanted = {"card": "***", "buyer": {"email": "***", "id": 7}, "items": [{"note": "***"}, {"n": 1}, {"note": "***"}]}
        self.assertEqual(json.loads(action.value.data.value), wanted)

    def test_what_has_nothing_to_mask_goes_on_as_it_is(self):
        host = Host(Lifecycle, {"fields": ["card"], "attributes": ["subject"]})
        self.assertEqual(host.process(order({"n": 1}), Event.new("2", "/s", "t")), [forward(0), forward(1)])

    def test_an_attribute_is_masked_where_it_is_there(self):
        host = Host(Lifecycle, {"attributes": ["subject"], "mask": "-"})
        self.assertEqual(host.process(order({}, subject="Ana")), [rewrite(0, set={"subject": "-"})])

    def test_what_cannot_be_read_does_not_go_on(self):
        host = Host(Lifecycle, {"fields": ["card"]})
        text = Event.new("1", "/s", "t")
        text.data = b"card=4711"
        twice = Event.new("2", "/s", "t")
        twice.data = b'{"card":4711,"card":{}}'
        reasons = ["the data is no JSON, so nothing in it can be masked"] * 2 + ["no event: only an event can be masked"]
        self.assertEqual(host.process(text, twice, b'{"card":1}'), [dead_letter(at, why) for at, why in enumerate(reasons)])

    def test_a_wrong_configuration_is_refused_with_its_path(self):
        for config, words in [
            ({"fields": "card"}, "^fields: must be a list$"), ({"fields": ["a", 1]}, r"^fields\[1\]: must be a text$"),
            ({"fields": ["a..b"]}, r"^fields\[0\]: has an empty name$"), ({"attributes": ["id"]}, "cannot be masked"),
        ]:
            with self.assertRaisesRegex(Fatal, words):
                Host(Lifecycle, config)


if __name__ == "__main__":
    unittest.main()
