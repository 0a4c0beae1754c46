use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn dev_takes_a_directory_an_address_and_namespaces() {
    let args = [
        "fnaad",
        "dev",
        "d",
        "--listen",
        "[::1]:0",
        "--namespace",
        "A.test",
        "--namespace",
        "b.test",
    ];
    let Command::Dev(dev) = Cli::try_parse_from(args).unwrap().command else { panic!("not dev") };
    assert_eq!(dev.dir, PathBuf::from("d"));
    assert_eq!(dev.listen.unwrap().to_string(), "[::1]:0");
    let names: Vec<&str> = dev.namespaces.iter().map(Name::as_str).collect();
    assert_eq!(names, ["a.test", "b.test"]);
}

#[test]
fn what_cannot_be_understood_is_a_usage_error() {
    let wrong: [&[&str]; 10] = [
        &["fnaad", "dev"],
        &["fnaad", "dev", "d", "--listen", "nowhere"],
        &["fnaad", "dev", "d", "--namespace", "a..b"],
        &["fnaad", "dev", "d", "--broker", "kafka"],
        &["fnaad", "serve"],
        &["fnaad", "cert", "d"],
        &["fnaad", "cert", "d", "--name", "a..b"],
        &["fnaad", "cert", "d", "--client", "ana"],
        &["fnaad", "cert", "d", "--name", "a.test", "--days", "0"],
        &["fnaad", "fly"],
    ];
    for args in wrong {
        assert_eq!(Cli::try_parse_from(args).unwrap_err().exit_code(), 2, "{args:?}");
    }
}

#[test]
fn help_shows_examples() {
    let help = Cli::command().render_long_help().to_string();
    assert!(help.contains("fnaad dev ./try --namespace flows.unix.ar"), "{help}");
}

fn verifier(input: &str) -> anyhow::Result<String> {
    let mut output = Vec::new();
    hash_password(input.as_bytes(), &mut output)?;
    Ok(String::from_utf8(output)?)
}

#[test]
fn a_password_is_one_line_whatever_ends_it() {
    for input in ["secret", "secret\n", "secret\r\n"] {
        let mut users = host_iam::UserList::default();
        users.insert("ana", verifier(input).unwrap().trim_end()).unwrap();
    }
    let long = "x".repeat(fnap::sasl::MAX_PASSWORD + 1);
    for input in ["", "\n", "a\nb\n", &long] {
        assert!(verifier(input).is_err());
    }
}

#[test]
fn what_is_no_password_is_called_one() {
    let refused = |input: &[u8]| password_line(input).unwrap_err().to_string();
    assert_eq!(refused(b"\xff\xfe\n"), "the password is not utf-8");
    assert_eq!(refused(b"a\nb\n"), "a password is one line: these are more");
}

#[test]
fn there_are_completions_for_every_shell() {
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let mut script = Vec::new();
        completions(shell, &mut script);
        assert!(String::from_utf8(script).unwrap().contains("hash-password"));
    }
}
