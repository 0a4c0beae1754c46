//! Tables of text: a head and rows, each column as wide as its widest cell.

/// Appends a table. Columns whose head begins with a blank are numbers, which stand to the right.
pub(crate) fn table<const N: usize>(text: &mut String, head: [&str; N], rows: &[[String; N]]) {
    let mut widths = head.map(|title| title.trim_start().chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let right = head.map(|title| title.starts_with(' '));
    let mut line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).zip(right).map(|((cell, width), right)| {
            if right { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        *text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    };
    line(head.map(str::trim_start));
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let mut text = String::new();
        let row = |name: &str, number: &str| [name.to_owned(), number.to_owned(), String::new()];
        table(&mut text, ["NAME", " IN", "WHY"], &[row("a", "1000"), row("äöü.b", "7")]);
        assert_eq!(text, "NAME     IN  WHY\na      1000\näöü.b     7\n");
    }
}
