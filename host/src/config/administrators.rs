//! `administrators`: who may do everything.

use host_iam::Subject;
use toml::Spanned;

use super::meaning::Reader;

/// What `administrators` means.
pub(super) fn meaning(
    reader: &mut Reader<'_>,
    written: Option<Vec<Spanned<String>>>,
) -> Vec<Subject> {
    let mut administrators = Vec::new();
    for text in written.unwrap_or_default() {
        match text.get_ref().parse() {
            // A slip of the pen must not give the host away.
            Ok(Subject::Anonymous | Subject::Everybody) => {
                reader.fault(&text, "an administrator is a user, a group or a domain");
            }
            Ok(subject) if administrators.contains(&subject) => {
                reader.fault(&text, format!("{subject} is listed twice"));
            }
            Ok(subject) => administrators.push(subject),
            Err(error) => reader.fault(&text, error),
        }
    }
    administrators
}
