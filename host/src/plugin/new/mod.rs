//! `fnaad plugin new`: writes a project. Fetches nothing, runs nothing, and replaces nothing that is there.

mod templates;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use host_plugins::plugin::check_name;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use self::templates::File;

/// `fnaad plugin new`.
#[derive(Args, Debug)]
pub struct New {
    /// The language
    #[arg(long, value_enum, value_name = "LANG")]
    pub lang: Lang,
    /// What the type is called, and its directory: lower-case letters, digits and inner hyphens
    #[arg(value_parser = type_name)]
    pub name: String,
    /// Where to make the directory [default: here]
    #[arg(long = "in", value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub parent: PathBuf,
}

/// A language with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// C, by clang.
    C,
    /// Go, by its own compiler.
    Go,
    /// JavaScript, in QuickJS.
    Js,
    /// Python, by componentize-py.
    Python,
    /// Rust, with the SDK that the included plugins have.
    Rust,
    /// TypeScript, in QuickJS.
    Ts,
}

/// Writes the project; its directory to `out`, what to do next to `words`.
///
/// # Errors
/// When there is something of that name, or the directory cannot be written.
pub fn run(asked: &New, out: &mut impl Write, words: &mut impl Write) -> Result<()> {
    let to = asked.parent.join(&asked.name);
    // Whole or not at all: a project that is half there looks like one that is broken.
    let making = tempfile::Builder::new().prefix(".fnaad-new-").tempdir_in(&asked.parent);
    let making = making.with_context(|| asked.parent.display().to_string())?;
    let project = making.path().join(&asked.name);
    for file in asked.lang.files() {
        write_file(&project, file, &asked.name)?;
    }
    match renameat_with(CWD, &project, CWD, &to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(Errno::EXIST) => bail!("{} is there already", to.display()),
        // A file system that cannot refuse by itself.
        Err(Errno::INVAL) if !to.exists() => {
            std::fs::rename(&project, &to).with_context(|| to.display().to_string())?
        }
        Err(error) => return Err(error).with_context(|| to.display().to_string()),
    }
    writeln!(out, "{}", to.display()).context("stdout")?;
    // A stderr that is gone is no reason to fail.
    drop(writeln!(words, "next: cd {} && make test && make", to.display()));
    Ok(())
}

fn write_file(project: &Path, file: &File, name: &str) -> Result<()> {
    let path = project.join(file.path);
    let parent = path.parent().unwrap_or(project);
    let written =
        std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, named(file, name)));
    written.with_context(|| path.display().to_string())
}

/// The text of a file for a plugin of that name.
fn named(file: &File, name: &str) -> String {
    if !file.named {
        return file.text.to_owned();
    }
    // Cargo takes no package that begins with a digit.
    let digit = name.starts_with(|first: char| first.is_ascii_digit());
    let krate = if digit { format!("plugin-{name}") } else { name.to_owned() };
    let identifier = if digit { format!("plugin_{name}") } else { name.to_owned() };
    let text = file.text.replace("my-crate", &krate).replace("my-plugin", name);
    text.replace("my_plugin", &identifier.replace('-', "_")).replace("MyPlugin", &camel(&krate))
}

/// `rate-of-change` as the name of a type in a program.
fn camel(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    });
    words.collect()
}

fn type_name(name: &str) -> Result<String, &'static str> {
    if name.len() > MAX_NAME {
        return Err("must be 1 to 50 characters long");
    }
    check_name(name).map(|()| name.to_owned())
}

/// What CREATE PROCESSOR takes as a type.
const MAX_NAME: usize = 50;
