//! Expressions: compiled once, evaluated for each event.

use std::cell::Cell;

use cel::common::ast::IdedExpr;
use cel::common::types::CelBool;
use cel::common::value::CowVal;
use cel::parser::PrattParser;
use cel::{Context, ExecutionError, Value};

use super::events::{Events, Scope};
use super::names::{self, Names};
use super::{DEPTH_MAX, EXPRESSION_MAX, NODES_MAX, json};
use crate::{Batch, Error, log};

/// Expressions that look at the same events.
pub struct Rules {
    // Making one takes longer than an evaluation: an event only gets an inner scope.
    root: Context<'static, 'static>,
    names: Names,
}

impl Rules {
    /// No expressions yet.
    #[must_use]
    pub fn new() -> Self {
        Self { root: Context::default(), names: Names::default() }
    }

    /// Compiles an expression; `path` says where in the configuration it stands.
    ///
    /// # Errors
    /// [`Error::Fatal`] as `path: reason`.
    pub fn compile(&mut self, path: &str, source: &str) -> Result<Expression, Error> {
        let program = self.parse(source).map_err(|reason| Error::config(path, reason))?;
        Ok(Expression { program, path: path.to_owned(), reported: Cell::new(false) })
    }

    /// Reads what the expressions ask for: a column for each attribute, and the data if one of them
    /// looks at it.
    #[must_use]
    pub fn read(&self, batch: &Batch) -> Events<'_> {
        Events::read(&self.root, &self.names, batch)
    }

    fn parse(&mut self, source: &str) -> Result<IdedExpr, String> {
        if source.len() > EXPRESSION_MAX {
            return Err(format!("longer than {EXPRESSION_MAX} bytes: {}", source.len()));
        }
        let parser = PrattParser::new()
            .max_recursion_depth(DEPTH_MAX)
            .max_expression_node_count(NODES_MAX)
            .error_reporting_limit(1);
        let program = parser.parse(source).map_err(|errors| match errors.errors.first() {
            Some(error) => format!("{} at {}:{}", error.msg, error.pos.0, error.pos.1),
            None => "cannot be parsed".to_owned(),
        })?;
        names::collect(&program, &mut self.names)?;
        Ok(program)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Rules").field("names", &self.names).finish_non_exhaustive()
    }
}

/// A compiled expression. To be evaluated with the [`Rules`] that compiled it.
#[derive(Debug)]
pub struct Expression {
    program: IdedExpr,
    path: String,
    reported: Cell<bool>,
}

impl Expression {
    /// Whether the expression is `true` for an event. What fails or is no boolean is `false`.
    #[must_use]
    pub fn matches(&self, event: &Scope<'_>) -> bool {
        self.evaluate(event, |value| {
            value.downcast_ref::<CelBool>().map(|truth| *truth.inner()).ok_or("no boolean")
        })
        .unwrap_or(false)
    }

    /// The expression's value as JSON; none where it fails. The keys of maps are sorted.
    #[must_use]
    pub fn json(&self, event: &Scope<'_>) -> Option<serde_json::Value> {
        self.evaluate(event, |value| {
            Value::try_from(value.as_ref()).ok().and_then(json::from_value).ok_or("not for JSON")
        })
    }

    fn evaluate<T>(
        &self,
        event: &Scope<'_>,
        read: impl FnOnce(CowVal<'_, '_>) -> Result<T, &'static str>,
    ) -> Option<T> {
        let mut context = event.root().new_inner_scope();
        context.set_variable_resolver(event);
        let value = Value::resolve_val(&self.program, &context).map_err(|error| reason(&error));
        value.and_then(read).map_err(|reason| self.report(reason)).ok()
    }

    /// Once: a rule that does not fit its flow would otherwise fill the log.
    fn report(&self, reason: &str) {
        if !self.reported.replace(true) {
            let fields = [("expression", self.path.as_str()), ("reason", reason)];
            log::warn("expression failed for an event, which counts as no match", &fields);
        }
    }
}

/// Kinds only: the error's own words hold the event's data.
fn reason(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::NoSuchKey(_) => "no such key",
        ExecutionError::UndeclaredReference(_) => "unknown name or function",
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::UnsupportedBinaryOperator(..) => "types do not fit",
        ExecutionError::IndexOutOfBounds(_) => "index out of bounds",
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero"
        }
        ExecutionError::Overflow(..) => "number too large",
        _ => "cannot be evaluated",
    }
}
