//! From what was typed to commands of the protocol, and to the name that chooses the host.

use fnap::command::{Command as Fnap, Grant, MirrorTo, NewKind, NewMirror, ShadowStep};
use fnap::pattern::Pattern;
use fnap::{Format as FnapFormat, Name, NewProcessor, Object};

use super::objects::{
    Create, Delete, Describe, Get, GrantArgs, Purge, Remove, Update, UpdateProcessor,
};
use super::values::{self, Meant, NameList, ProcessorOptions};
use super::{Command, Format};
use crate::error::Error;

/// One command of the protocol, and what it is about.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) command: Fnap,
    /// The name whose namespace says which host to ask.
    pub(crate) about: Option<Name>,
}

/// The command of the protocol for what was typed; none where it is more than one command.
pub(crate) fn plan(command: &Command, format: Format) -> Result<Option<Plan>, Error> {
    let format = if format == Format::Json { FnapFormat::Json } else { FnapFormat::Text };
    let plan = match command {
        Command::Create(create) => plan_create(create)?,
        Command::Delete(delete) => plan_delete(delete),
        Command::Get(get) => plan_get(get, format),
        Command::Describe(describe) => plan_describe(describe, format),
        Command::Update(update) => plan_update(update)?,
        Command::Purge(Purge::Flow { name, confirm }) => {
            if name != confirm {
                return Err(Error::Usage(format!("--confirm names {confirm}, not {name}")));
            }
            about(name, Fnap::PurgeFlow { flow: name.clone() })
        }
        Command::Replicate { from, to, options } => {
            if let (Meant::Pattern(from), Meant::Pattern(to)) = (from, to) {
                mirror(from, MirrorTo::Each(to.clone()), to.fill("x").ok(), options)?
            } else {
                let (input, output) = (one(from)?, one(to)?);
                processor(NewKind::Replicate, vec![input], vec![output], options)?
            }
        }
        Command::Collect { flows, options } => match flows.as_slice() {
            [Meant::Pattern(from), to] => {
                let to = one(to)?;
                mirror(from, MirrorTo::One(to.clone()), Some(to), options)?
            }
            flows => {
                let flows = flows.iter().map(|meant| meant.names().cloned());
                let (inputs, output) = split_last(&flows.collect::<Result<Vec<_>, _>>()?)?;
                processor(NewKind::Collect, inputs, vec![output], options)?
            }
        },
        Command::Distribute { flows, options } => {
            let (input, outputs) = split_first(flows)?;
            processor(NewKind::Distribute, vec![input], outputs, options)?
        }
        Command::Signal { r#type, ends, options } => {
            let (inputs, outputs) = (values::flatten(&ends.from)?, values::flatten(&ends.to)?);
            processor(NewKind::Signal(r#type.clone()), inputs, outputs, options)?
        }
        Command::Pause { name } => about(name, Fnap::Pause { name: name.clone() }),
        Command::Resume { name } => about(name, Fnap::Resume { name: name.clone() }),
        Command::Stop { name } => about(name, Fnap::Stop { name: name.clone() }),
        Command::Snapshot { processor, forget } => {
            about(processor, Fnap::Snapshot { processor: processor.clone(), forget: *forget })
        }
        Command::Capabilities => nothing(Fnap::Capabilities),
        Command::Grant(args) => plan_grant(args, Fnap::Grant),
        Command::Revoke(args) => plan_grant(args, Fnap::Revoke),
        Command::Read(_)
        | Command::Write(_)
        | Command::Status(_)
        | Command::Top(_)
        | Command::Logs(_)
        | Command::Replay(_)
        | Command::Trace { .. }
        | Command::DeadLetters(_)
        | Command::Login(_)
        | Command::Logout(_)
        | Command::Completions { .. } => {
            return Ok(None);
        }
        other => plan_subscription(other)?,
    };
    Ok(Some(plan))
}

fn plan_create(create: &Create) -> Result<Plan, Error> {
    Ok(match create {
        Create::Flow(changed) => {
            let settings = values::settings(&changed.settings)?;
            about(&changed.name, Fnap::CreateFlow { flow: changed.name.clone(), settings })
        }
        Create::Namespace { name, broker } => {
            about(name, Fnap::CreateNamespace { namespace: name.clone(), broker: broker.clone() })
        }
        Create::Processor { name, r#type, ends, options } => {
            if options.as_name.is_some() {
                return Err(Error::Usage(
                    "the processor has its name already, leave --as out".to_owned(),
                ));
            }
            let (inputs, outputs) = (values::flatten(&ends.from)?, values::flatten(&ends.to)?);
            let mut plan = processor(NewKind::Create(r#type.clone()), inputs, outputs, options)?;
            if let Fnap::CreateProcessor(new) = &mut plan.command {
                new.name = Some(name.clone());
            }
            plan
        }
    })
}

fn processor(
    kind: NewKind,
    inputs: Vec<Name>,
    outputs: Vec<Name>,
    options: &ProcessorOptions,
) -> Result<Plan, Error> {
    // Processors live with the host of what they write: it is the one that may write there.
    let about = outputs.first().cloned();
    let command = Fnap::CreateProcessor(NewProcessor {
        kind,
        inputs,
        outputs,
        name: options.as_name.clone(),
        start: options.start,
        settings: values::settings(&options.settings)?,
        config: options.config.read()?,
    });
    Ok(Plan { command, about })
}

fn mirror(
    from: &Pattern,
    to: MirrorTo,
    about: Option<Name>,
    options: &ProcessorOptions,
) -> Result<Plan, Error> {
    let command = Fnap::CreateMirror(NewMirror {
        from: from.clone(),
        to,
        name: options.as_name.clone(),
        start: options.start,
        settings: values::settings(&options.settings)?,
        config: options.config.read()?,
    });
    Ok(Plan { command, about })
}

fn one(meant: &Meant) -> Result<Name, Error> {
    match meant.names()?.0.as_slice() {
        [name] => Ok(name.clone()),
        _ => Err(Error::Usage("one flow is needed there".to_owned())),
    }
}

fn split_last(lists: &[NameList]) -> Result<(Vec<Name>, Name), Error> {
    let wrong = || Error::Usage("collect takes flows to read, then one flow to write".to_owned());
    let (last, inputs) = lists.split_last().ok_or_else(wrong)?;
    match last.0.as_slice() {
        [output] => Ok((values::flatten(inputs)?, output.clone())),
        _ => Err(wrong()),
    }
}

fn split_first(lists: &[NameList]) -> Result<(Name, Vec<Name>), Error> {
    let wrong =
        || Error::Usage("distribute takes one flow to read, then the flows to write".to_owned());
    let (first, outputs) = lists.split_first().ok_or_else(wrong)?;
    match first.0.as_slice() {
        [input] => Ok((input.clone(), values::flatten(outputs)?)),
        _ => Err(wrong()),
    }
}

fn plan_delete(delete: &Delete) -> Plan {
    match delete {
        Delete::Flow { name } => about(name, Fnap::DeleteFlow { flow: name.clone() }),
        Delete::Namespace { name } => {
            about(name, Fnap::DeleteNamespace { namespace: name.clone() })
        }
        Delete::Processor { name } => {
            about(name, Fnap::DeleteProcessor { processor: name.clone() })
        }
    }
}

fn plan_get(get: &Get, format: FnapFormat) -> Plan {
    let (command, about) = match get {
        Get::Flows { namespace } => {
            (Fnap::GetFlows { namespace: namespace.clone(), format }, namespace.clone())
        }
        Get::Namespaces => (Fnap::GetNamespaces { format }, None),
        Get::Processors => (Fnap::GetProcessors { format }, None),
        Get::Types => (Fnap::GetProcessorTypes { format }, None),
        Get::Brokers => (Fnap::GetBrokers { format }, None),
        Get::Agents => (Fnap::GetAgents { format }, None),
        Get::Subscriptions => (Fnap::GetSubscriptions { format }, None),
        Get::Subscribers { flow } => {
            (Fnap::GetSubscribers { flow: flow.clone(), format }, Some(flow.clone()))
        }
        Get::Credentials { subscription } => {
            let command = Fnap::GetCredentials { subscription: subscription.clone(), format };
            (command, Some(subscription.clone()))
        }
        Get::Requests => (Fnap::GetRequests { format }, None),
        Get::Grants { on, to } => {
            let command = Fnap::GetGrants { object: on.clone(), subject: to.clone(), format };
            (command, on.as_ref().and_then(named).cloned())
        }
    };
    Plan { command, about }
}

fn plan_grant(args: &GrantArgs, command: fn(Grant) -> Fnap) -> Plan {
    let GrantArgs { rights, object, subject } = args;
    let grant = Grant { rights: *rights, object: object.clone(), subject: subject.clone() };
    Plan { command: command(grant), about: named(object).cloned() }
}

/// The name of what is not everything.
fn named(object: &Object) -> Option<&Name> {
    match object {
        Object::Name(name) => Some(name),
        Object::Everything => None,
    }
}

fn plan_describe(describe: &Describe, format: FnapFormat) -> Plan {
    match describe {
        Describe::Flow { name } => about(name, Fnap::DescribeFlow { flow: name.clone(), format }),
        Describe::Namespace { name } => {
            about(name, Fnap::DescribeNamespace { namespace: name.clone(), format })
        }
        Describe::Processor { name } => Plan {
            command: Fnap::DescribeProcessor { processor: name.clone(), format },
            // A type has no namespace; a name that looks like one is a processor's.
            about: name.as_str().parse().ok().filter(|name: &Name| name.parent().is_some()),
        },
        Describe::Broker { name } => nothing(Fnap::DescribeBroker { broker: name.clone(), format }),
        Describe::Agent { namespace } => {
            about(namespace, Fnap::DescribeAgent { namespace: namespace.clone(), format })
        }
        Describe::Nameserver { namespace } => {
            about(namespace, Fnap::DescribeNameserver { namespace: namespace.clone(), format })
        }
    }
}

fn plan_update(update: &Update) -> Result<Plan, Error> {
    Ok(match update {
        Update::Flow(changed) => {
            let settings = changes(&changed.settings)?;
            about(&changed.name, Fnap::UpdateFlow { flow: changed.name.clone(), settings })
        }
        Update::Namespace(changed) => {
            let settings = changes(&changed.settings)?;
            about(
                &changed.name,
                Fnap::UpdateNamespace { namespace: changed.name.clone(), settings },
            )
        }
        Update::Processor(update) => plan_update_processor(update)?,
    })
}

fn plan_update_processor(update: &UpdateProcessor) -> Result<Plan, Error> {
    let processor = update.name.clone();
    if let Some(step) = shadow_step(update) {
        return Ok(about(&update.name, Fnap::ShadowProcessor { processor, step }));
    }
    let command = match (update.config.read()?, update.position) {
        (Some(config), _) => Fnap::ConfigureProcessor { processor, config },
        (None, Some(position)) => Fnap::MoveProcessor { processor, position, state: update.state },
        (None, None) if update.settings.is_empty() => {
            return Err(Error::Usage(NOTHING_OF_PROCESSOR.to_owned()));
        }
        (None, None) => {
            Fnap::UpdateProcessor { processor, settings: values::settings(&update.settings)? }
        }
    };
    Ok(about(&update.name, command))
}

/// All that UPDATE PROCESSOR may change, for who has named nothing.
const NOTHING_OF_PROCESSOR: &str = "nothing to change: give settings (KEY=VALUE), --config-json or --config-file, \
    --position, --shadow, --promote or --discard";

fn shadow_step(update: &UpdateProcessor) -> Option<ShadowStep> {
    let begin = update.shadow.clone().map(ShadowStep::Begin);
    let promote = update.promote.clone().map(ShadowStep::Promote);
    begin.or(promote).or_else(|| update.discard.then_some(ShadowStep::Discard))
}

fn changes(pairs: &[(String, String)]) -> Result<fnap::Settings, Error> {
    if pairs.is_empty() {
        return Err(Error::Usage("nothing to change: give KEY=VALUE".to_owned()));
    }
    values::settings(pairs)
}

fn plan_subscription(command: &Command) -> Result<Plan, Error> {
    Ok(match command {
        Command::Subscribe { flow, local, filter, transport, settings } => {
            let mut settings = values::settings(settings)?;
            for (key, value) in [("filter", filter), ("transport", transport)] {
                let Some(value) = value else { continue };
                let added = settings.insert(key, value.clone());
                added.map_err(|error| Error::Usage(error.to_string()))?;
            }
            let command = Fnap::Subscribe { flow: flow.clone(), local: local.clone(), settings };
            Plan { command, about: local.clone() }
        }
        Command::Unsubscribe { subscription } => {
            let settings = fnap::Settings::default();
            let command = Fnap::Unsubscribe { subscription: subscription.clone(), settings };
            about(subscription, command)
        }
        Command::Remove(Remove::Subscriber { subscription }) => {
            about(subscription, Fnap::RemoveSubscriber { subscription: subscription.clone() })
        }
        Command::Approve { request, filter, policy } => nothing(Fnap::Approve {
            request: request.clone(),
            filter: filter.clone(),
            policy: policy.clone(),
        }),
        Command::Deny { request, reason } => {
            nothing(Fnap::Deny { request: request.clone(), reason: reason.clone() })
        }
        _ => return Err(Error::Usage("not a command of the protocol".to_owned())),
    })
}

fn about(name: &Name, command: Fnap) -> Plan {
    Plan { command, about: Some(name.clone()) }
}

const fn nothing(command: Fnap) -> Plan {
    Plan { command, about: None }
}
