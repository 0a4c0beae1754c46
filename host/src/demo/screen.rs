//! What the demo says: steps, commands, a progress bar on a terminal, and the table at the end.

use std::io::{IsTerminal, Write, stderr, stdout};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[derive(Clone)]
pub(super) struct Screen {
    bar: ProgressBar,
    colours: bool,
}

/// A line of the table.
pub(super) struct Row {
    /// Whose it is.
    pub(super) at: &'static str,
    pub(super) flow: String,
    pub(super) events_in: usize,
    pub(super) events_out: usize,
    pub(super) lost: usize,
    pub(super) repeated: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        let colours = stdout().is_terminal();
        Self { bar: ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden()), colours }
    }

    pub(super) fn step(&self, words: &str) {
        self.line(&format!("\n{}", self.bold(&format!("== {words}"))));
    }

    pub(super) fn command(&self, words: &str) {
        self.line(&format!("  {words}"));
    }

    pub(super) fn note(&self, words: &str) {
        self.line(&format!("    {words}"));
    }

    pub(super) fn event(&self, words: &str) {
        self.line(&self.bold(&format!("  ! {words}")));
    }

    /// A bar on a terminal, nothing elsewhere.
    pub(super) fn bar(&self, length: u64, what: &'static str) -> ProgressBar {
        self.bar.set_length(length);
        let style = ProgressStyle::with_template("    [{bar:40}] {pos}/{len} {msg}");
        self.bar.set_style(
            style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "),
        );
        self.bar.set_message(what);
        if stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.clone()
    }

    pub(super) fn table(&self, rows: &[Row]) {
        let width = rows.iter().map(|row| row.flow.len()).max().unwrap_or(4).max(4);
        self.line("");
        self.line(&self.bold(&format!(
            "{:<11}  {:width$}  {:>9}  {:>10}  {:>5}  {:>8}",
            "at", "flow", "events in", "events out", "lost", "repeated"
        )));
        for row in rows {
            let Row { at, flow, events_in, events_out, lost, repeated } = row;
            self.line(&format!(
                "{at:<11}  {flow:width$}  {events_in:>9}  {events_out:>10}  {lost:>5}  {repeated:>8}"
            ));
        }
    }

    pub(super) fn verdict(&self, clean: bool) {
        let words =
            if clean { "nothing lost, nothing repeated" } else { "EVENTS WERE LOST OR REPEATED" };
        self.line(&format!("\n{}\n", self.bold(words)));
    }

    fn bold(&self, words: &str) -> String {
        if self.colours { format!("\x1b[1m{words}\x1b[0m") } else { words.to_owned() }
    }

    fn line(&self, words: &str) {
        // A terminal that is gone is no reason to stop.
        self.bar.suspend(|| drop(writeln!(stdout(), "{words}")));
    }
}
