//! Whom the configuration names, as principals are compared with it.

use host_iam::{Subject, prepared_subject};
use toml::Spanned;

use super::meaning::Reader;

/// Who is meant by `user:ana` and the like; a fault where nobody can be.
pub(super) fn subject(reader: &mut Reader<'_>, text: &Spanned<String>) -> Option<Subject> {
    let parsed: Subject = match text.get_ref().parse() {
        Ok(subject) => subject,
        Err(error) => {
            reader.fault(text, error);
            return None;
        }
    };
    let prepared = prepared_subject(parsed);
    if prepared.is_none() {
        reader.fault(text, "not a name of a user: nothing unseen, no mixed directions");
    }
    prepared
}
