//! Smaller values of the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use fnap::command::MAX_LIST;
use fnap::pattern::Pattern;
use fnap::{Json, Name, Settings, Start, Word};

use crate::error::Error;

/// Names with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameList(pub(crate) Vec<Name>);

impl FromStr for NameList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |part: &str| part.parse::<Name>().map_err(|error| format!("{part:?}: {error}"));
        Ok(Self(text.split(',').map(parse).collect::<Result<_, _>>()?))
    }
}

/// Names, or a pattern that means those that come later, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    Names(NameList),
    Pattern(Pattern),
}

impl FromStr for Meant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('*') {
            return text.parse().map(Self::Pattern).map_err(|error| format!("{text:?}: {error}"));
        }
        text.parse().map(Self::Names)
    }
}

impl Meant {
    /// The names, where it is no pattern.
    pub(crate) fn names(&self) -> Result<&NameList, Error> {
        match self {
            Self::Names(names) => Ok(names),
            Self::Pattern(pattern) => {
                Err(Error::Usage(format!("{pattern} is a pattern, and a flow is needed there")))
            }
        }
    }
}

/// The flows a processor stands between.
#[derive(Debug, Args)]
pub(crate) struct Ends {
    /// Flows to read.
    #[arg(long, required = true, value_name = "FLOW[,FLOW…]")]
    pub(crate) from: Vec<NameList>,
    /// Flows to write.
    #[arg(long, required = true, value_name = "FLOW[,FLOW…]")]
    pub(crate) to: Vec<NameList>,
}

/// What every new processor takes.
#[derive(Debug, Default, Args)]
pub(crate) struct ProcessorOptions {
    /// Name of the processor; the host makes one up otherwise.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) as_name: Option<Name>,
    /// Where to begin: earliest, latest, PARTITION:OFFSET or an RFC 3339 time.
    #[arg(long, value_name = "POSITION", value_parser = start)]
    pub(crate) start: Option<Start>,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// A setting of the processor, such as delivery=at-least-once; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
}

/// The plugin's configuration, as JSON.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct ConfigOptions {
    /// The plugin's configuration as JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) config_json: Option<Json>,
    /// A file with the plugin's configuration as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
}

impl ConfigOptions {
    /// The configuration, read from its file where one is named.
    pub(crate) fn read(&self) -> Result<Option<Json>, Error> {
        match &self.config_file {
            Some(path) => json_file(path).map(Some),
            None => Ok(self.config_json.clone()),
        }
    }
}

fn json_file(path: &Path) -> Result<Json, Error> {
    let wrong = |reason: String| Error::Usage(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    text.parse().map_err(|error: fnap::value::ValueError| wrong(error.to_string()))
}

/// `KEY=VALUE`
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no KEY=VALUE"))?;
    Settings::new().insert(key, value).map_err(|error| error.to_string())?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The settings of a command; the same key twice is refused.
pub(crate) fn settings(pairs: &[(String, String)]) -> Result<Settings, Error> {
    let mut settings = Settings::new();
    for (key, value) in pairs {
        settings.insert(key, value.clone()).map_err(|error| Error::Usage(error.to_string()))?;
    }
    Ok(settings)
}

/// `earliest`, `latest`, `PARTITION:OFFSET` or an RFC 3339 time.
pub(crate) fn start(text: &str) -> Result<Start, String> {
    if text.eq_ignore_ascii_case("earliest") {
        return Ok(Start::Earliest);
    }
    if text.eq_ignore_ascii_case("latest") {
        return Ok(Start::Latest);
    }
    let offset = fnap::command::parse_offset(text);
    let time = || text.parse().map(Start::Time);
    offset.or_else(|_| time()).map_err(|_| {
        "expected earliest, latest, PARTITION:OFFSET or a time such as 2026-01-31T12:00:00Z"
            .to_owned()
    })
}

/// A processor's name or the name of its type: a URI can only be the former.
pub(crate) fn processor_or_type(text: &str) -> Result<Word, String> {
    let name;
    let text = if text.contains("://") {
        name = text.parse::<Name>().map_err(|error| error.to_string())?;
        name.as_str()
    } else {
        text
    };
    text.parse().map_err(|error: fnap::value::ValueError| error.to_string())
}

/// All names of the lists; at most as many as the protocol takes.
pub(crate) fn flatten(lists: &[NameList]) -> Result<Vec<Name>, Error> {
    let names: Vec<Name> = lists.iter().flat_map(|list| list.0.iter().cloned()).collect();
    if names.len() > MAX_LIST {
        return Err(Error::Usage(format!(
            "{} flows, at most {MAX_LIST} in one command",
            names.len()
        )));
    }
    Ok(names)
}
