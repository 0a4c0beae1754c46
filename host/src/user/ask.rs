//! A password: typed twice where nobody sees it, or one line of standard input.

use std::io::{IsTerminal, Write, stderr, stdin};

use anyhow::{Context, Result, bail};
use console::Term;
use zeroize::Zeroizing;

use crate::cli::password_line;

pub(super) fn password() -> Result<Zeroizing<String>> {
    if !stdin().is_terminal() {
        return password_line(stdin());
    }
    let password = hidden("password: ")?;
    if *hidden("once more: ")? != *password {
        bail!("these are two passwords");
    }
    Ok(password)
}

fn hidden(prompt: &str) -> Result<Zeroizing<String>> {
    let mut words = stderr();
    write!(words, "{prompt}").and_then(|()| words.flush()).context("stderr")?;
    let typed = Term::stderr().read_secure_line().map(Zeroizing::new).context("terminal")?;
    writeln!(words).context("stderr")?;
    Ok(typed)
}
