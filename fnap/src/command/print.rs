//! From a command to the line that a client sends.

use std::fmt::{self, Display, Formatter};

use super::{
    Command, Format, KeepState, MirrorTo, NewKind, NewMirror, NewProcessor, Origin, Read,
    ShadowStep,
};
use crate::name::Name;
use crate::value::{Quoted, Settings};

impl Display for Command {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capabilities => out.write_str("CAPABILITIES"),
            Self::Help { topic } => write!(out, "HELP{}", Line(topic.as_deref())),
            Self::Noop => out.write_str("NOOP"),
            Self::StartTls => out.write_str("STARTTLS"),
            Self::Authenticate { mechanism, initial } => {
                let initial = initial.as_ref().map(super::InitialResponse::expose);
                write!(out, "AUTHENTICATE {mechanism}{}", Then("", initial))
            }
            Self::Quit => out.write_str("QUIT"),
            Self::Stream => out.write_str("STREAM"),
            Self::Read(read) => read.fmt(out),
            Self::Write { flow, token } => {
                write!(out, "WRITE {flow}{}", Then("ID ", token.as_ref()))
            }
            Self::PurgeFlow { flow } => write!(out, "PURGE FLOW {flow} CONFIRM {flow}"),
            Self::Pause { name } => write!(out, "PAUSE {name}"),
            Self::Resume { name } => write!(out, "RESUME {name}"),
            Self::Stop { name } => write!(out, "STOP {name}"),
            Self::CreateProcessor(new) => new.fmt(out),
            Self::CreateMirror(new) => new.fmt(out),
            Self::Replay { processor, letters } => {
                write!(out, "REPLAY {processor}{}", Places("", letters))
            }
            Self::Discard { processor, letters } => {
                write!(out, "DISCARD {processor}{}", Places("", letters))
            }
            Self::Grant(grant) => super::grants::print(out, "GRANT", grant, &"TO"),
            Self::Revoke(grant) => super::grants::print(out, "REVOKE", grant, &"FROM"),
            other => changes(other, out),
        }
    }
}

/// CREATE, UPDATE, DELETE, and what concerns subscriptions.
fn changes(command: &Command, out: &mut Formatter<'_>) -> fmt::Result {
    match command {
        Command::CreateNamespace { namespace, broker } => {
            write!(out, "CREATE NAMESPACE {namespace}{}", Then("BROKER ", broker.as_ref()))
        }
        Command::UpdateNamespace { namespace, settings } => {
            write!(out, "UPDATE NAMESPACE {namespace}{}", Pairs(settings))
        }
        Command::DeleteNamespace { namespace } => write!(out, "DELETE NAMESPACE {namespace}"),
        Command::CreateFlow { flow, settings } => {
            write!(out, "CREATE FLOW {flow}{}", Pairs(settings))
        }
        Command::UpdateFlow { flow, settings } => {
            write!(out, "UPDATE FLOW {flow}{}", Pairs(settings))
        }
        Command::DeleteFlow { flow } => write!(out, "DELETE FLOW {flow}"),
        Command::UpdateProcessor { processor, settings } => {
            write!(out, "UPDATE PROCESSOR {processor}{}", Pairs(settings))
        }
        Command::ConfigureProcessor { processor, config } => {
            write!(out, "UPDATE PROCESSOR {processor} CONFIG {config}")
        }
        Command::MoveProcessor { processor, position, state } => {
            let state = state.map(|state| match state {
                KeepState::Keep => "keep",
                KeepState::Reset => "reset",
            });
            let state = Then("STATE ", state);
            write!(out, "UPDATE PROCESSOR {processor} POSITION {position}{state}")
        }
        Command::ShadowProcessor { processor, step } => {
            write!(out, "UPDATE PROCESSOR {processor} ")?;
            match step {
                ShadowStep::Begin(version) => write!(out, "SHADOW {version}"),
                ShadowStep::Promote(None) => out.write_str("PROMOTE"),
                ShadowStep::Promote(Some(version)) => write!(out, "PROMOTE {version}"),
                ShadowStep::Discard => out.write_str("DISCARD"),
            }
        }
        Command::Compare { processor, version, from, to } => {
            let (from, to) = (Then("", *from), Then("TO ", *to));
            write!(out, "COMPARE {processor} VERSION {version}{from}{to}")
        }
        Command::Snapshot { processor, forget } => {
            write!(out, "SNAPSHOT {processor}{}", Then("FORGET ", *forget))
        }
        Command::StopComparing { processor } => write!(out, "COMPARE {processor} STOP"),
        Command::DeleteProcessor { processor } => write!(out, "DELETE PROCESSOR {processor}"),
        other => subscriptions(other, out),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(start) => write!(out, "FROM {start}"),
            Self::Snapshot(number) => write!(out, "SNAPSHOT {number}"),
        }
    }
}

fn subscriptions(command: &Command, out: &mut Formatter<'_>) -> fmt::Result {
    match command {
        Command::Subscribe { flow, local, settings } => {
            let local = Then("LOCAL ", local.as_ref());
            write!(out, "SUBSCRIBE {flow}{local}{}", Pairs(settings))
        }
        Command::Unsubscribe { subscription, settings } => {
            write!(out, "UNSUBSCRIBE {subscription}{}", Pairs(settings))
        }
        Command::RemoveSubscriber { subscription } => {
            write!(out, "REMOVE SUBSCRIBER {subscription}")
        }
        Command::Approve { request, filter, policy } => {
            let filter = Then("FILTER ", filter.as_deref().map(Quoted));
            let policy = Then("POLICY ", policy.as_deref().map(Quoted));
            write!(out, "APPROVE {request}{filter}{policy}")
        }
        Command::Deny { request, reason } => {
            write!(out, "DENY {request}{}", Line(reason.as_deref()))
        }
        other => questions(other, out),
    }
}

/// GET and DESCRIBE.
fn questions(command: &Command, out: &mut Formatter<'_>) -> fmt::Result {
    let (what, about, format): (_, Option<&dyn Display>, _) = match command {
        Command::GetLog { processor, since, format } => {
            write!(out, "GET LOG {processor}{}", Then("SINCE ", *since))?;
            ("", None, format)
        }
        Command::GetGrants { object, subject, format } => {
            let (object, subject) = (Then("ON ", object.as_ref()), Then("TO ", subject.as_ref()));
            write!(out, "GET GRANTS{object}{subject}")?;
            ("", None, format)
        }
        Command::DescribeNamespace { namespace, format } => {
            ("DESCRIBE NAMESPACE", Some(namespace), format)
        }
        Command::DescribeFlow { flow, format } => ("DESCRIBE FLOW", Some(flow), format),
        Command::DescribeProcessor { processor, format } => {
            ("DESCRIBE PROCESSOR", Some(processor), format)
        }
        Command::DescribeBroker { broker, format } => ("DESCRIBE BROKER", Some(broker), format),
        Command::DescribeAgent { namespace, format } => ("DESCRIBE AGENT", Some(namespace), format),
        Command::DescribeNameserver { namespace, format } => {
            ("DESCRIBE NAMESERVER", Some(namespace), format)
        }
        Command::GetNamespaces { format } => ("GET NAMESPACES", None, format),
        Command::GetFlows { namespace, format } => {
            let name = namespace.as_ref().map(|name| match name.as_str() {
                // The word would say something else; with the dot of a complete name it says what is meant.
                "format" => &"format." as &dyn Display,
                _ => name,
            });
            ("GET FLOWS", name, format)
        }
        Command::GetSubscriptions { format } => ("GET SUBSCRIPTIONS", None, format),
        Command::GetSubscribers { flow, format } => ("GET SUBSCRIBERS", Some(flow), format),
        Command::GetCredentials { subscription, format } => {
            ("GET CREDENTIALS", Some(subscription), format)
        }
        Command::GetRequests { format } => ("GET REQUESTS", None, format),
        Command::GetProcessors { format } => ("GET PROCESSORS", None, format),
        Command::GetProcessorTypes { format } => ("GET PROCESSOR TYPES", None, format),
        Command::GetBrokers { format } => ("GET BROKERS", None, format),
        Command::GetAgents { format } => ("GET AGENTS", None, format),
        // Everything else has been written before.
        _ => return Ok(()),
    };
    let format = match format {
        Format::Text => "",
        Format::Json => " FORMAT json",
    };
    write!(out, "{what}{}{format}", Then("", about))
}

impl Display for Read {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let follow = if self.follow { " FOLLOW" } else { "" };
        let (from, limit) = (Then("FROM ", self.from), Then("LIMIT ", self.limit));
        let places = Places(if self.places.is_empty() { "" } else { " FROM" }, &self.places);
        write!(out, "READ {}{from}{places}{limit}{follow}", self.flow)
    }
}

impl Display for NewProcessor {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (inputs, outputs) = (List(&self.inputs), List(&self.outputs));
        let mut name = self.name.as_ref();
        match &self.kind {
            NewKind::Replicate => write!(out, "REPLICATE {inputs} {outputs}")?,
            NewKind::Collect => write!(out, "COLLECT {inputs} {outputs}")?,
            NewKind::Distribute => write!(out, "DISTRIBUTE {inputs} {outputs}")?,
            NewKind::Signal(named) => write!(out, "SIGNAL {named} FROM {inputs} TO {outputs}")?,
            NewKind::Create(named) => {
                let name = Then("", name.take());
                write!(out, "CREATE PROCESSOR{name} TYPE {named} FROM {inputs} TO {outputs}")?;
            }
        }
        let (name, start) = (Then("AS ", name), Then("START ", self.start));
        let config = Then("CONFIG ", self.config.as_ref());
        write!(out, "{name}{start}{}{config}", Pairs(&self.settings))
    }
}

impl Display for NewMirror {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.to {
            MirrorTo::Each(to) => write!(out, "REPLICATE {} {to}", self.from)?,
            MirrorTo::One(to) => write!(out, "COLLECT {} {to}", self.from)?,
        }
        let (name, start) = (Then("AS ", self.name.as_ref()), Then("START ", self.start));
        let config = Then("CONFIG ", self.config.as_ref());
        write!(out, "{name}{start}{}{config}", Pairs(&self.settings))
    }
}

/// A blank, a literal and a value, or nothing.
struct Then<T>(&'static str, Option<T>);

impl<T: Display> Display for Then<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.1 {
            Some(value) => write!(out, " {}{value}", self.0),
            None => Ok(()),
        }
    }
}

struct Pairs<'a>(&'a Settings);

impl Display for Pairs<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let blank = if self.0.is_empty() { "" } else { " " };
        write!(out, "{blank}{}", self.0)
    }
}

struct List<'a>(&'a [Name]);

impl Display for List<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}{name}")?;
        }
        Ok(())
    }
}

/// A list of places behind a literal, or nothing.
struct Places<'a>(&'static str, &'a [(u32, u64)]);

impl Display for Places<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)?;
        for (index, (partition, offset)) in self.1.iter().enumerate() {
            let before = if index == 0 { " OFFSET " } else { "," };
            write!(out, "{before}{partition}:{offset}")?;
        }
        Ok(())
    }
}

/// Text that takes the rest of the line, and must not end it.
struct Line<'a>(Option<&'a str>);

impl Display for Line<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => write!(out, " {}", text.replace(['\r', '\n', '\0'], " ")),
            None => Ok(()),
        }
    }
}
