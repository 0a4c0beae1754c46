//! Many questions to one name server: several under way at once, over one connection after the other.
//!
//! A server ends a connection when it has had its time, and answers in whatever order (RFC 7766): what was not answered over
//! a connection that had answered before is asked again over another one, once.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_net::proto::op::{Message, MessageType, OpCode, Query};

use super::connection::Connection;
use super::wire::{impossible, name, record_type};
use super::{Kind, Owner, PublishError};

/// Questions to one server.
#[derive(Debug)]
pub(super) struct Questions {
    server: SocketAddr,
    limit: Duration,
    connection: Option<Connection>,
}

impl Questions {
    /// To this server; so many together are answered within `limit`.
    pub(super) const fn new(server: SocketAddr, limit: Duration) -> Self {
        Self { server, limit, connection: None }
    }

    /// The answers to some questions, in their order; none to one that was answered by something else.
    pub(super) async fn ask(
        &mut self,
        about: &[(&Owner, Kind)],
    ) -> Result<Vec<Option<Message>>, PublishError> {
        let server = self.server;
        let away = |error: io::Error| PublishError::Away { reason: format!("{server}: {error}") };
        if let Some(connection) = &mut self.connection
            && let Ok(answers) = over(connection, about).await?
        {
            return Ok(answers);
        }
        let mut connection = Connection::open(server, self.limit).await.map_err(away)?;
        let answers = over(&mut connection, about).await?.map_err(away)?;
        self.connection = Some(connection);
        Ok(answers)
    }
}

type Answers = io::Result<Vec<Option<Message>>>;

async fn over(
    connection: &mut Connection,
    about: &[(&Owner, Kind)],
) -> Result<Answers, PublishError> {
    let (mut ids, mut messages) = (Vec::new(), Vec::new());
    for (owner, kind) in about {
        let mut message = Message::new(connection.id(), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name(owner)?, record_type(*kind)));
        ids.push(message.id);
        messages.push(message.to_vec().map_err(|error| impossible(error.to_string()))?);
    }
    let answers = match connection.exchange_all(&messages).await {
        Ok(answers) => answers,
        Err(error) => return Ok(Err(error)),
    };
    let mut read: Vec<Message> =
        answers.iter().filter_map(|answer| Message::from_vec(answer).ok()).collect();
    let mut of = |id: &u16| {
        let at = read.iter().position(|answer| answer.id == *id)?;
        Some(read.swap_remove(at))
    };
    Ok(Ok(ids.iter().map(&mut of).collect()))
}
