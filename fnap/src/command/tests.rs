//! Every form that the tables of the protocol list, and what is no form at all.

use super::*;

fn parse(line: &str) -> Result<Command, ParseError> {
    line.parse()
}
