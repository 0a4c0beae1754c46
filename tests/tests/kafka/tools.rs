//! What an author sees at his desk is what a host on a Kafka makes of the same events.

use stories::{EXAMPLES, INCLUDED, Subject, host_with_plugins};

use crate::site::{Site, login};

#[test]
fn the_included_plugins_make_the_same_of_events_at_the_desk_and_on_a_kafka() {
    let site = Site::shared("desk");
    let host = site.start();
    let mut wire = login(&host);
    INCLUDED.iter().for_each(|plugin| plugin.agrees(&mut wire, "desk"));
}

#[test]
fn the_examples_make_the_same_of_events_at_the_desk_and_on_a_kafka() {
    let site = Site::shared("desk-examples");
    let data = site.dir().join("data");
    let plugins = EXAMPLES.map(|example| (example.name, example.component()));
    let host = host_with_plugins((&data, &data.join("plugins")), &plugins, || site.start(), login);
    let mut wire = login(&host);
    EXAMPLES.iter().for_each(|example: &Subject| example.agrees(&mut wire, "desk-examples"));
}
