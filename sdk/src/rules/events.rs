//! The events of a batch, as expressions see them.

use std::collections::HashMap;
use std::sync::OnceLock;

use cel::Context;
use cel::common::types::{CelBool, CelBytes, CelInt, CelMap, CelMapKey, CelNull, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::json;
use super::names::{ATTRIBUTES, DATA, FLOW, Names};
use crate::event::is_json;
use crate::{Batch, Value};

/// What a batch's expressions may look at, read from the host once.
pub struct Events<'r> {
    root: &'r Context<'static, 'static>,
    flow: String,
    columns: Vec<(&'r str, Vec<Option<Value>>)>,
    data: Vec<Option<Vec<u8>>>,
    content_types: Vec<Option<Value>>,
}

impl<'r> Events<'r> {
    pub(super) fn read(
        root: &'r Context<'static, 'static>,
        names: &'r Names,
        batch: &Batch,
    ) -> Self {
        let column = |name: &'r String| (name.as_str(), batch.attributes(name));
        let (mut data, mut content_types) = (Vec::new(), Vec::new());
        if names.data {
            data = batch.data_all();
            content_types = batch.attributes("datacontenttype");
        }
        let columns = names.attributes.iter().map(column).collect();
        Self { root, flow: batch.flow(), columns, data, content_types }
    }

    #[cfg(test)]
    pub(super) fn has_data(&self) -> bool {
        !self.data.is_empty()
    }

    /// One event. Keep it for all expressions about this event: it remembers the decoded data.
    #[must_use]
    pub fn at(&self, index: u32) -> Scope<'_> {
        let (data, attributes) = (OnceLock::new(), OnceLock::new());
        Scope { events: self, index: index as usize, data, attributes }
    }
}

/// One event in the eyes of expressions.
pub struct Scope<'e> {
    events: &'e Events<'e>,
    index: usize,
    data: OnceLock<Box<dyn Val>>,
    attributes: OnceLock<Box<dyn Val>>,
}

impl Scope<'_> {
    pub(super) fn root(&self) -> &Context<'static, 'static> {
        self.events.root
    }

    /// Absent data, data of another content type and what is no JSON are all `null`.
    fn decode(&self) -> Box<dyn Val> {
        let data = self.events.data.get(self.index).and_then(Option::as_deref);
        let content_type = self.events.content_types.get(self.index).and_then(Option::as_ref);
        let decoded = data.filter(|_| is_json(content_type)).and_then(json::decode);
        decoded.unwrap_or_else(|| Box::new(CelNull))
    }

    fn map(&self) -> Box<dyn Val> {
        let mut map = HashMap::new();
        for (name, column) in &self.events.columns {
            if let Some(Some(value)) = column.get(self.index) {
                map.insert(CelMapKey::from((*name).to_owned()), owned(value));
            }
        }
        Box::new(CelMap::from(map))
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            DATA => Some(CowVal::Borrowed(self.data.get_or_init(|| self.decode()).as_ref())),
            FLOW => Some(CowVal::owned(CelString::from(self.events.flow.as_str()))),
            ATTRIBUTES => {
                Some(CowVal::Borrowed(self.attributes.get_or_init(|| self.map()).as_ref()))
            }
            _ => {
                let (_, column) = self.events.columns.iter().find(|(name, _)| *name == variable)?;
                Some(column.get(self.index)?.as_ref().map_or(CowVal::owned(CelNull), borrowed))
            }
        }
    }
}

fn borrowed(value: &Value) -> CowVal<'_, '_> {
    match value {
        Value::Boolean(value) => CowVal::owned(CelBool::from(*value)),
        Value::Integer(value) => CowVal::owned(CelInt::from(i64::from(*value))),
        Value::Binary(bytes) => CowVal::owned(CelBytes::from(bytes.as_slice())),
        Value::Text(text)
        | Value::Uri(text)
        | Value::UriReference(text)
        | Value::Timestamp(text) => CowVal::owned(CelString::from(text.as_str())),
    }
}

fn owned(value: &Value) -> Box<dyn Val> {
    match value {
        Value::Boolean(value) => Box::new(CelBool::from(*value)),
        Value::Integer(value) => Box::new(CelInt::from(i64::from(*value))),
        Value::Binary(bytes) => Box::new(CelBytes::from(bytes.clone())),
        Value::Text(text)
        | Value::Uri(text)
        | Value::UriReference(text)
        | Value::Timestamp(text) => Box::new(CelString::from(text.clone())),
    }
}

impl std::fmt::Debug for Events<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Events").field("flow", &self.flow).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Scope").field("index", &self.index).finish_non_exhaustive()
    }
}
