//! What an author sees at his desk is what a host on a Kafka makes of the same events.

use stories::desk_and_host_agree;

use crate::site::{Site, login};

#[test]
fn the_included_plugins_make_the_same_of_events_at_the_desk_and_on_a_kafka() {
    let site = Site::shared("desk");
    let host = site.start();
    desk_and_host_agree(&mut login(&host), "desk");
}
