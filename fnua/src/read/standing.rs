//! Where a flow stands, asked before it is followed.

use std::collections::BTreeMap;

use fnap::command::Command;
use fnap::{Code, FlowName, Format};
use serde_json::Value;

use crate::connection::Connection;
use crate::error::Error;

/// What DESCRIBE FLOW says of a flow's log; empty where a host does not say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Which flow it is, even if another gets its name.
    pub(super) incarnation: Option<String>,
    /// The next offset of each partition.
    pub(super) latest: BTreeMap<u32, u64>,
    /// The oldest offset of each partition.
    pub(super) earliest: BTreeMap<u32, u64>,
}

impl Standing {
    pub(super) async fn ask(connection: &mut Connection, flow: &FlowName) -> Result<Self, Error> {
        let describe = Command::DescribeFlow { flow: flow.clone(), format: Format::Json };
        match connection.command(&describe).await {
            Ok(answer) => Ok(answer.data.first().map(|line| Self::read(line)).unwrap_or_default()),
            // A host that does not know FORMAT, or lets one read but not describe.
            Err(Error::Refused(failure))
                if matches!(
                    failure.code,
                    Code::BadFormat | Code::Forbidden | Code::NotImplemented
                ) =>
            {
                Ok(Self::default())
            }
            Err(error) => Err(error),
        }
    }

    fn read(line: &str) -> Self {
        let description: Value = serde_json::from_str(line).unwrap_or_default();
        let incarnation = description.get("incarnation").and_then(Value::as_str).map(str::to_owned);
        let logs = description.get("log").and_then(Value::as_array);
        let places = |end: &str| {
            let place = |log: &Value| {
                let partition = u32::try_from(log.get("partition")?.as_u64()?).ok()?;
                Some((partition, log.get(end)?.as_u64()?))
            };
            logs.into_iter().flatten().filter_map(place).collect()
        };
        Self { incarnation, latest: places("latest"), earliest: places("earliest") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_says_where_each_partition_ends() {
        let line = r#"{"flow":"a.b","incarnation":"x","log":[{"partition":0,"earliest":1,"latest":5},{"partition":1,"latest":0}]}"#;
        let standing = Standing::read(line);
        assert_eq!(standing.incarnation.as_deref(), Some("x"));
        assert_eq!(standing.latest, BTreeMap::from([(0, 5), (1, 0)]));
        assert_eq!(standing.earliest, BTreeMap::from([(0, 1)]));
        assert_eq!(Standing::read("flow=a.b"), Standing::default());
    }
}
