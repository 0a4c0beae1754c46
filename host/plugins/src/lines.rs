//! Source lines of a component's code, out of the line tables that its compiler left in it.
//!
//! Reads `.debug_line` only, from its beginning to its end, when somebody asks. What else debug information has
//! (functions inlined into each other, types) nests as deep as its author likes, and what reads it recurses: one crafted
//! file would end the host. So the engine's own reader stays off. Tables that are larger than [`MAX_LINES`] are not kept.

use std::ops::Range;

use gimli::{AttributeValue, DebugLine, DebugLineOffset, DebugLineStr, EndianSlice, LittleEndian};
use wasmparser::{Encoding, Parser, Payload};

use crate::log::plain;

/// The line tables of all modules of a component.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<Module>);

#[derive(Debug, Default)]
struct Module {
    /// Where its code lies in the component's file; addresses count from there.
    code: Range<usize>,
    line: Box<[u8]>,
    line_str: Box<[u8]>,
}

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file, as its compiler named it.
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) line: u64,
}

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Header<'a> = gimli::LineProgramHeader<Slice<'a>>;

impl Lines {
    /// Takes the tables out of a component that was checked before; none where they are too large.
    pub(crate) fn of(component: &[u8]) -> Self {
        let (mut done, mut open, mut room) = (Vec::new(), Vec::new(), MAX_LINES);
        for payload in Parser::new(0).parse_all(component) {
            match payload {
                Ok(Payload::Version { encoding, .. }) => {
                    open.push((encoding == Encoding::Module).then(Module::default));
                }
                Ok(Payload::End(_)) => done.extend(open.pop().flatten()),
                Ok(Payload::CodeSectionStart { range, .. }) => {
                    if let Some(Some(module)) = open.last_mut() {
                        module.code = range;
                    }
                }
                Ok(Payload::CustomSection(section)) => {
                    let Some(Some(module)) = open.last_mut() else { continue };
                    let Some(kept) = module.section(section.name()) else { continue };
                    let Some(rest) = room.checked_sub(section.data().len()) else {
                        return Self::default();
                    };
                    room = rest;
                    *kept = section.data().into();
                }
                Ok(_) => {}
                Err(_) => return Self::default(),
            }
        }
        done.retain(|module| !module.line.is_empty() && !module.code.is_empty());
        Self(done)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines of places in the component's file; none where the tables do not say.
    pub(crate) fn find(&self, places: &[Option<usize>]) -> Vec<Option<Place>> {
        let (mut found, mut rows) = (vec![None; places.len()], MAX_ROWS);
        for module in &self.0 {
            let within = |at: &usize| module.code.contains(at);
            let address = |at: &Option<usize>| {
                let at = at.filter(within)?;
                u64::try_from(at - module.code.start).ok()
            };
            let wanted: Vec<_> = places.iter().map(address).collect();
            if wanted.iter().any(Option::is_some) {
                module.find(&wanted, &mut found, &mut rows);
            }
        }
        found
    }
}

impl Module {
    fn section(&mut self, name: &str) -> Option<&mut Box<[u8]>> {
        match name {
            ".debug_line" => Some(&mut self.line),
            ".debug_line_str" => Some(&mut self.line_str),
            _ => None,
        }
    }

    /// Goes through all tables once, as far as there are rows left to look at.
    fn find(&self, wanted: &[Option<u64>], found: &mut [Option<Place>], left: &mut usize) {
        let section = DebugLine::new(&self.line, LittleEndian);
        let mut at = 0;
        while let Some((end, is_fit)) = unit(&self.line, at) {
            if is_fit && let Ok(program) = section.program(DebugLineOffset(at), 4, None, None) {
                self.search(program, wanted, found, left);
            }
            at = end;
        }
    }

    fn search(
        &self,
        program: gimli::IncompleteLineProgram<Slice<'_>>,
        wanted: &[Option<u64>],
        found: &mut [Option<Place>],
        left: &mut usize,
    ) {
        let mut rows = program.rows();
        let mut before: Option<(u64, u64, u64)> = None;
        let mut begun = None;
        // Found once is found: a table may say again and again where a frame is.
        let open = |found: &[Option<Place>]| {
            found.iter().zip(wanted).any(|(found, at)| found.is_none() && at.is_some())
        };
        // An error ends this table: what came before it is as good as it was.
        while let Ok(Some((header, row))) = rows.next_row() {
            let Some(rest) = left.checked_sub(1).filter(|_| open(found)) else { return };
            *left = rest;
            let start = *begun.get_or_insert(row.address());
            if let Some((from, file, line)) = before.filter(|_| is_live(start)) {
                let here = |address: &Option<u64>| {
                    address.is_some_and(|address| (from..row.address()).contains(&address))
                };
                let wanted = found.iter_mut().zip(wanted).filter(|(found, _)| found.is_none());
                for (found, _) in wanted.filter(|(_, at)| here(at)) {
                    // Line 0 is code that the compiler made of nobody's.
                    if line == 0 {
                        continue;
                    }
                    let file = self.file(header, file);
                    *found = file.map(|file| Place { file, line });
                }
            }
            let line = row.line().map_or(0, std::num::NonZeroU64::get);
            before = (!row.end_sequence()).then(|| (row.address(), row.file_index(), line));
            if row.end_sequence() {
                begun = None;
            }
        }
    }

    fn file(&self, header: &Header<'_>, file: u64) -> Option<String> {
        let entry = header.file(file)?;
        let name = self.text(entry.path_name())?;
        // Number 0 is where the compiler was started: a directory of its author's machine.
        let directory =
            (entry.directory_index() > 0).then(|| header.directory(entry.directory_index()));
        let directory = directory.flatten().and_then(|directory| self.text(directory));
        let path = match directory {
            Some(directory) if !name.starts_with('/') => format!("{directory}/{name}"),
            _ => name,
        };
        Some(shorten(&path))
    }

    fn text(&self, value: AttributeValue<Slice<'_>>) -> Option<String> {
        let strings = DebugLineStr::new(&self.line_str, LittleEndian);
        let text = match value {
            AttributeValue::String(text) => text,
            AttributeValue::DebugLineStrRef(offset) => strings.get_str(offset).ok()?,
            _ => return None,
        };
        let bytes = text.slice();
        let bytes = bytes.get(..MAX_NAME.min(bytes.len())).unwrap_or_default();
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Code that the linker left out keeps its lines at an address where nothing can be.
fn is_live(start: u64) -> bool {
    start > 0 && start < u64::from(u32::MAX) - 1
}

/// Where the table that begins here ends, and whether its header is small enough to be read: each of its entries takes a
/// hundred times as much memory as it takes octets.
fn unit(section: &[u8], at: usize) -> Option<(usize, bool)> {
    let rest = section.get(at..)?;
    let number = |from: usize| {
        let four: [u8; 4] = rest.get(from..from + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    };
    let version: [u8; 2] = rest.get(4..6)?.try_into().ok()?;
    // Version 5 has two octets more before the header's length. Lengths of 64 bits (0xffffffff first) are for files of
    // more than 4 GiB.
    let header = number(if u16::from_le_bytes(version) >= 5 { 8 } else { 6 })?;
    let end = at.checked_add(4)?.checked_add(number(0)?)?;
    (end <= section.len()).then_some((end, header <= MAX_HEADER))
}

/// The end of a path, in whole names where that is possible.
fn shorten(path: &str) -> String {
    let path = plain(path, MAX_NAME).replace(['\n', '\t'], " ");
    let Some(from) = path.len().checked_sub(MAX_PATH) else { return path };
    let from = path.char_indices().map(|(at, _)| at).find(|at| *at >= from).unwrap_or(0);
    let (_, end) = path.split_at(from);
    let end = end.split_once('/').map_or(end, |(_, whole)| whole);
    format!("…/{end}")
}

/// Whether a file is of the language or a library, and not of whoever wrote the plugin.
pub(crate) fn is_foreign(file: &str) -> bool {
    const FOREIGN: [&str; 9] = [
        "/rustc/",
        "library/",
        ".cargo/",
        "registry/src/",
        "rust/deps",
        "wasi-libc",
        "libc-top-half",
        "/usr/",
        "wit-bindgen",
    ];
    file.starts_with('…') || FOREIGN.iter().any(|part| file.contains(part))
}

/// Octets of a component's line tables that are kept in memory while it is loaded: a Rust guest with all of the standard
/// library's has half a mebibyte. Larger ones are not kept, and a trap then names functions only.
pub(crate) const MAX_LINES: usize = 2 * 1024 * 1024;

/// Rows of all tables that are gone through for one trap: those of the largest that are kept, where a row takes the two or
/// three octets that compilers spend on it. One octet can be a row.
const MAX_ROWS: usize = 1024 * 1024;

/// Octets of one table's header: some thousand file names.
const MAX_HEADER: usize = 256 * 1024;

/// Octets of a file's or directory's name.
const MAX_NAME: usize = 1024;

/// Octets of a path as it is shown.
const MAX_PATH: usize = 60;

#[cfg(test)]
mod tests;
