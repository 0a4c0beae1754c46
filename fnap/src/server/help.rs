//! What HELP says: every command, one line of syntax each.

use std::sync::LazyLock;

use bytes::Bytes;

use crate::command::shortened;
use crate::reply::{Code, Reply};

/// Every form of every command, in the order of the protocol's tables.
pub const SYNTAX: &[&str] = &[
    "CAPABILITIES",
    "HELP [command]",
    "NOOP",
    "STARTTLS",
    "AUTHENTICATE MECHANISM [initial-response]",
    "QUIT",
    "CREATE NAMESPACE ns [BROKER b]",
    "UPDATE NAMESPACE ns key=value...",
    "DELETE NAMESPACE ns",
    "DESCRIBE NAMESPACE ns [FORMAT json]",
    "GET NAMESPACES [FORMAT json]",
    "CREATE FLOW f [key=value...]",
    "UPDATE FLOW f key=value...",
    "DELETE FLOW f",
    "DESCRIBE FLOW f [FORMAT json]",
    "GET FLOWS [ns] [FORMAT json]",
    "SUBSCRIBE f [LOCAL l] [key=value...]",
    "UNSUBSCRIBE s [key=value...]",
    "GET SUBSCRIPTIONS [FORMAT json]",
    "GET SUBSCRIBERS f [FORMAT json]",
    "GET CREDENTIALS s [FORMAT json]",
    "REMOVE SUBSCRIBER s",
    "GET REQUESTS [FORMAT json]",
    "APPROVE r [FILTER text] [POLICY text]",
    "DENY r [reason]",
    "PAUSE s",
    "RESUME s",
    "STOP s",
    "READ f [FROM earliest|latest|OFFSET p:n,p:n,...|TIME rfc3339] [LIMIT n] [FOLLOW]",
    "DONE (ends a READ that follows)",
    "WRITE f [ID token]",
    "PURGE FLOW f CONFIRM f",
    "REPLICATE a b [AS p] [FROM start] [key=value...] [CONFIG json]",
    "REPLICATE a-* b-* [AS p] [FROM start] [key=value...] [CONFIG json]",
    "COLLECT a,b,... c [AS p] [FROM start] [key=value...] [CONFIG json]",
    "COLLECT a-* b [AS p] [FROM start] [key=value...] [CONFIG json]",
    "DISTRIBUTE a b,c,... [AS p] [FROM start] [key=value...] [CONFIG json]",
    "SIGNAL type FROM a,b,... TO c,d,... [AS p] [START start] [key=value...] [CONFIG json]",
    "CREATE PROCESSOR p TYPE t FROM a,b,... TO c,d,... [START start] [key=value...] [CONFIG json]",
    "UPDATE PROCESSOR p CONFIG json",
    "UPDATE PROCESSOR p POSITION earliest|latest|OFFSET p:n|TIME rfc3339 [STATE keep|reset]",
    "UPDATE PROCESSOR p SHADOW version|digest",
    "UPDATE PROCESSOR p PROMOTE [version|digest]",
    "UPDATE PROCESSOR p DISCARD",
    "UPDATE PROCESSOR p key=value...",
    "COMPARE p VERSION version|digest [FROM start|SNAPSHOT n] [TO start]",
    "COMPARE p STOP",
    "SNAPSHOT p [FORGET n]",
    "DELETE PROCESSOR p",
    "DESCRIBE PROCESSOR p|t [FORMAT json]",
    "REPLAY p [OFFSET p:n,p:n,...]",
    "DISCARD p [OFFSET p:n,p:n,...]",
    "GET LOG p [SINCE n] [FORMAT json]",
    "GET PROCESSORS [FORMAT json]",
    "GET PROCESSOR TYPES [FORMAT json]",
    "GRANT right,... ON name|* TO subject",
    "REVOKE right,... ON name|* FROM subject",
    "GET GRANTS [ON name|*] [TO subject] [FORMAT json]",
    "GET BROKERS [FORMAT json]",
    "DESCRIBE BROKER b [FORMAT json]",
    "GET AGENTS [FORMAT json]",
    "DESCRIBE AGENT ns [FORMAT json]",
    "DESCRIBE NAMESERVER ns [FORMAT json]",
    "STREAM",
];

/// All commands. Made once: four octets ask for these three thousand, as often as a peer likes.
static ALL: LazyLock<Bytes> = LazyLock::new(|| Reply::data(SYNTAX).to_bytes());

/// All commands, or those that begin with the words of the topic, as they are sent.
pub(super) fn reply(topic: Option<&str>) -> Bytes {
    topic.map_or_else(|| ALL.clone(), |topic| about(topic).to_bytes())
}

fn about(topic: &str) -> Reply {
    let topic = topic.to_ascii_uppercase();
    let lines: Vec<&str> = SYNTAX.iter().copied().filter(|line| is_about(line, &topic)).collect();
    if lines.is_empty() {
        return Reply::error(Code::NotFound, format!("command {}", shortened(&topic)));
    }
    Reply::data(lines)
}

fn is_about(line: &str, topic: &str) -> bool {
    let mut words = line.split(' ');
    topic.split_ascii_whitespace().all(|wanted| words.next() == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_everything_or_what_begins_with_the_topic() {
        assert_eq!(reply(None), Reply::data(SYNTAX).to_bytes());
        assert_eq!(reply(Some("write")), Reply::data(["WRITE f [ID token]"]).to_bytes());
        assert!(matches!(about("create"), Reply::Data(lines) if lines.len() == 3));
        assert!(matches!(about("get processor"), Reply::Data(lines) if lines.len() == 1));
        assert_eq!(about("fly\u{7}"), Reply::error(Code::NotFound, "command FLY "));
    }
}
