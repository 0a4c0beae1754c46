//! What each command of the protocol needs. A new command does not compile without a line here.

use fnap::command::{Command, MirrorTo};
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::rights::{Object, Right};

/// One thing that a command needs.
#[derive(Debug)]
pub(super) enum Need {
    /// Whoever is in: it is about nothing, or a list that holds only what he may see.
    Anyone,
    /// What it is about is known only where it is performed; it is decided there.
    Performer,
    /// To administer the whole host.
    Host,
    /// A right on a name.
    On(Right, Kind, Name),
    /// A right on what GRANT and REVOKE name.
    OnObject(Right, Object),
    /// To administer a name, or the flow of a subscription of that name.
    Held(Name),
    /// Any right on a name.
    Sight(Kind, Name),
}

/// What a name is meant to be, for the words about one that is not there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Namespace,
    Flow,
    Processor,
    FlowOrProcessor,
    Subscription,
    /// A name that does not exist yet.
    Place,
    /// Whatever it is.
    Thing,
}

impl Kind {
    /// What is answered where there is nothing of this name, to the letter.
    pub(super) fn absent(self, name: &Name) -> Failure {
        let what = match self {
            Self::Namespace => "namespace",
            Self::Flow => "flow",
            Self::Processor => "processor",
            Self::FlowOrProcessor => "flow or processor",
            Self::Subscription => "subscription",
            Self::Place => "no namespace of this host holds",
            Self::Thing => "nothing that is yours to grant:",
        };
        Failure::new(Code::NotFound, format!("{what} {name}"))
    }
}

/// All that a command needs.
pub(super) fn needs(command: &Command) -> Vec<Need> {
    use Need::{Anyone, Held, Host, OnObject, Performer, Sight};
    let on = |right, kind, name: &Name| Need::On(right, kind, name.clone());
    let administer = |kind, name: &Name| on(Right::Administer, kind, name);
    vec![match command {
        // Said before anybody is known, or about the session.
        Command::Capabilities
        | Command::Help { .. }
        | Command::Noop
        | Command::StartTls
        | Command::Authenticate { .. }
        | Command::Quit
        // What a stream attaches to is asked about each time.
        | Command::Stream => Anyone,

        // Lists of what one may see.
        Command::GetNamespaces { .. }
        | Command::GetFlows { .. }
        | Command::GetProcessors { .. }
        | Command::GetGrants { .. }
        | Command::GetSubscriptions { .. }
        | Command::GetRequests { .. } => Anyone,

        // What everybody may know: installed types, and where he is.
        Command::GetProcessorTypes { .. } | Command::GetAgents { .. } => Anyone,
        Command::DescribeAgent { namespace, .. } | Command::DescribeNameserver { namespace, .. } => {
            Sight(Kind::Namespace, namespace.clone())
        }

        // Addresses of servers are the operator's matter.
        Command::GetBrokers { .. } | Command::DescribeBroker { .. } => Host,

        // A namespace is a promise to the outside, and chooses a broker.
        Command::CreateNamespace { .. } => Host,
        Command::UpdateNamespace { namespace, .. } | Command::DeleteNamespace { namespace } => {
            administer(Kind::Namespace, namespace)
        }
        Command::DescribeNamespace { namespace, .. } => Sight(Kind::Namespace, namespace.clone()),

        Command::CreateFlow { flow, .. } => administer(Kind::Place, flow),
        Command::UpdateFlow { flow, .. }
        | Command::DeleteFlow { flow }
        | Command::PurgeFlow { flow }
        | Command::GetSubscribers { flow, .. } => administer(Kind::Flow, flow),
        Command::DescribeFlow { flow, .. } => Sight(Kind::Flow, flow.clone()),
        Command::Read(read) => on(Right::Read, Kind::Flow, &read.flow),
        Command::Write { flow, .. } => on(Right::Write, Kind::Flow, flow),

        // What the flow's `access` says counts, too.
        Command::Subscribe { local: None, .. } => Performer,
        // What it brings in becomes a flow here, which may be an alias outside of all namespaces.
        Command::Subscribe { local: Some(_), .. } => Performer,
        // One's own, and one's own to decide.
        Command::Unsubscribe { .. }
        | Command::GetCredentials { .. }
        | Command::RemoveSubscriber { .. }
        | Command::Approve { .. }
        | Command::Deny { .. } => Performer,

        Command::Pause { name } | Command::Resume { name } | Command::Stop { name } => {
            Held(name.clone())
        }

        Command::CreateProcessor(new) => {
            let read = new.inputs.iter().map(|name| on(Right::Read, Kind::Flow, name));
            let write = new.outputs.iter().map(|name| on(Right::Write, Kind::Flow, name));
            return read.chain(write).collect();
        }
        // Which flows it takes in is asked for each, and again.
        Command::CreateMirror(new) => match &new.to {
            MirrorTo::One(to) => on(Right::Write, Kind::Flow, to),
            MirrorTo::Each(to) => match to.fill("x") {
                Ok(output) => administer(Kind::Place, &output),
                Err(_) => Performer,
            },
        },
        Command::UpdateProcessor { processor, .. }
        | Command::ConfigureProcessor { processor, .. }
        | Command::MoveProcessor { processor, .. }
        | Command::ShadowProcessor { processor, .. }
        | Command::Compare { processor, .. }
        | Command::StopComparing { processor }
        | Command::Snapshot { processor, .. }
        | Command::DeleteProcessor { processor }
        | Command::Replay { processor, .. }
        | Command::Discard { processor, .. }
        | Command::GetLog { processor, .. } => administer(Kind::Processor, processor),
        // One that he may not see, or an installed type that everybody may.
        Command::DescribeProcessor { .. } => Performer,

        Command::Grant(grant) | Command::Revoke(grant) => {
            OnObject(Right::Administer, grant.object.clone())
        }
    }]
}
