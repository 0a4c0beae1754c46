//! `administrators`: who may do everything.

use host_iam::{DOMAINS, Subject, USERS};
use toml::Spanned;

use super::meaning::Reader;
use super::subjects::subject;

/// What `administrators` means.
pub(super) fn meaning(
    reader: &mut Reader<'_>,
    written: Option<Vec<Spanned<String>>>,
) -> Vec<Subject> {
    let mut administrators = Vec::new();
    for text in written.unwrap_or_default() {
        let Some(subject) = subject(reader, &text) else { continue };
        if is_anybody(&subject) {
            reader.fault(
                &text,
                "an administrator is a user, a group that somebody is put into, or a domain",
            );
        } else if administrators.contains(&subject) {
            reader.fault(&text, format!("{subject} is listed twice"));
        } else {
            administrators.push(subject);
        }
    }
    administrators
}

/// Whether people are meant whom nobody chose: a slip of the pen must not give the host away, neither to
/// whoever has an account nor to whoever has a domain.
fn is_anybody(subject: &Subject) -> bool {
    match subject {
        Subject::Anonymous | Subject::Everybody => true,
        Subject::Group(group) => group == USERS || group == DOMAINS,
        Subject::User(_) | Subject::Domain(_) => false,
    }
}
