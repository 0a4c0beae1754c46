use super::*;

/// A table of version 4: `src/a.rs`, line 7 from 16, line 9 from 20, the end at 24.
fn table() -> Vec<u8> {
    // Advance the line, copy; advance the address, the line, copy; advance the address, end.
    programmed(&[3, 6, 1, 2, 4, 3, 2, 1, 2, 4, 0, 1, 1])
}

/// A table whose program begins at address 16.
fn programmed(rows: &[u8]) -> Vec<u8> {
    let mut header: Vec<u8> = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    header.extend(b"src\0\0a.rs\0\x01\0\0\0");
    let mut program = vec![0, 5, 2, 16, 0, 0, 0];
    program.extend(rows);
    let mut unit = 4_u16.to_le_bytes().to_vec();
    unit.extend((header.len() as u32).to_le_bytes());
    unit.extend(header);
    unit.extend(program);
    let mut table = (unit.len() as u32).to_le_bytes().to_vec();
    table.extend(unit);
    table
}

fn module(line: Vec<u8>) -> Lines {
    Lines(vec![Module { code: 100..200, line: line.into(), line_str: Box::default() }])
}

fn place(line: u64) -> Option<Place> {
    Some(Place { file: "src/a.rs".to_owned(), line })
}

#[test]
fn a_place_in_the_code_has_the_line_that_began_before_it() {
    let lines = module(table());
    let places = [99, 115, 116, 119, 120, 123, 124, 200].map(Some);
    let found = lines.find(&places);
    assert_eq!(found, [None, None, place(7), place(7), place(9), place(9), None, None]);
    assert_eq!(lines.find(&[None]), [None]);
}

#[test]
fn a_table_is_found_behind_another_one_and_behind_one_that_cannot_be_read() {
    let mut broken = table();
    broken[4] = 77;
    assert_eq!(module([broken, table()].concat()).find(&[Some(116)]), [place(7)]);
    let mut large = table();
    large[6..10].copy_from_slice(&(MAX_HEADER as u32 + 1).to_le_bytes());
    assert_eq!(module([large, table()].concat()).find(&[Some(116)]), [place(7)]);
}

/// Line 7 from 16 to 20, line 9 from 16 to 20, and so on: each row says it again.
#[test]
fn what_is_found_is_not_looked_for_again() {
    // Set the address, copy; advance it, the line, copy.
    let again = [0, 5, 2, 16, 0, 0, 0, 1, 2, 4, 3, 1, 1];
    let lines = module(programmed(&[&[3, 6][..], &again.repeat(1_000)].concat()));
    assert_eq!(lines.find(&[Some(116)]), [place(7)]);
}

#[test]
fn tables_are_not_gone_through_without_end() {
    let behind = |rows: usize| {
        let row = [1].repeat(rows);
        module(programmed(&[&row[..], &[3, 6, 1, 2, 4, 0, 1, 1]].concat())).find(&[Some(116)])
    };
    // One row is the one before the place, one ends it.
    assert_eq!(behind(MAX_ROWS - 2), [place(7)]);
    assert_eq!(behind(MAX_ROWS - 1), [None]);
    let tables = [programmed(&[1].repeat(MAX_ROWS)), table()].concat();
    assert_eq!(module(tables).find(&[Some(116)]), [None], "of all tables together");
}

#[test]
fn any_damage_is_survived() {
    let whole = table();
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            module(damaged).find(&[Some(116), Some(120)]);
        }
        module(whole[..at].to_vec()).find(&[Some(116)]);
    }
}

#[test]
fn tables_that_are_too_large_are_not_kept() {
    let component = |bytes: usize| {
        let module =
            format!("(core module (func nop) (@custom \".debug_line\" \"{}\"))", "a".repeat(bytes));
        Lines::of(&wat::parse_str(format!("(component {module})")).unwrap())
    };
    assert!(!component(MAX_LINES).is_empty());
    assert!(component(MAX_LINES + 1).is_empty());
    assert!(Lines::of(b"no component").is_empty());
}

#[test]
fn a_long_path_is_cut_at_a_name_and_has_nothing_that_a_terminal_obeys() {
    let long = format!("/home/{}/deep/src/lib.rs", "a".repeat(60));
    assert_eq!(shorten(&long), "…/deep/src/lib.rs");
    assert!(!shorten("a\u{1b}[2J\nb").contains(['\u{1b}', '\n']));
}
