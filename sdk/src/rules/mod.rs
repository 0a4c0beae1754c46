//! The rule language of the host's own plugins: CEL over a CloudEvent's attributes and JSON data.
//!
//! An expression sees
//!
//! | name | value |
//! |---|---|
//! | `type`, `source`, `subject`, `id`, `time`, any extension | that attribute; `null` where it is absent |
//! | `attributes` | a map of the attributes that are there: `has(attributes.subject)` |
//! | `data` | the data where it is JSON, else `null`; decoded only where an expression asks for it |
//! | `flow` | the name of the input flow |
//!
//! Attributes keep their CloudEvents type: `time` and URIs are text, numbers are numbers. Numbers
//! compare by value, however JSON spells them: `data.mag >= 5` and `>= 5.0` are the same. A record
//! that is no CloudEvent has no attributes; its value is `data` where it is JSON.
//!
//! An expression that fails for an event (a key that is missing in `data`, an operator that does
//! not fit) does not match it: a filter passes what it is sure of. The first such failure of an
//! expression is logged. What can be known before the first event is refused at `init`: syntax,
//! unknown functions, names that no attribute can have, and what passes a limit below.
//!
//! Not here: `timestamp`, `duration` and regular expressions, which would double a component.

mod events;
mod expression;
mod json;
mod names;

pub use events::{Events, Scope};
pub use expression::{Expression, Rules};

/// Longest expression, in bytes. Parsing works on all of it; a page of rules is many expressions.
pub const EXPRESSION_MAX: usize = 4096;

/// Deepest nesting, of brackets and of operators: parsing and evaluation call themselves for each
/// level, and a guest's stack is small. Chains of `&&` and `||` are balanced and hardly count.
pub const DEPTH_MAX: u16 = 32;

/// Most nodes that macros (`exists`, `map` and the like) may make of an expression.
pub const NODES_MAX: usize = 1024;

#[cfg(test)]
mod tests;
