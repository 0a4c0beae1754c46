//! From a line to a command.

use super::words::{Words, once};
use super::{Command, InitialResponse, NewKind, ParseError, Read};
use super::{grants, letters, processors};

type Parsed = Result<Command, ParseError>;

/// Reads one command line, without its end.
pub(super) fn command(line: &str) -> Parsed {
    let words = &mut Words::new(line);
    let verb = words.any("a command")?;
    match verb.to_ascii_uppercase().as_str() {
        "CAPABILITIES" => words.end(Command::Capabilities),
        "HELP" => Ok(Command::Help { topic: words.remainder() }),
        "NOOP" => words.end(Command::Noop),
        "STARTTLS" => words.end(Command::StartTls),
        "AUTHENTICATE" => authenticate(words),
        "QUIT" => words.end(Command::Quit),
        "STREAM" => words.end(Command::Stream),
        "CREATE" => create(words),
        "UPDATE" => update(words),
        "DELETE" => delete(words),
        "DESCRIBE" | "DESC" => describe(words),
        "GET" => get(words),
        "READ" => read(words),
        "WRITE" => write(words),
        "PURGE" => purge(words),
        "REPLICATE" => processors::make(words, NewKind::Replicate),
        "COLLECT" => processors::make(words, NewKind::Collect),
        "DISTRIBUTE" => processors::make(words, NewKind::Distribute),
        "SIGNAL" => processors::signal(words),
        "COMPARE" => processors::compare(words),
        "SNAPSHOT" => processors::snapshot(words),
        "REPLAY" => letters::replay(words),
        "DISCARD" => letters::discard(words),
        "GRANT" => grants::grant(words),
        "REVOKE" => grants::revoke(words),
        _ => about_subscriptions(verb, words),
    }
}

fn about_subscriptions(verb: &str, words: &mut Words<'_>) -> Parsed {
    const WHAT: &str = "the name of a subscription, processor or flow";
    let command = match verb.to_ascii_uppercase().as_str() {
        "SUBSCRIBE" => subscribe(words)?,
        "UNSUBSCRIBE" => {
            let subscription = words.name("a subscription")?;
            Command::Unsubscribe { subscription, settings: words.settings()? }
        }
        "REMOVE" => {
            words.expect("SUBSCRIBER")?;
            Command::RemoveSubscriber { subscription: words.name("a subscription")? }
        }
        "APPROVE" => approve(words)?,
        "DENY" => Command::Deny { request: words.word("a request")?, reason: words.remainder() },
        "PAUSE" => Command::Pause { name: words.name(WHAT)? },
        "RESUME" => Command::Resume { name: words.name(WHAT)? },
        "STOP" => Command::Stop { name: words.name(WHAT)? },
        _ => return Err(ParseError::unknown(verb)),
    };
    words.end(command)
}

fn authenticate(words: &mut Words<'_>) -> Parsed {
    let mechanism = words.word("a mechanism")?;
    let initial = match words.next() {
        Some(text) => Some(InitialResponse::new(text).map_err(|error| words.wrong(error))?),
        None => None,
    };
    words.end(Command::Authenticate { mechanism, initial })
}

fn create(words: &mut Words<'_>) -> Parsed {
    if words.literal("NAMESPACE") {
        let namespace = words.name("a namespace")?;
        let broker = if words.literal("BROKER") { Some(words.word("a broker")?) } else { None };
        return words.end(Command::CreateNamespace { namespace, broker });
    }
    if words.literal("FLOW") {
        let flow = words.name("a flow")?;
        let settings = words.settings()?;
        return words.end(Command::CreateFlow { flow, settings });
    }
    if words.literal("PROCESSOR") {
        return processors::create(words);
    }
    Err(words.missing("NAMESPACE, FLOW or PROCESSOR"))
}

fn update(words: &mut Words<'_>) -> Parsed {
    if words.literal("NAMESPACE") {
        let namespace = words.name("a namespace")?;
        let settings = words.some_settings()?;
        return words.end(Command::UpdateNamespace { namespace, settings });
    }
    if words.literal("FLOW") {
        let flow = words.name("a flow")?;
        let settings = words.some_settings()?;
        return words.end(Command::UpdateFlow { flow, settings });
    }
    if words.literal("PROCESSOR") {
        return processors::update(words);
    }
    Err(words.missing("NAMESPACE, FLOW or PROCESSOR"))
}

fn delete(words: &mut Words<'_>) -> Parsed {
    let command = if words.literal("NAMESPACE") {
        Command::DeleteNamespace { namespace: words.name("a namespace")? }
    } else if words.literal("FLOW") {
        Command::DeleteFlow { flow: words.name("a flow")? }
    } else if words.literal("PROCESSOR") {
        Command::DeleteProcessor { processor: words.name("a processor")? }
    } else {
        return Err(words.missing("NAMESPACE, FLOW or PROCESSOR"));
    };
    words.end(command)
}

fn describe(words: &mut Words<'_>) -> Parsed {
    if words.literal("NAMESPACE") {
        let namespace = words.name("a namespace")?;
        return Ok(Command::DescribeNamespace { namespace, format: words.format()? });
    }
    if words.literal("FLOW") {
        let flow = words.name("a flow")?;
        return Ok(Command::DescribeFlow { flow, format: words.format()? });
    }
    if words.literal("PROCESSOR") {
        let processor = words.processor_or_type()?;
        return Ok(Command::DescribeProcessor { processor, format: words.format()? });
    }
    if words.literal("BROKER") {
        let broker = words.word("a broker")?;
        return Ok(Command::DescribeBroker { broker, format: words.format()? });
    }
    if words.literal("AGENT") {
        let namespace = words.name("a namespace")?;
        return Ok(Command::DescribeAgent { namespace, format: words.format()? });
    }
    if words.literal("NAMESERVER") {
        let namespace = words.name("a namespace")?;
        return Ok(Command::DescribeNameserver { namespace, format: words.format()? });
    }
    Err(words.missing("NAMESPACE, FLOW, PROCESSOR, BROKER, AGENT or NAMESERVER"))
}

fn get(words: &mut Words<'_>) -> Parsed {
    const KINDS: &str = "NAMESPACES, FLOWS, PROCESSORS, PROCESSOR TYPES, SUBSCRIPTIONS, SUBSCRIBERS, CREDENTIALS, REQUESTS, GRANTS, BROKERS, AGENTS or LOG";
    let kind = words.peek().unwrap_or_default().to_ascii_uppercase();
    let unknown = words.missing(KINDS);
    words.next();
    match kind.as_str() {
        "NAMESPACES" | "NS" => Ok(Command::GetNamespaces { format: words.format()? }),
        "FLOWS" | "FL" => {
            let given = words.peek().is_some_and(|word| !word.eq_ignore_ascii_case("FORMAT"));
            let namespace = if given { Some(words.name("a namespace")?) } else { None };
            Ok(Command::GetFlows { namespace, format: words.format()? })
        }
        "SUBSCRIPTIONS" => Ok(Command::GetSubscriptions { format: words.format()? }),
        "SUBSCRIBERS" => {
            let flow = words.name("a flow")?;
            Ok(Command::GetSubscribers { flow, format: words.format()? })
        }
        "CREDENTIALS" => {
            let subscription = words.name("a subscription")?;
            Ok(Command::GetCredentials { subscription, format: words.format()? })
        }
        "REQUESTS" => Ok(Command::GetRequests { format: words.format()? }),
        "PROCESSORS" => Ok(Command::GetProcessors { format: words.format()? }),
        "PROCESSOR" => {
            words.expect("TYPES")?;
            Ok(Command::GetProcessorTypes { format: words.format()? })
        }
        "BROKERS" => Ok(Command::GetBrokers { format: words.format()? }),
        "AGENTS" => Ok(Command::GetAgents { format: words.format()? }),
        "LOG" => letters::log(words),
        "GRANTS" => grants::list(words),
        _ => Err(unknown),
    }
}

fn subscribe(words: &mut Words<'_>) -> Parsed {
    let flow = words.name("a flow")?;
    let local = if words.literal("LOCAL") { Some(words.name("a local flow")?) } else { None };
    Ok(Command::Subscribe { flow, local, settings: words.settings()? })
}

fn approve(words: &mut Words<'_>) -> Parsed {
    let request = words.word("a request")?;
    let filter = if words.literal("FILTER") { Some(words.text("a filter")?) } else { None };
    let policy = if words.literal("POLICY") { Some(words.text("a policy")?) } else { None };
    Ok(Command::Approve { request, filter, policy })
}

fn read(words: &mut Words<'_>) -> Parsed {
    let flow = words.name("a flow")?;
    let mut read = Read::new(flow);
    loop {
        let twice = words.at_next("given twice");
        if words.literal("FROM") {
            if read.from.is_some() || !read.places.is_empty() {
                return Err(twice);
            }
            letters::from(words, &mut read)?;
        } else if words.literal("LIMIT") {
            once(&mut read.limit, words.number("LIMIT")?, twice)?;
        } else if words.literal("FOLLOW") {
            if std::mem::replace(&mut read.follow, true) {
                return Err(twice);
            }
        } else {
            return words.end(Command::Read(read));
        }
    }
}

fn write(words: &mut Words<'_>) -> Parsed {
    let flow = words.name("a flow")?;
    let token = if words.literal("ID") { Some(words.word("a token")?) } else { None };
    words.end(Command::Write { flow, token })
}

fn purge(words: &mut Words<'_>) -> Parsed {
    words.expect("FLOW")?;
    let flow = words.name("a flow")?;
    words.expect("CONFIRM")?;
    if words.name("the flow again")? != flow {
        return Err(words.wrong(format_args!("expected {flow} again")));
    }
    words.end(Command::PurgeFlow { flow })
}
