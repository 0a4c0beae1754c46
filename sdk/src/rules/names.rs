//! Which names an expression refers to, found by walking its tree once.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::DEPTH_MAX;

/// What the host has to be asked for before an expression can be evaluated.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Attributes, by name.
    pub(super) attributes: BTreeSet<String>,
    /// Whether it reads the data.
    pub(super) data: bool,
}

/// Walks an expression and refuses what no event can make right, or nests too deep.
pub(super) fn collect(expression: &IdedExpr, names: &mut Names) -> Result<(), String> {
    Walk { names, bound: Vec::new(), depth: 0 }.visit(expression)
}

struct Walk<'a> {
    names: &'a mut Names,
    /// Variables of the comprehensions around.
    bound: Vec<&'a str>,
    depth: u16,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, expression: &'a IdedExpr) -> Result<(), String> {
        if self.depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        self.depth += 1;
        self.visit_inside(expression)?;
        self.depth -= 1;
        Ok(())
    }

    fn visit_inside(&mut self, expression: &'a IdedExpr) -> Result<(), String> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(message) => Err(format!("messages are not known: {}", message.type_name)),
            Expr::Call(call) => {
                if let Some(name) = self.member(&call.func_name, &call.args) {
                    return self.attribute(name);
                }
                let known = !call.func_name.starts_with(|first: char| first.is_alphabetic())
                    || FUNCTIONS.contains(&call.func_name.as_str());
                if !known {
                    return Err(format!("unknown function: {}", call.func_name));
                }
                call.target.as_deref().map_or(Ok(()), |target| self.visit(target))?;
                call.args.iter().try_for_each(|argument| self.visit(argument))
            }
            Expr::Comprehension(comprehension) => {
                self.visit(&comprehension.iter_range)?;
                self.visit(&comprehension.accu_init)?;
                let before = self.bound.len();
                self.bound.extend([&*comprehension.iter_var, &*comprehension.accu_var]);
                self.bound.extend(comprehension.iter_var2.as_deref());
                self.visit(&comprehension.loop_cond)?;
                self.visit(&comprehension.loop_step)?;
                self.visit(&comprehension.result)?;
                self.bound.truncate(before);
                Ok(())
            }
        }
    }

    fn entry(&mut self, entry: &'a EntryExpr) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key)?;
                self.visit(&entry.value)
            }
        }
    }

    fn select(&mut self, select: &'a SelectExpr) -> Result<(), String> {
        if self.is_map(&select.operand) {
            return self.attribute(&select.field);
        }
        self.visit(&select.operand)
    }

    /// The attribute in `attributes['name']` and `'name' in attributes`.
    fn member<'e>(&self, function: &str, arguments: &'e [IdedExpr]) -> Option<&'e str> {
        let [left, right] = arguments else { return None };
        let key = match function {
            operators::INDEX if self.is_map(left) => right,
            operators::IN if self.is_map(right) => left,
            _ => return None,
        };
        match &key.expr {
            Expr::Literal(LiteralValue::String(name)) => Some(name.inner()),
            _ => None,
        }
    }

    fn is_map(&self, expression: &IdedExpr) -> bool {
        matches!(&expression.expr, Expr::Ident(name) if name == ATTRIBUTES && !self.is_bound(name))
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.contains(&name)
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        match name {
            _ if self.is_bound(name) || TYPES.contains(&name) => Ok(()),
            DATA => {
                self.names.data = true;
                Ok(())
            }
            FLOW => Ok(()),
            // The whole map would cost a copy of every event.
            ATTRIBUTES => {
                Err("attributes must be followed by a name: attributes.subject".to_owned())
            }
            _ => self.attribute(name),
        }
    }

    fn attribute(&mut self, name: &str) -> Result<(), String> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(format!("unknown name: {name}"));
        }
        self.names.attributes.insert(name.to_owned());
        Ok(())
    }
}

pub(super) const ATTRIBUTES: &str = "attributes";
pub(super) const DATA: &str = "data";
pub(super) const FLOW: &str = "flow";

/// Names of types, as in `type(data.x) == int`. `type` itself is the attribute.
const TYPES: [&str; 9] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

/// The functions of CEL's standard library that are compiled in.
const FUNCTIONS: [&str; 12] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];
