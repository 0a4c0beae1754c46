//! `login` and `logout`: proves a password to a host, and keeps it for the commands that follow.
//!
//! A password is never an argument: it is asked for, without showing it, or is one line of stdin.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use fnap::sasl::Mechanism;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::cli::login::{LoginArgs, LogoutArgs};
use crate::config::{Agent, Config, Keep, Kept, Login, Source, TlsMode};
use crate::connection::{Need, connect_for};
use crate::error::Error;
use crate::hosts::Hosts;
use crate::io;
use crate::run::Setting;
use crate::secret::Password;

/// Longest line of stdin that is read.
const MAX_LINE: u64 = 4096;

type Stdin = Box<dyn Read + Send>;

/// `fnua login`
pub(crate) async fn login(
    args: &LoginArgs,
    mut agent: Agent,
    (keep, hosts): (&Keep, &mut Hosts),
    setting: &Setting,
    stdin: Stdin,
) -> Result<(), Error> {
    if args.mechanism.is_some_and(|mechanism| !of_passwords(mechanism)) {
        let reason = "login keeps passwords: --mechanism is PLAIN or SCRAM-SHA-256";
        return Err(Error::Usage(reason.to_owned()));
    }
    if let Some(path) = &args.ca_file {
        let whole = std::path::absolute(path)
            .map_err(|error| Error::Unreadable { path: path.clone(), reason: error.to_string() })?;
        agent.tls.ca_file = Some(whole);
    }
    agent.tls.mode = args.tls.or(agent.tls.mode);
    let asked = args.user.clone().or_else(|| agent.login.username.clone());
    let user = match asked {
        Some(user) => user,
        None => ask_user(setting, &agent)?,
    };
    let before = keep.all()?;
    let (tls, ca_file) = keeps(args, &agent, &before);
    agent.tls.mode = agent.tls.mode.or(tls);
    if agent.tls.mode != Some(TlsMode::Never) {
        agent.tls.ca_file = agent.tls.ca_file.or_else(|| ca_file.clone());
    }
    let password = ask_password(setting, &user, &agent, stdin)?;
    let same = before.iter().find(|one| one.address == agent.address && one.username == user);
    let kept_mechanism = args.mechanism.or(same.and_then(|one| one.mechanism));
    let mechanism = kept_mechanism.or(agent.login.mechanism.filter(|one| of_passwords(*one)));
    agent.login = Login {
        username: Some(user.clone()),
        password: Some(Source::Here(password.clone())),
        token: None,
        mechanism,
        ..agent.login
    };
    let located = hosts.located(agent.clone()).await?;
    let connection = connect_for(&located, setting, Need::Password).await?;
    let proved = connection.mechanism().map_or("nothing", Mechanism::name);
    connection.quit().await;
    keep.keep(Kept {
        address: agent.address.clone(),
        username: user.clone(),
        password,
        mechanism: kept_mechanism,
        tls,
        ca_file,
    })?;
    if !setting.quiet {
        let path = keep.path();
        setting.words.say(&format!(
            "fnua: {user} at {}, proved by {proved}; kept in {}",
            agent.address,
            path.display()
        ));
    }
    Ok(())
}

/// What is kept of TLS: what was said now, else what was kept for the address before, whoever it was kept for. One who
/// logs in again would else speak in clear text from then on.
fn keeps(args: &LoginArgs, agent: &Agent, before: &[Kept]) -> (Option<TlsMode>, Option<PathBuf>) {
    let here = || before.iter().filter(|one| one.address == agent.address);
    let tls = args.tls.or_else(|| here().find_map(|one| one.tls));
    let ca_file = match args.ca_file {
        Some(_) => agent.tls.ca_file.clone(),
        None => here().find_map(|one| one.ca_file.clone()),
    };
    (tls, ca_file)
}

/// `fnua logout`
pub(crate) fn logout(
    args: &LogoutArgs,
    agent: &Agent,
    keep: &Keep,
    setting: &Setting,
) -> Result<(), Error> {
    let gone = keep.forget(&agent.address, args.user.as_deref())?;
    if gone.is_empty() {
        let whom = args.user.as_deref().unwrap_or("anybody");
        return Err(Error::Usage(format!("nothing is kept for {whom} at {}", agent.address)));
    }
    if !setting.quiet {
        setting.words.say(&format!("fnua: forgot {} at {}", gone.join(", "), agent.address));
    }
    Ok(())
}

/// The agent of this name or address, known or not.
pub(crate) fn target(config: &Config, asked: Option<&str>) -> Result<Agent, Error> {
    let known = crate::agent::choose(config, asked, None);
    match (known, asked) {
        (Ok(agent), _) => Ok(agent),
        // Somebody who logs in means a host, even without a port.
        (Err(error), Some(asked)) => match asked.parse::<Address>() {
            Ok(address) if asked.contains('.') || asked == "localhost" => {
                let same = config.agents.iter().find(|agent| agent.address == address);
                Ok(same.cloned().unwrap_or_else(|| Agent::stranger(address)))
            }
            _ => Err(error.into()),
        },
        (Err(error), None) => Err(error.into()),
    }
}

const fn of_passwords(mechanism: Mechanism) -> bool {
    matches!(mechanism, Mechanism::Plain | Mechanism::ScramSha256)
}

fn ask_user(setting: &Setting, agent: &Agent) -> Result<String, Error> {
    if !setting.ask {
        return Err(Error::Usage("who? give --user".to_owned()));
    }
    let name = io::ask(&format!("User at {}: ", agent.address)).map_err(no_answer)?;
    if name.is_empty() { Err(Error::Usage("who? give --user".to_owned())) } else { Ok(name) }
}

fn ask_password(
    setting: &Setting,
    user: &str,
    agent: &Agent,
    stdin: Stdin,
) -> Result<Password, Error> {
    let password = if setting.ask {
        io::ask_secret(&format!("Password of {user} at {}: ", agent.address)).map_err(no_answer)?
    } else {
        let mut line = Zeroizing::new(String::with_capacity(MAX_LINE as usize));
        // Unbuffered beyond the line's longest, so that no copy stays behind.
        BufReader::with_capacity(MAX_LINE as usize, stdin.take(MAX_LINE))
            .read_line(&mut line)
            .map_err(no_answer)?;
        let bare = line.trim_end_matches(['\r', '\n']).len();
        line.truncate(bare);
        line
    };
    if password.is_empty() {
        return Err(Error::Usage("no password: give one line on stdin".to_owned()));
    }
    Ok(Password::from(password))
}

fn no_answer(error: std::io::Error) -> Error {
    Error::Usage(format!("cannot read the answer: {error}"))
}
