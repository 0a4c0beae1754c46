//! The way to one address of a host: TCP, TLS, greeting, and who we are.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fnap::Command;
use fnap::client::Exchange;
use fnap::client::sasl::NONCE;
use fnap::reply::{Code, Failure};
use host_names::{Place, Tlsa};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::{Step, Why};
use super::peer::Peer;
use super::stream::Wire;
use super::talk::Talk;
use super::{Agents, tls};

/// Where it ended, and why.
type Ended = (Step, Why);

/// One address of a host.
pub(super) struct Way<'a> {
    pub(super) agents: &'a Agents,
    pub(super) place: &'a Place,
    pub(super) address: IpAddr,
    /// What DNSSEC proves of the host's certificate.
    pub(super) tlsa: &'a [Tlsa],
}

impl Way<'_> {
    pub(super) fn shown(&self) -> String {
        shown(self.place, self.address)
    }

    pub(super) async fn go(&self) -> Result<Peer, Ended> {
        let patience = &self.agents.patience;
        let at = |step| move |why| (step, why);
        let stream = self.connect().await.map_err(at(Step::Connect))?;
        let (mut talk, greeting) = if self.place.tls {
            let wire = self.secure(stream).await.map_err(at(Step::Tls))?;
            let mut talk = Talk::new(wire);
            let greeting = talk.greeting(patience.answer).await.map_err(at(Step::Greeting))?;
            (talk, greeting)
        } else {
            let mut talk = Talk::new(Wire::Clear(stream));
            let greeting = talk.greeting(patience.answer).await.map_err(at(Step::Greeting))?;
            match self.is_neighbour() {
                true => (talk, greeting),
                false => (self.start_tls(talk).await?, greeting),
            }
        };
        let capabilities = self.capabilities(&mut talk).await.map_err(at(Step::Greeting))?;
        self.prove(&mut talk, &capabilities).await.map_err(at(Step::Authenticate))?;
        let (name, host) = (self.place.target.clone(), self.shown());
        let most = patience.answer;
        Ok(Peer { name, host, greeting, capabilities, talk, most })
    }

    /// Whether it is a host on this machine, of a user with whom we share a secret.
    fn is_neighbour(&self) -> bool {
        self.agents.secret.is_some() && self.address.to_canonical().is_loopback()
    }

    async fn connect(&self) -> Result<TcpStream, Why> {
        let most = self.agents.patience.connect;
        let connected = TcpStream::connect(SocketAddr::new(self.address, self.place.port));
        let stream =
            within(most, async { connected.await.map_err(|error| Why::Broken(error.to_string())) });
        let stream = stream.await?;
        stream.set_nodelay(true).map_err(|error| Why::Broken(error.to_string()))?;
        Ok(stream)
    }

    async fn secure(&self, stream: TcpStream) -> Result<Wire, Why> {
        let config = self.config().await?;
        let handshake = tls::handshake(&self.place.target, stream, config);
        Ok(Wire::Tls(Box::new(within(self.agents.patience.answer, handshake).await?)))
    }

    async fn config(&self) -> Result<ClientConfig, Why> {
        let Agents { roots, own, .. } = self.agents;
        let (host, tlsa) = (self.place.target.clone(), self.tlsa.to_vec());
        let (roots, own) = (roots.clone(), own.clone());
        // It reads files.
        let made =
            tokio::task::spawn_blocking(move || tls::config(&host, tlsa, &roots, own.as_ref()));
        made.await.map_err(|error| Why::Ours(error.to_string()))?
    }

    async fn start_tls(&self, mut talk: Talk) -> Result<Talk, Ended> {
        let most = self.agents.patience.answer;
        let offered = self.capabilities(&mut talk).await.map_err(|why| (Step::Greeting, why))?;
        // Who strips it from the list shall not get our words in clear text.
        if !has(&offered, "STARTTLS") {
            return Err((Step::Tls, Why::NoTls));
        }
        let upgraded = async {
            talk.command(&Command::StartTls, most).await?;
            let (stream, session) = talk.bare()?;
            let wire = self.secure(stream).await?;
            Talk::resumed(wire, session)
        };
        upgraded.await.map_err(|why| (Step::Tls, why))
    }

    /// One word a line; nothing of hosts that do not know the question, as those of the proof of concept.
    async fn capabilities(&self, talk: &mut Talk) -> Result<Vec<String>, Why> {
        match talk.command(&Command::Capabilities, self.agents.patience.answer).await {
            Ok(answer) => Ok(answer.data),
            Err(Why::Refused(Failure {
                code: Code::NotFound | Code::NotImplemented | Code::BadFormat | Code::AuthRequired,
                ..
            })) => Ok(Vec::new()),
            Err(why) => Err(why),
        }
    }

    async fn prove(&self, talk: &mut Talk, offered: &[String]) -> Result<(), Why> {
        let us = format!("domain:{}", self.agents.us);
        let exchange = match (&self.agents.secret, &self.agents.own) {
            (Some(secret), _) if self.is_neighbour() => {
                let mut nonce = [0; NONCE];
                getrandom::fill(&mut nonce).map_err(|error| Why::Ours(error.to_string()))?;
                Exchange::scram_sha_256("", &us, secret.expose(), nonce)
            }
            (_, None) => return Err(Why::NoCertificate),
            (_, Some(_)) if !has(offered, "AUTH=EXTERNAL") => return Err(Why::NoExternal),
            (_, Some(_)) => Exchange::external(&us),
        };
        let exchange = exchange.map_err(|error| Why::Ours(error.to_string()))?;
        talk.authenticate(exchange, self.agents.patience.authenticate).await
    }
}

/// `NAME:PORT (ADDRESS)`.
pub(super) fn shown(place: &Place, address: IpAddr) -> String {
    let Place { target, port, .. } = place;
    format!("{target}:{port} ({address})")
}

fn has(offered: &[String], wanted: &str) -> bool {
    offered.iter().any(|word| word.eq_ignore_ascii_case(wanted))
}

async fn within<T>(most: Duration, work: impl Future<Output = Result<T, Why>>) -> Result<T, Why> {
    timeout(most, work).await.unwrap_or(Err(Why::Slow(most)))
}
